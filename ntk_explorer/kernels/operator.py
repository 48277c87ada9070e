"""A kernel as an operator: its products with vectors, without its matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.kernels import card_of
from ntk_explorer.kernels._ways import Along
from ntk_explorer.kernels.estimate import Estimate

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

    from ntk_explorer.registry import Entry

METHODS = ("auto", "jvp-vjp", "factored")
BATCH, COLUMNS = 256, 32


@dataclass(frozen=True, eq=False)
class KernelOperator:
    """The symmetric N × N map v -> K v of a kernel of n examples with themselves; N = n, or n c for the eNTK.

    Vectors of the eNTK have examples outer and outputs inner, like the matrix [n c, n c] that :func:`spectrum`
    makes of the blocks. ``product(held, v[N, r])`` is the same map for use in programs of one's own that JAX
    compiles; ``cost`` is that of one product and ``rounding`` the relative error of its arithmetic.
    """

    kernel: str
    method: str
    shape: tuple[int, int]
    dtype: np.dtype
    precision: str
    cost: Estimate
    product: Callable[[Any, Any], Any] = field(repr=False)
    held: Any = field(repr=False)
    _diagonal: Callable[[], Any] = field(repr=False)

    @property
    def rounding(self) -> float:
        """Relative error of one product of numbers in this arithmetic."""
        from ntk_explorer.linalg.rounding import unit_rounding

        return unit_rounding(self.dtype, self.precision)

    def matvec(self, v) -> np.ndarray:
        """K v for one vector [N].

        Raises:
            InvalidInput: another length, or entries that are not real and finite.
        """
        return self._multiplied(v, (1,))

    def matmat(self, v) -> np.ndarray:
        """K V for the columns of V [N, r]; errors as for :meth:`matvec`."""
        return self._multiplied(v, (2,))

    def __matmul__(self, v) -> np.ndarray:
        """``operator @ v`` for v [N] or [N, r]."""
        return self._multiplied(v, (1, 2))

    def _multiplied(self, v, ndims):
        from ntk_explorer.linalg._maps import apply  # not above: cards are read without jax

        v = np.asarray(v)
        if v.ndim not in ndims or v.shape[0] != self.shape[0] or not v.size:
            columns = " or ".join(("[N]", "[N, r]")[ndim - 1] for ndim in ndims)
            raise InvalidInput(
                f"A vector of shape {v.shape} does not fit a kernel of shape {self.shape}",
                f"Give {columns} with N = {self.shape[0]}, examples outer and outputs inner.",
            )
        if v.dtype.kind not in "fiubV" or not np.isfinite(v.astype(float)).all():
            raise InvalidInput("The vector holds entries that are not real and finite", "Remove or replace them.")
        return apply(self, v)

    def diagonal(self) -> np.ndarray:
        """The diagonal [N], exactly: squared lengths of gradients, in the time of about one product per direction."""
        from ntk_explorer.linalg._maps import in_precision_of  # not above: cards are read without jax

        with in_precision_of(self):
            return np.asarray(self._diagonal())

    def trace(self) -> float:
        """The trace, exactly, from the diagonal."""
        return float(self.diagonal().sum(dtype=np.float64))

    def as_scipy(self) -> LinearOperator:
        """The operator for SciPy's iterative solvers."""
        from ntk_explorer.linalg._scipy import Products

        return Products(self.shape, self.dtype, self.__matmul__)


