"""Kernels made from kernels: what the functions of ``transform`` return.

Each is a value, equal to another made in the same way, that is called like a kernel and has a card like one, so that
whatever takes a kernel's name takes it too.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels import card_of
from ntk_explorer.kernels._matrices import centred_matrix, over_lengths, own_lengths
from ntk_explorer.kernels._ways import matrix
from ntk_explorer.registry import Entry

# In the functions below jax is reached only when something is computed: cards are read without it.
if TYPE_CHECKING:
    from ntk_explorer.reading.cost import Cost
    from ntk_explorer.reading.roads import Road
    from ntk_explorer.reading.tiles import TiledKernel

Kernel = Any  # a kernel function, its name, or what a transform returns


@dataclass(frozen=True)
class Composed:
    """A kernel made from another one, which is kept by its name or as the value that it is."""

    kernel: Any

    def __call__(self, f, params, x1, x2=None, **options):
        """The kernel's matrix [n, m], its blocks, or its shares by name."""
        return matrix(self, f, params, x1, x2, **options)

    @property
    def card(self) -> Entry:
        """A card like that of a registered kernel."""
        inner = card_of(self.kernel)
        extras = {"tiled": self.tiled, "costs": self.costs, "roads": self.roads}
        return dataclasses.replace(
            inner, name=str(self), label=self._around(inner.label), function=self, equation="", cost="", extras=extras
        )

    def __str__(self):
        """The calls that make it."""
        return self._around(card_of(self.kernel).name)

    def _around(self, inner: str) -> str:
        return f"{type(self).__name__.lower()}({inner})"

    def tiled(self, f, params, x1, x2=None, **options) -> TiledKernel:
        """The kernel before it is computed."""
        inner = card_of(self.kernel).extras["tiled"](f, params, x1, x2, **options)
        if inner.finish is not None:
            raise InvalidInput(
                f"{self} would take tiles of {self.kernel}, every entry of which depends on all columns",
                "Centre last: centred(cosine(...)), or centred(matrix) of a finished one.",
            )
        return inner

    def costs(self, f, params, x1, x2=None, **options) -> Cost:
        """Bytes and operations, from shapes alone."""
        return card_of(self.kernel).extras["costs"](f, params, x1, x2, **options)

    def roads(self, f, params, x) -> list[Road]:
        """The road of every parameter into the kernel of ``x`` with itself."""
        return card_of(self.kernel).extras["roads"](f, params, x)


@dataclass(frozen=True)
class Cosine(Composed):
    """Gradients brought to length one."""

    __str__, __repr__ = Composed.__str__, Composed.__str__

    def tiled(self, f, params, x1, x2=None, **options) -> TiledKernel:
        """What is read holds the length of every example too; shares are divided by the lengths of the whole."""
        from ntk_explorer.reading import tiles

        inner = super().tiled(f, params, x1, x2, **options)

        def read(x):
            held = inner.read(x)
            return held, own_lengths(tiles.whole_diagonal(inner, held))

        def contract(left, right):
            held, lengths = left
            other, lengths_there = (None, lengths) if right is None else right
            return over_lengths(inner.contract(held, other), lengths, lengths_there)

        return tiles.TiledKernel(read, contract, inner.x1, inner.x2)


@dataclass(frozen=True)
class Centred(Composed):
    """Gradients minus their mean over the columns."""

    __str__, __repr__ = Composed.__str__, Composed.__str__

    def tiled(self, f, params, x1, x2=None, *, y1=None, y2=None, **options) -> TiledKernel:
        """Tiles of the kernel itself, centred when all are there; that of the columns is computed as well."""
        rows, columns = _labels(y1, y2)
        inner = super().tiled(f, params, x1, x2, **rows, **options)

        def finish(values):
            square = values if x2 is None else matrix(self.kernel, f, params, x2, **columns, **options)
            if options.get("by"):
                return {name: centred_matrix(share, square[name]) for name, share in values.items()}
            return centred_matrix(values, square)

        return dataclasses.replace(inner, finish=finish)

    def costs(self, f, params, x1, x2=None, **options) -> Cost:
        """Bytes and operations, from shapes alone: the centred matrix beside those that it is made of."""
        from ntk_explorer.reading.cost import Cost

        own = super().costs(f, params, x1, x2, **options)
        if x2 is None:
            return Cost(2 * own.bytes, own.flops)
        columns = super().costs(f, params, x2, **options)
        return Cost(2 * own.bytes + columns.bytes, own.flops + columns.flops)


@dataclass(frozen=True)
class Projected(Composed):
    """Gradients projected at random."""

    projection: Any

    def _around(self, inner: str) -> str:
        return f"projected({inner}, {self.projection})"

    __str__, __repr__ = Composed.__str__, Composed.__str__

    def tiled(self, f, params, x1, x2=None, **options) -> TiledKernel:
        """The inner kernel of projected gradients."""
        return super().tiled(f, params, x1, x2, projection=self.projection, **options)

    def costs(self, f, params, x1, x2=None, **options) -> Cost:
        """Bytes and operations, from shapes alone."""
        return super().costs(f, params, x1, x2, projection=self.projection, **options)


@dataclass(frozen=True)
class OverCheckpoints(Composed):
    """A weighted sum over checkpoints."""

    weights: tuple[float, ...]

    def _around(self, inner: str) -> str:
        return f"over_checkpoints({inner}, {list(self.weights)})"

    __str__, __repr__ = Composed.__str__, Composed.__str__

    def tiled(self, f, params, x1, x2=None, **options) -> TiledKernel:
        """What is read of an example is read at every checkpoint; ``params`` is a sequence of them."""
        from ntk_explorer.reading.tiles import TiledKernel, weighted_sum

        kernels = [super(OverCheckpoints, self).tiled(f, one, x1, x2, **options) for one in self._checked(params)]

        def read(x):
            return [kernel.read(x) for kernel in kernels]

        def contract(left, right):
            others = [None] * len(kernels) if right is None else right
            parts = [kernel.contract(*pair) for kernel, *pair in zip(kernels, left, others, strict=True)]
            return weighted_sum(self.weights, parts)

        return TiledKernel(read, contract, kernels[0].x1, kernels[0].x2)

    def costs(self, f, params, x1, x2=None, **options) -> Cost:
        """Bytes and operations, from shapes alone: what is held and done comes once per checkpoint."""
        from ntk_explorer.reading.cost import Cost

        one = super().costs(f, self._checked(params)[0], x1, x2, **options)
        return Cost(one.bytes * len(self.weights), one.flops * len(self.weights))

    def roads(self, f, params, x) -> list[Road]:
        """The roads at the first checkpoint, which are those at all others."""
        return super().roads(f, self._checked(params)[0], x)

    def _checked(self, params) -> Any:
        if not isinstance(params, (list, tuple)) or len(params) != len(self.weights):
            count = len(params) if isinstance(params, (list, tuple)) else type(params).__name__
            raise InvalidInput(
                f"{len(self.weights)} weights, but as checkpoints: {count}",
                "Pass a list of parameters, one per weight.",
            )
        return params


def _labels(y1, y2) -> tuple[dict[str, Any], dict[str, Any]]:
    """Labels for the kernel between rows and columns, and for that of the columns with themselves."""
    between = {name: y for name, y in (("y1", y1), ("y2", y2)) if y is not None}
    return between, {} if y2 is None else {"y1": y2}
