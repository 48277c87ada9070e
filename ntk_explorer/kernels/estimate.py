"""What a kernel will cost in memory and time, said before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ntk_explorer.amounts import human_bytes
from ntk_explorer.errors import TooLarge
from ntk_explorer.kernels import card_of

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

    def require(self, available: int, remedy: str, *, are: str = "free") -> None:
        """Raise TooLarge when ``available`` bytes, which ``are`` what there is, are fewer than needed."""
        if self.bytes > available:
            raise TooLarge(
                f"{self.what} would take about {human_bytes(self.bytes)}, and {human_bytes(available)} are {are}",
                remedy,
            )


def estimate(
    kernel: Any, f, params: Any, x1: Any, x2: Any = None, *, batch_size: int | None = None, in_memory: bool = True
) -> Estimate:
    """Memory and operations of a kernel's matrix, from shapes alone.

    Args:
        kernel: a name of ``KERNELS``, or what a transform returns.
        f: the network's function.
        params: its parameters, or their shapes (``jax.eval_shape`` of the initialisation).
        x1: examples [n, ...], or a ``jax.ShapeDtypeStruct``.
        x2: examples [m, ...]; ``x1`` again when None.
        batch_size: as for the kernel.
        in_memory: whether the finished matrix is kept in memory, or its tiles go elsewhere one by one.

    Returns:
        An :class:`Estimate`.

    Raises:
        UnknownName: no such kernel.
        InvalidInput: shapes that the kernel would refuse too.
    """
    card = card_of(kernel)
    cost = card.extras["costs"](f, params, x1, x2, batch_size=batch_size, in_memory=in_memory)
    sizes = f"{x1.shape[0]} × {(x1 if x2 is None else x2).shape[0]}"
    return Estimate(f"The {card.label} of {sizes} examples", cost.bytes, cost.flops)


def explain(f, params: Any, x: Any, *, kernel: Any = "entk") -> list[Road]:
    """Which road each parameter takes into a kernel of ``x`` with itself.

    Args:
        f: the network's function ``f(params, x[n, ...]) -> [n, c]``.
        params: its parameters.
        x: examples [n, ...].
        kernel: a name of ``KERNELS``, or what a transform returns.

    Returns:
        One row per parameter: its name and shape, ``factored`` (inputs and output sensitivities are contracted
        as two small Gram matrices) or ``materialised`` (its per-example gradient is formed), and the numbers of
        positions, fan-in and fan-out that decide between the two.

    Raises:
        UnknownName: no such kernel.
        InvalidInput: shapes or dtypes that the kernel would refuse too; a kernel made without gradients.
    """
    return card_of(kernel).extras["roads"](f, params, x)
