"""Whitened features: all that the evidence needs of a network at given weights, read once and kept.

Φ = RᵀJ has one row per example and output; K = Σ_l Φ_l P₀,l⁻¹ Φ_lᵀ over tensors l. What is kept are the shares
Φ_l Φ_lᵀ, so that every change of prior, noise, estimator or partition is linear algebra.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.marglik import LIKELIHOODS
from ntk_explorer.marglik.likelihoods import checked_targets
from ntk_explorer.marglik.partitions import Partition, whole
from ntk_explorer.marglik.stacks import Stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntk_explorer.kernels.estimate import Estimate
    from ntk_explorer.marglik._reading import Call, Kronecker

# Rows up to which all shares are kept as whole matrices, whatever is asked first: 32 MB for each tensor.
HELD_ROWS = 2000
# Numbers of a Jacobian that is read whole whichever tensor is asked for: 64 MB.
LITTLE = 2**23


@dataclass(frozen=True, eq=False)
class WhitenedFeatures:
    """A network at its weights and data, whitened by a likelihood; what is read is kept.

    ``directions`` [n, k, c] are the rows of Rᵀ that count, all c or some; ``outputs`` [n, c] are f(x) and ``targets``
    those of the data; ``weights`` are the tensors w_l, flat; ``copies`` says how many copies of an
    example ``f`` averages over.
    """

    f: Callable[..., Any]
    params: Any
    x: Any
    targets: np.ndarray
    likelihood: str
    outputs: np.ndarray
    directions: np.ndarray
    names: tuple[str, ...]
    weights: tuple[np.ndarray, ...]
    dtype: str = "float64"
    batch_size: int | None = None
    copies: int = 1
    _stacks: dict[Partition, list[Stack]] = field(default_factory=dict, repr=False)

    @property
    def examples(self) -> int:
        """N."""
        return len(self.outputs)

    @property
    def rows_per_example(self) -> int:
        """Rows of Φ for each example: C, or 1 for a single output."""
        return self.directions.shape[1]

    @property
    def rows(self) -> int:
        """Rows of Φ."""
        return self.examples * self.rows_per_example

    @property
    def parameters(self) -> int:
        """P."""
        return sum(w.size for w in self.weights)

    @cached_property
    def call(self) -> Call:
        """The whitened network, for what reads it."""
        from ntk_explorer.marglik._reading import arithmetic, whitened_call  # they import jax

        with arithmetic(self.dtype):
            return whitened_call(self.f, self.params, self.x, self.directions, self.dtype)

    def _read(self, how, *args, **options):
        from ntk_explorer.marglik import _reading  # it imports jax

        with _reading.arithmetic(self.dtype):
            return getattr(_reading, how)(self.call, *args, **options)

    @cached_property
    def grams(self) -> np.ndarray:
        """Φ_l Φ_lᵀ [L, rows, rows]."""
        return self._read("read_grams", batch_size=self.batch_size)

    @cached_property
    def _jacobians(self) -> dict[int, np.ndarray]:
        return {}

    def jacobian(self, tensor: int) -> np.ndarray:
        """Φ_l [rows, P_l] of one tensor; all others are read with it where that is little, else those no larger."""
        if tensor not in self._jacobians:
            little = self.parameters * self.rows <= LITTLE
            size = self.parameters if little else self.weights[tensor].size
            wanted = tuple(i for i, w in enumerate(self.weights) if w.size <= size and i not in self._jacobians)
            self._jacobians.update(zip(wanted, self._read("read_jacobian", wanted), strict=True))
        return self._jacobians[tensor]

    @cached_property
    def factors(self) -> dict[int, Kronecker]:
        """Kronecker factors of the tensors that have them."""
        return self._read("read_factors", self.copies)

    @cached_property
    def tangents(self) -> np.ndarray:
        """Φ_l w_l [L, rows]."""
        return self._read("read_tangents")

    @cached_property
    def residual(self) -> np.ndarray:
        """ρ [rows] with J_lᵀ ∇_f log p = Φ_lᵀ ρ, without the noise scale."""
        if self.rows_per_example != self.outputs.shape[1]:
            raise InvalidInput("The residual needs all outputs", "Read whitened features without outputs=.")
        return LIKELIHOODS[self.likelihood].extras["residual"](self.outputs, self.targets).ravel()

    @cached_property
    def pulled(self) -> np.ndarray:
        """Φ_l Φ_lᵀ ρ [L, rows]: how the outputs move along the log-likelihood's gradient."""
        return self.grams @ self.residual

    @cached_property
    def coded(self) -> WhitenedFeatures:
        """The features that the released code of 2023 has for single outputs: √Λ_cc J_c, outputs not mixed."""
        return replace(self, directions=LIKELIHOODS[self.likelihood].extras["coded"](self.outputs), _stacks={})

    @property
    def coded_differs(self) -> bool:
        """Whether the coded features are others than the whitened ones, and so no bound."""
        extras = LIKELIHOODS[self.likelihood].extras
        return extras["coded"] is not extras["root"]

    @cached_property
    def squared_error(self) -> float:
        """RSS = Σ ‖y − f‖²."""
        return float(np.sum((self.targets - self.outputs) ** 2))

    def take(self, examples: Any, rows: Any = None) -> WhitenedFeatures:
        """The features of some examples, and of one row of each (a number, or one number per example)."""
        chosen = np.asarray(examples, dtype=int)
        directions = self.directions[chosen]
        if rows is not None:
            directions = np.take_along_axis(directions, np.broadcast_to(rows, len(chosen))[:, None, None], axis=1)
        parts = {name: getattr(self, name)[chosen] for name in ("x", "targets", "outputs")}
        taken = replace(self, **parts, directions=directions, _stacks={})
        if "grams" in self.__dict__:
            k = self.rows_per_example
            inner = np.arange(k) if rows is None else np.broadcast_to(rows, len(chosen))[:, None]
            held = (chosen[:, None] * k + inner).ravel()
            taken.__dict__["grams"] = self.grams[:, held[:, None], held]  # where the cached property looks first
        return taken

    def stacks(self, partition: Partition) -> list[Stack]:
        """The parts of a partition, those of equal size together; kept for the next change of the prior."""
        if partition not in self._stacks:
            self._stacks[partition] = [Stack(self, blocks, partition.by_output) for blocks in partition.by_size()]
        return self._stacks[partition]

    @property
    def holds_grams(self) -> bool:
        """Whether the shares are there as whole matrices, or small enough to be."""
        return "grams" in self.__dict__ or self.rows <= HELD_ROWS

    @property
    def whole(self) -> Stack:
        """Everything in one part."""
        return self.stacks(whole(self.examples))[0]


