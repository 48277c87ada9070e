"""Prior precisions: one for all parameters, one per layer or tensor, or one per parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntk_explorer.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Prior:
    """Independent Gaussians N(0, 1/δ) over the parameters.

    ``values`` holds, per tensor, one δ (0-d) or one per parameter, flat; ``owners`` the place in ``given`` that each
    tensor's δ came from; ``given`` is what the caller wrote, flat, and ``rebuild`` makes a tree like it.
    """

    values: tuple[np.ndarray, ...]
    owners: tuple[int, ...]
    given: tuple[np.ndarray, ...]
    rebuild: Any

    @property
    def per_parameter(self) -> bool:
        """Whether any tensor has more than one precision."""
        return any(value.ndim for value in self.values)

    @property
    def per_tensor(self) -> np.ndarray:
        """The precisions [L] where each tensor has one."""
        return np.array([float(value) for value in self.values])

    def weighted_squares(self, weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """δ w² per tensor, summed where the tensor has a single δ."""
        return [
            value * (w**2 if value.ndim else np.asarray(w @ w)) for value, w in zip(self.values, weights, strict=True)
        ]

    def collected(self, per_tensor: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Numbers per tensor, added up for each given precision."""
        totals = [np.zeros_like(given, dtype=float) for given in self.given]
        flat = len(self.given) == 1 and self.given[0].ndim == 1 and len(self.values) > 1
        if flat:
            return [np.concatenate([np.ravel(part) for part in per_tensor])]
        for owner, part in zip(self.owners, per_tensor, strict=True):
            totals[owner] = totals[owner] + np.reshape(part, self.given[owner].shape)
        return totals

    def tree(self, collected: Sequence[np.ndarray]) -> Any:
        """A tree like the given one: of floats where one precision was a number, of arrays where it was an array."""
        return self.rebuild([float(part) if np.ndim(part) == 0 else part for part in collected])

    def with_given(self, values: Sequence[np.ndarray]) -> Any:
        """The tree of other precisions in the place of the given ones."""
        return self.tree(list(values))


def resolve_prior(prior_precision: Any, params: Any) -> Prior:
    """Prior precisions of every tensor of ``params``.

    Args:
        prior_precision: δ > 0 for all parameters; a pytree prefix of ``params`` with one δ per layer or tensor (or, for
            a tensor, an array of its shape); or one value per parameter, flat [P] in the order of the tree's leaves.
        params: the network's parameters.

    Raises:
        InvalidInput: no prefix of ``params``, wrong shapes, or precisions that are not positive and finite.
    """
    import jax  # not above: cards are read without it

    leaves = jax.tree.leaves(params)
    flat, structure = jax.tree.flatten(prior_precision)
    given = tuple(np.asarray(value, dtype=np.float64) for value in flat)
    _require_positive(given)
    sizes = [int(np.size(leaf)) for leaf in leaves]
    if len(given) == 1 and jax.tree_util.treedef_is_leaf(structure):
        values = _of_one(given[0], sizes, [np.shape(leaf) for leaf in leaves])
        return Prior(values, (0,) * len(leaves), given, lambda parts: parts[0])
    try:
        owners = jax.tree.leaves(jax.tree.broadcast(structure.unflatten(range(len(given))), params))
    except ValueError as error:
        raise InvalidInput(
            f"The prior precisions are no prefix of the parameters: {error}",
            "Give one number, one per layer or tensor in a tree like the parameters, or one per parameter.",
        ) from None
    return Prior(_of_tree(given, owners, leaves), tuple(owners), given, structure.unflatten)


def _of_one(given: np.ndarray, sizes: list[int], shapes: list[tuple[int, ...]]) -> tuple[np.ndarray, ...]:
    if given.ndim == 0:
        return (given,) * len(sizes)
    if given.ndim == 1 and given.size == sum(sizes):
        return tuple(np.split(given, np.cumsum(sizes)[:-1]))
    if len(shapes) == 1 and given.shape == shapes[0]:
        return (given.ravel(),)
    raise InvalidInput(
        f"prior_precision has shape {given.shape} for {sum(sizes)} parameters", "Give one number, or one per parameter."
    )


def _of_tree(given: tuple[np.ndarray, ...], owners: list[int], leaves: list[Any]) -> tuple[np.ndarray, ...]:
    values = []
    for owner, leaf in zip(owners, leaves, strict=True):
        value = given[owner]
        if value.ndim and (value.shape != np.shape(leaf) or owners.count(owner) > 1):
            raise InvalidInput(
                f"A prior precision has shape {value.shape} for a tensor of shape {np.shape(leaf)}",
                "Give one number per layer or tensor, or an array of the tensor's shape.",
            )
        values.append(value.ravel() if value.ndim else value)
    return tuple(values)


def _require_positive(given: tuple[np.ndarray, ...]) -> None:
    if not given:
        raise InvalidInput("There is no prior precision", "Give at least one positive number.")
    for value in given:
        bad = ~((value > 1e-100) & (value < 1e100))  # NaN fails both comparisons
        if bad.any():
            raise InvalidInput(
                f"The prior precision {float(value[bad][0])} is not positive and finite, or over- or underflows",
                "Give a number between 1e-100 and 1e100, for instance 1.",
            )
