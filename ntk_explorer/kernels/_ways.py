"""The three ways in which kernels of a network are computed: along directions, through a loss, of features.

Each says how the kernel is taken in tiles, what that costs, and by which road every parameter enters; a card holds
the three as ``tiled``, ``costs`` and ``roads``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels import card_of

# In the functions below jax is reached only when something is computed: cards are read without it.
if TYPE_CHECKING:
    from ntk_explorer.reading.cost import Cost
    from ntk_explorer.reading.roads import Road
    from ntk_explorer.reading.tiles import TiledKernel


def matrix(kernel: Any, f, params, x1, x2=None, *, batch_size: int | None = None, **options) -> Any:
    """The whole kernel in memory, [n, m, ...], or a dictionary of its shares."""
    from ntk_explorer.reading.lanes import in_lanes
    from ntk_explorer.reading.tiles import evaluate

    tiled = card_of(kernel).extras["tiled"](f, params, x1, x2, batch_size=batch_size, **options)
    return evaluate(in_lanes(tiled, (params, x1, x2, _keys(kernel))), batch_size)


def _keys(kernel: Any) -> list[Any]:
    """The random keys that a composed kernel draws from."""
    own = [kernel.projection.key] if hasattr(kernel, "projection") else []
    return own + _keys(kernel.kernel) if hasattr(kernel, "kernel") else own


class Along(NamedTuple):
    """A function of parameters, its checked examples, and the directions along which its gradients make a kernel."""

    f: Callable[..., Any]
    x: Any
    directions: Callable[[int], Any]
    paired: bool


@dataclass(frozen=True)
class Gradients:
    """Inner products of gradients of ``u·f`` for the rows u of ``directions(c)``."""

    directions: Callable[[int], Any]
    paired: bool

    def tiled(self, f, params, x1, x2=None, **options) -> TiledKernel:
        """The kernel before it is computed."""
        from ntk_explorer.reading.independence import require_readable

        kernel = self._of(f, params, x1, x2, **options)
        require_readable(f, params, kernel.x1)
        return kernel

    def along(self, f, params, x, **options) -> Along:
        """What products with the kernel are computed from."""
        return Along(f, self.tiled(f, params, x, **options).x1, self.directions, self.paired)

    def _of(self, f, params, x1, x2, *, projection=None, **options) -> TiledKernel:
        from ntk_explorer.reading.projection import tiled_projected_kernel
        from ntk_explorer.reading.tangent import tiled_tangent_kernel

        options |= {"directions": self.directions, "paired": self.paired}
        if projection is not None:
            return tiled_projected_kernel(f, params, x1, x2, projection=projection, **options)
        return tiled_tangent_kernel(f, params, x1, x2, **options)

    def costs(self, f, params, x1, x2=None, *, projection=None, **options) -> Cost:
        """Bytes and operations, from shapes alone."""
        from ntk_explorer.reading.cost import tangent_cost
        from ntk_explorer.reading.projection import projected_cost

        options |= {"directions": self.directions, "paired": self.paired}
        if projection is not None:
            return projected_cost(f, params, x1, x2, projection=projection, **options)
        return tangent_cost(f, params, x1, x2, **options)

    def roads(self, f, params, x) -> list[Road]:
        """The road of every parameter into the kernel of ``x`` with itself."""
        from ntk_explorer.reading.roads import roads
        from ntk_explorer.reading.taps import read_network

        reading = read_network(f, params, x)
        k = len(self.directions(reading.outputs))
        return list(roads(reading, len(x), len(x), k, paired=self.paired).values())


def _single(outputs: int) -> np.ndarray:
    return np.eye(1, outputs)


_LOSS = Gradients(_single, paired=True)


@dataclass(frozen=True)
class Losses:
    """Inner products of gradients of a loss of outputs and labels."""

    loss: str

    def tiled(self, f, params, x1, x2=None, *, y1=None, y2=None, loss: str | None = None, **options) -> TiledKernel:
        """The kernel before it is computed."""
        from ntk_explorer.kernels._losses import labelled_call
        from ntk_explorer.reading.independence import require_readable

        call = labelled_call(f, params, x1, x2, y1=y1, y2=y2, loss=loss or self.loss, **_checked_only(options))
        require_readable(f, params, call.x1)
        return _LOSS._of(call.network, params, call.packed1, call.packed2, **options)

    def along(self, f, params, x, *, y1=None, loss: str | None = None, **options) -> Along:
        """What products with the kernel are computed from."""
        from ntk_explorer.kernels._losses import labelled_call
        from ntk_explorer.reading.independence import require_readable

        call = labelled_call(f, params, x, None, y1=y1, y2=None, loss=loss or self.loss, **_checked_only(options))
        require_readable(f, params, call.x1)
        return Along(call.network, call.packed1, _LOSS.directions, _LOSS.paired)

    def costs(self, f, params, x1, x2=None, **options) -> Cost:
        """Bytes and operations, from shapes alone."""
        from ntk_explorer.kernels._losses import packed_shapes

        return _LOSS.costs(*packed_shapes(f, params, x1, x2, self.loss), **options)

    def roads(self, f, params, x) -> list[Road]:
        """The road of every parameter into the kernel of ``x`` with itself."""
        from ntk_explorer.kernels._losses import packed_shapes

        network, params, packed, _ = packed_shapes(f, params, x, None, self.loss)
        return _LOSS.roads(network, params, packed)


@dataclass(frozen=True)
class Features:
    """Inner products of activations: the ``"last"`` hidden ones, or those of ``"all"`` modules."""

    which: Any

    def tiled(self, f, params, x1, x2=None, **options) -> TiledKernel:
        """The kernel before it is computed."""
        from ntk_explorer.reading.features import tiled_features_kernel
        from ntk_explorer.reading.independence import require_readable

        kernel = tiled_features_kernel(f, params, x1, x2, which=self.which, **options)
        require_readable(f, params, kernel.x1)
        return kernel

    def along(self, *_args, **_options) -> Along:
        """There is nothing to differentiate."""
        raise InvalidInput(
            "This kernel is made of features, and only kernels of gradients have products of their own",
            "Take a tangent kernel, e.g. entk, or form the matrix with gram.",
        )

    def costs(self, f, params, x1, x2=None, **options) -> Cost:
        """Bytes and operations, from shapes alone."""
        from ntk_explorer.reading.features import features_cost

        return features_cost(f, params, x1, x2, which=self.which, **options)

    def roads(self, *_args) -> list[Road]:
        """There are none: no parameter enters by its gradient."""
        raise InvalidInput(
            "This kernel is made of features without gradients of parameters", "Explain a tangent kernel, e.g. entk."
        )


def facts(way: Gradients | Losses | Features) -> dict[str, Any]:
    """What a card keeps of the way in which its kernel is computed."""
    return {"tiled": way.tiled, "costs": way.costs, "roads": way.roads, "along": way.along}


def _checked_only(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options.get(name) for name in ("batch_size", "by")}