def kernel_operator(
    kernel: Any,
    f: Callable[..., Any],
    params: Any,
    x: Any,
    *,
    y: Any = None,
    batch_size: int | None = None,
    method: str = "auto",
    precision: str = "highest",
) -> KernelOperator:
    """A kernel of examples ``x`` with themselves as an operator that never forms its matrix.

    K = Σ_k (D_k J)(D_k J)ᵀ along the kernel's directions D in output space. Method ``jvp-vjp`` computes
    D_k J (Jᵀ D_kᵀ v) by differentiating the network, twice per product, holding one batch; ``factored`` reads the
    network once, holds what each example contributes to each parameter, and multiplies through that.

    Args:
        kernel: name or function of a kernel that is made of gradients: of outputs, of a loss or of a margin.
        f: any ``f(params, x[n, ...]) -> [n, c]`` that treats examples independently; hashable.
        params: pytree of real floating-point arrays.
        x: examples [n, ...].
        y: the class of each example, for kernels that use labels.
        batch_size: examples that the network is differentiated for at a time; what fits, up to 256, when None.
        method: ``jvp-vjp``, ``factored``, or ``auto`` for the one with fewer operations of those that fit.
        precision: precision of all matrix products (``jax.default_matmul_precision``).

    Returns:
        A :class:`KernelOperator`.

    Raises:
        UnknownName: no such kernel or method.
        InvalidInput: a kernel that is not of this form; shapes, dtypes or NaN that no kernel can be computed from.
        TooLarge: not even one product fits in memory.

    Source: Pearlmutter (1994), Fast Exact Multiplication by the Hessian; Novak, Sohl-Dickstein & Schoenholz (2022),
    Fast Finite Width Neural Tangent Kernel.
    """
    import jax
    import jax.numpy as jnp

    from ntk_explorer.reading import products  # not above: cards are read without jax

    plan = plan_products(kernel, f, params, x, y=y, batch_size=batch_size, method=method)
    (f, x, directions, paired), params = plan.along, jax.tree.map(jnp.asarray, params)
    reading = {"directions": directions, "batch": plan.batch, "precision": precision}
    if plan.method == "factored":
        product = products.Factored(paired, precision, plan.columns)
        held = products.read_factors(f, params, x, **reading)
    else:
        product = products.Transforms(f, directions, paired, precision, plan.columns)
        held = params, products.in_batches(x, plan.batch)
    return KernelOperator(
        card_of(kernel).name,
        plan.method,
        (plan.size, plan.size),
        plan.dtype,
        precision,
        plan.cost,
        product,
        held,
        lambda: products.diagonal(f, params, x, paired=paired, **reading),
    )


class ProductPlan(NamedTuple):
    """How products will be computed, decided from shapes: road, examples and columns at a time, and what one costs."""

    method: str
    batch: int
    columns: int
    size: int
    dtype: np.dtype
    cost: Estimate
    reading_flops: float
    along: Along


def plan_products(
    kernel: Any,
    f: Callable[..., Any],
    params: Any,
    x: Any,
    *,
    y: Any = None,
    batch_size: int | None = None,
    method: str = "auto",
) -> ProductPlan:
    """What :func:`kernel_operator` will do and what a product will cost; arguments and errors are the same."""
    from ntk_explorer.reading.machine import available_bytes  # not above: cards are read without jax
    from ntk_explorer.reading.product_cost import COSTS, product_shapes

    if method not in METHODS:
        raise UnknownName("method", method, METHODS)
    along = _along(card_of(kernel), f, params, x, y, batch_size)
    shapes, paired, n = product_shapes(along.f, params, along.x, along.directions), along.paired, len(along.x)
    size = n * (1 if paired else shapes.k)
    budget, plans = available_bytes() // 2, []
    for road in METHODS[1:] if method == "auto" else (method,):
        for batch, columns in _sizes(n, batch_size):
            cost = COSTS[road](shapes, paired=paired, columns=columns, batch=batch)
            estimate = Estimate(f"A product with the {card_of(kernel).label} of {n} examples", cost.bytes, cost.flops)
            plans.append(ProductPlan(road, batch, columns, size, shapes.dtype, estimate, cost.reading_flops, along))
            if cost.bytes <= budget:
                break
    chosen = min(plans, key=lambda plan: (plan.cost.bytes > budget, plan.cost.flops, plan.cost.bytes))
    chosen.cost.require(budget, "Take fewer examples, a narrower network, or float32.")
    return chosen


def _along(card: Entry, f, params, x, y, batch_size) -> Along:
    """What to differentiate along which directions, after all checks."""
    if "along" not in card.extras:
        raise InvalidInput(
            f"{card.label} has no products of its own", "Take the kernel it is made from, or form its matrix with gram."
        )
    if y is not None and "uses-labels" not in card.tags:
        raise InvalidInput(f"The kernel {card.label} uses no labels", "Leave y out.")
    labels = {"y1": y} if "uses-labels" in card.tags else {}
    return card.extras["along"](f, params, x, batch_size=batch_size, **labels)


def _sizes(n: int, batch_size: int | None) -> Iterator[tuple[int, int]]:
    """Examples and columns at a time, from what is fast to what is small."""
    batch, columns = min(batch_size or BATCH, n), COLUMNS
    yield batch, columns
    while columns > 1:
        columns //= 2
        yield batch, columns
    while batch > 1 and batch_size is None:
        batch //= 2
        yield batch, columns