def whitened_features(
    f: Callable[..., Any],
    params: Any,
    x: Any,
    y: Any,
    *,
    likelihood: str,
    outputs: Any = None,
    dtype: str = "float64",
    batch_size: int | None = None,
) -> WhitenedFeatures:
    """Φ = RᵀJ of a network at its weights, R Rᵀ = Λ: what every evidence below is linear algebra on.

    Args:
        f: any ``f(params, x[n, ...]) -> [n, c]`` that treats examples independently; hashable.
        params: its parameters; the point of linearisation w.
        x: examples [n, ...].
        y: targets [n, c] for ``"gaussian"``, classes [n] for ``"categorical"``.
        likelihood: a name of ``LIKELIHOODS``.
        outputs: only one whitened output of each example: its number, or one number per example; all when None.
        dtype: of what is read of the network; the linear algebra is in double precision.
        batch_size: examples read at a time; bounds memory, never changes the result beyond rounding.

    Returns:
        :class:`WhitenedFeatures`; nothing large is read before it is needed.

    Raises:
        UnknownName: no such likelihood.
        InvalidInput: examples, targets or parameters that no evidence can be computed from.

    Source: Immer et al. (2023).
    """
    import jax  # not above: cards are read without it

    from ntk_explorer.marglik._reading import checked_network

    card = LIKELIHOODS[likelihood]
    params, x, names, values = checked_network(f, params, x, dtype)
    targets = checked_targets(likelihood, y, *values.shape)
    weights = tuple(np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(params))
    roots = np.asarray(card.extras["root"](values))
    found = WhitenedFeatures(f, params, x, targets, likelihood, values, roots, names, weights, dtype, batch_size)
    if outputs is None:
        return found
    _require_outputs(outputs, values.shape[1])
    return found.take(np.arange(len(values)), outputs)


def _require_outputs(outputs: Any, count: int) -> None:
    numbers = np.asarray(outputs)
    if numbers.dtype.kind not in "iu" or (numbers < 0).any() or (numbers >= count).any():
        raise InvalidInput(f"outputs is {outputs}, and the network has {count}", f"Give numbers from 0 to {count - 1}.")


def estimate_features(f: Callable[..., Any], params: Any, x: Any, *, dtype: str = "float64") -> Estimate:
    """Memory and operations of all shares Φ_l Φ_lᵀ and of one factorisation, from shapes alone.

    Args:
        f: the network's function.
        params: its parameters, or their shapes.
        x: examples [n, ...], or their shapes.
        dtype: as for :func:`whitened_features`.

    Returns:
        An :class:`~ntk_explorer.kernels.estimate.Estimate`; its ``require`` refuses what does not fit.
    """
    import jax  # not above: cards are read without it

    from ntk_explorer.kernels.estimate import Estimate, estimate
    from ntk_explorer.marglik._reading import arithmetic

    with arithmetic(dtype):
        params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), params)
        reading = estimate("entk", f, params, jax.ShapeDtypeStruct(x.shape, dtype))
    n, c = jax.eval_shape(f, params, jax.ShapeDtypeStruct(x.shape, dtype)).shape
    shares = len(jax.tree.leaves(params)) * (n * c) ** 2 * 8
    # The shares once as blocks and once as matrices, the kernel, its factor and its inverse.
    total = reading.bytes + 2 * shares + 3 * (n * c) ** 2 * 8
    return Estimate(f"The whitened kernels of {n} × {c} rows by parameter", total, reading.flops + (n * c) ** 3)
