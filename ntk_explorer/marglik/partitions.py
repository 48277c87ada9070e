"""Ways to cut the data into parts: at random, class by class, or by what the kernel finds alike.

The complexity of each part by itself never exceeds, summed up, that of the whole; the less the parts share, the less
is lost, so strongly correlated examples belong together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.marglik import PARTITIONS

_IMMER = (
    "Immer, van der Ouderaa, van der Wilk, Rätsch & Schölkopf (2023), "
    "Stochastic Marginal Likelihood Gradients using Neural Tangent Kernels"
)


@dataclass(frozen=True)
class Partition:
    """Parts of the examples 0 … N − 1; ``by_output`` cuts each part again, into one part per output."""

    blocks: tuple[tuple[int, ...], ...]
    by_output: bool = False

    def by_size(self) -> list[tuple[tuple[int, ...], ...]]:
        """Parts of equal size together, which are computed side by side."""
        found: dict[int, list[tuple[int, ...]]] = {}
        for block in self.blocks:
            found.setdefault(len(block), []).append(block)
        return [tuple(blocks) for _, blocks in sorted(found.items(), reverse=True)]


def whole(n: int, *, by_output: bool = False) -> Partition:
    """All examples in one part."""
    return Partition((tuple(range(n)),), by_output)


def given_partition(blocks: Iterable[Iterable[int]], n: int, *, by_output: bool = False) -> Partition:
    """A partition that the caller wrote down.

    Raises:
        InvalidInput: an example that is missing, twice there, or beyond the data; an empty part.
    """
    found = tuple(tuple(int(i) for i in block) for block in blocks)
    if not found or not all(found):
        raise InvalidInput("A part of the data is empty", "Give at least one example per part.")
    everything = sorted(i for block in found for i in block)
    if everything != list(range(n)):
        missing = sorted(set(range(n)) - set(everything))
        problem = f"example {missing[0]} is in no part" if missing else "an example is in two parts or beyond the data"
        raise InvalidInput(
            f"The parts do not make up the {n} examples: {problem}", f"Give each of 0 … {n - 1} exactly once."
        )
    return Partition(found, by_output)


def checked_size(size: Any, n: int) -> int:
    """The number of examples in a part.

    Raises:
        InvalidInput: not a whole number from 1 to N.
    """
    if size is None or isinstance(size, bool) or not hasattr(size, "__index__") or not 1 <= size <= n:
        raise InvalidInput(
            f"The subset size is {size}, and there are {n} examples", f"Give a whole number from 1 to {n}."
        )
    return int(size)


def cut(order: Iterable[int], size: int) -> Partition:
    """Parts of ``size`` in the given order, the last one smaller where they do not fit."""
    order = [int(i) for i in order]
    return Partition(tuple(tuple(order[i : i + size]) for i in range(0, len(order), size)))


@PARTITIONS.register(
    "random",
    label="Random",
    equation=r"\mathcal{B} = \text{a random permutation, cut every } M",
    reference=_IMMER,
    cost="O(N)",
    stochastic=True,
)
def random_order(n: int, *, key, targets=None, similarity=None):  # noqa: ARG001
    """Examples in an order drawn at random: any part is a subset drawn without replacement."""
    import jax  # not above: cards are read without it

    return np.asarray(jax.random.permutation(_required(key), n))


@PARTITIONS.register(
    "class",
    label="Grouped by class",
    equation=r"\mathcal{B} = \text{classes in random order, each shuffled, cut every } M",
    reference=_IMMER,
    cost="O(N)",
    stochastic=True,
)
def class_order(n: int, *, key, targets, similarity=None):  # noqa: ARG001
    """Class after class, in random order and shuffled within each: a part holds few classes."""
    import jax  # not above: cards are read without it

    if targets is None or targets.shape[1] == 1:
        raise InvalidInput("There are no classes to group by", "Use the random or the clustered partition.")
    classes, key_within = np.argmax(targets, axis=1), jax.random.fold_in(_required(key), 1)
    rank = np.asarray(jax.random.permutation(key, targets.shape[1]))
    shuffled = np.asarray(jax.random.permutation(key_within, n))
    return shuffled[np.argsort(rank[classes[shuffled]], kind="stable")]


@PARTITIONS.register(
    "clustered",
    label="Clustered by kernel",
    equation=r"\mathcal{B}_m = \{i\} \cup \operatorname{top}_{M-1}\, \|K_{ij}\|_F^2",
    reference="Greedy; slack ≈ ¼‖K_off‖² for small K, cf. Immer et al. (2023)",
    cost="O(N² log N) and the whole kernel",
    stochastic=False,
)
def clustered_order(n: int, *, similarity, size: int = 1, key=None, targets=None):  # noqa: ARG001
    """Greedily, each part an example that is left and its M − 1 strongest partners ‖K_ij‖² among what is left."""
    left, order = np.ones(n, bool), []
    strength = similarity - np.diag(np.diag(similarity))
    while left.any():
        candidates = np.flatnonzero(left)
        first = candidates[np.argmax(strength[np.ix_(candidates, candidates)].sum(axis=1))]
        others = candidates[candidates != first]
        best = others[np.argsort(-strength[first, others], kind="stable")[: size - 1]]
        chosen = [first, *best]
        left[chosen] = False
        order += chosen
    return np.array(order)


def _required(key):
    if key is None:
        raise InvalidInput("A random partition needs a key", "Give key=jax.random.key(seed), or the parts themselves.")
    return key
