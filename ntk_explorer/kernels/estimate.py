"""What a kernel will cost in memory and time, said before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ntk_explorer.errors import TooLarge
from ntk_explorer.kernels import KERNELS

if TYPE_CHECKING:
    from ntk_explorer.reading.roads import Road


@dataclass(frozen=True)
class Estimate:
    """Peak memory in bytes and floating-point operations of one kernel."""

    what: str
    bytes: int
    flops: float

    def seconds(self, flops_per_second: float) -> float:
        """Time at a given rate, without compilation."""
        return self.flops / flops_per_second

    def require(self, available: int, remedy: str) -> None:
        """Raise TooLarge when ``available`` bytes are fewer than needed."""
        if self.bytes > available:
            raise TooLarge(
                f"{self.what} would take about {human_bytes(self.bytes)}, and {human_bytes(available)} are free", remedy
            )


def human_bytes(count: float) -> str:
    """Bytes in the unit a person reads: ``1.5 GB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def estimate(name: str, f, params: Any, x1: Any, x2: Any = None, *, batch_size: int | None = None) -> Estimate:
    """Memory and operations of ``KERNELS[name](f, params, x1, x2)``, from shapes alone.

    Args:
        name: a kernel.
        f: the network's function.
        params: its parameters, or their shapes (``jax.eval_shape`` of the initialisation).
        x1: examples [n, ...], or a ``jax.ShapeDtypeStruct``.
        x2: examples [m, ...]; ``x1`` again when None.
        batch_size: as for the kernel.

    Returns:
        An :class:`Estimate`.

    Raises:
        UnknownName: no such kernel.
        InvalidInput: shapes that the kernel would refuse too.
    """
    from ntk_explorer.reading.cost import tangent_cost  # not above: cards are read without jax

    card = KERNELS[name]
    cost = tangent_cost(
        f, params, x1, x2, directions=card.extras["directions"], paired=card.extras["paired"], batch_size=batch_size
    )
    sizes = f"{x1.shape[0]} × {(x1 if x2 is None else x2).shape[0]}"
    return Estimate(f"The {card.label} of {sizes} examples", cost.bytes, cost.flops)


def explain(f, params: Any, x: Any, *, kernel: str = "entk") -> list[Road]:
    """Which road each parameter takes into a kernel of ``x`` with itself.

    Args:
        f: the network's function ``f(params, x[n, ...]) -> [n, c]``.
        params: its parameters.
        x: examples [n, ...].
        kernel: a name of ``KERNELS``.

    Returns:
        One row per parameter: its name and shape, ``factored`` (inputs and output sensitivities are contracted
        as two small Gram matrices) or ``materialised`` (its per-example gradient is formed), and the numbers of
        positions, fan-in and fan-out that decide between the two.

    Raises:
        UnknownName: no such kernel.
        InvalidInput: shapes or dtypes that the kernel would refuse too.
    """
    from ntk_explorer.reading.roads import roads  # not above: cards are read without jax
    from ntk_explorer.reading.taps import read_network

    card, reading = KERNELS[kernel], read_network(f, params, x)
    k = len(card.extras["directions"](reading.outputs))
    return list(roads(reading, len(x), len(x), k, paired=card.extras["paired"]).values())
