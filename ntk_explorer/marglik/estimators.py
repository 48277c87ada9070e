"""Estimators of the complexity ½ log|I + K|: exact, lower bounds on the evidence, and approximations.

Each is a partition of the rows of Φ (examples and outputs) and a structure that is kept of every part. By Fischer's
inequality the log-determinants of parts or diagonal blocks, added up, are never less than that of the whole, so that
the evidence never comes out higher. ``is_bound`` of a card speaks of its default options, that of a result of its own.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.marglik import ESTIMATORS, PARTITIONS, structures
from ntk_explorer.marglik.features import WhitenedFeatures
from ntk_explorer.marglik.partitions import Partition, checked_size, cut, given_partition, whole
from ntk_explorer.marglik.priors import Prior

_IMMER = (
    "Immer, van der Ouderaa, van der Wilk, Rätsch & Schölkopf (2023), "
    "Stochastic Marginal Likelihood Gradients using Neural Tangent Kernels"
)
_MARTENS = "Martens & Grosse (2015), Optimizing Neural Networks with Kronecker-factored Approximate Curvature"
OUTPUTS = ("whitened", "paper")
FORMS = ("parametric", "ntk")


@dataclass(frozen=True)
class Method:
    """An estimator with its options: what is kept, of which parts, of which features."""

    structure: structures.Structure
    partition: Partition
    features: WhitenedFeatures
    is_bound: bool
    form: str | None = None

    def log_determinant(self, prior: Prior, scale: float, *, gradient: bool = False) -> structures.LogDeterminant:
        """The log-determinants of all parts together, and γ of every tensor."""
        form = {} if self.form is None else {"form": self.form}
        parts = [
            self.structure(stack, prior, scale, gradient=gradient, **form)
            for stack in self.features.stacks(self.partition)
        ]
        gamma = [part.gamma for part in parts if part.gamma is not None]
        summed = [np.asarray(sum(shares)) for shares in zip(*gamma, strict=True)] if gamma else None
        return structures.LogDeterminant(sum(part.value for part in parts), summed)


@ESTIMATORS.register(
    "full",
    label="Exact (cheaper side)",
    equation=r"\tfrac12 \log|I + P_0^{-1/2} H P_0^{-1/2}| = \tfrac12 \log|I + K|",
    reference="MacKay (1992); Immer, Bauer, Fortuin, Rätsch & Khan (2021), Scalable Marginal Likelihood Estimation",
    cost="O(NCP min(NC, P) + min(NC, P)³)",
    tags=("exact",),
    is_bound=True,
)
def full(features: WhitenedFeatures, *, form: str | None = None) -> Method:
    """The exact linearised-Laplace evidence, by the P × P or the NC × NC matrix, whichever is smaller."""
    if form is not None and form not in FORMS:
        raise UnknownName("form", form, FORMS)
    return Method(structures.full, whole(features.examples), features, True, form)


@ESTIMATORS.register(
    "ntk",
    label="Exact, NTK",
    equation=r"\tfrac12 \log|I + K|,\quad K = \Phi P_0^{-1} \Phi^\top",
    reference=_IMMER,
    cost="O((NC)²P + (NC)³) time, (NC)² memory",
    tags=("exact",),
    is_bound=True,
)
def ntk(features: WhitenedFeatures) -> Method:
    """The exact evidence from the whitened tangent kernel of all examples and outputs."""
    return full(features, form="ntk")


@ESTIMATORS.register(
    "block",
    label="Block-diagonal",
    equation=r"\textstyle\sum_l \tfrac12 \log|I + H_{ll}/\delta_l|",
    reference=_IMMER,
    cost="O(NC Σ P_l² + Σ P_l³)",
    tags=("parameters",),
    is_bound=True,
)
def block(features: WhitenedFeatures) -> Method:
    """Correlations between tensors dropped: a lower bound (Theorem 1)."""
    return Method(structures.block, whole(features.examples), features, True)


@ESTIMATORS.register(
    "diag",
    label="Diagonal",
    equation=r"\textstyle\sum_i \tfrac12 \log(1 + H_{ii}/\delta_i)",
    reference=_IMMER,
    cost="O(NCP)",
    tags=("parameters",),
    is_bound=True,
)
def diag(features: WhitenedFeatures) -> Method:
    """All correlations between parameters dropped: the loosest lower bound of these."""
    return Method(structures.diagonal, whole(features.examples), features, True)


@ESTIMATORS.register(
    "kfac",
    label="KFAC",
    equation=r"\textstyle\sum_l \tfrac12 \sum_{ij} \log(1 + b_i a_j/\delta_l)",
    reference=_MARTENS + "; " + _IMMER,
    cost="C products per example, then O(Σ D_in³ + D_out³)",
    tags=("approximation",),
    is_bound=False,
)
def kfac(features: WhitenedFeatures) -> Method:
    """Kronecker factors of every tensor's block: an approximation, above or below the truth, and no bound."""
    return Method(structures.kfac, whole(features.examples), features, False)


@ESTIMATORS.register(
    "subset",
    label="Data partition",
    equation=r"\textstyle\sum_m \tfrac12 \log|I + K_{\mathcal{B}_m}|",
    reference=_IMMER,
    cost="O((MC)²P + (MC)³) per part",
    tags=("data",),
    is_bound=True,
)
def subset(features: WhitenedFeatures, *, outputs: str | None = None, form: str | None = None, **parts: Any) -> Method:
    """Correlations between parts of the data dropped (Theorem 2); with ``outputs`` also those between outputs.

    The options of :func:`partition_of` say what the parts are.
    """
    if form is not None and form not in FORMS:
        raise UnknownName("form", form, FORMS)
    return _on_parts(structures.full, features, True, outputs, parts, form)


@ESTIMATORS.register(
    "output",
    label="Output partition",
    equation=r"\textstyle\sum_c \tfrac12 \log|I + K_{(\cdot, c)}|",
    reference=_IMMER,
    cost="O(N²P + N³) per output",
    tags=("outputs",),
    is_bound=True,
)
def output(features: WhitenedFeatures, *, outputs: str = "whitened") -> Method:
    """Correlations between outputs dropped: whitened ones give a bound, the released code's (``"paper"``) may not."""
    return _on_parts(structures.full, features, True, outputs, {"size": features.examples})


@ESTIMATORS.register(
    "subset_output",
    label="Data × output",
    equation=r"\textstyle\sum_m \sum_c \tfrac12 \log|I + K_{\mathcal{B}_m, c}|",
    reference=_IMMER,
    cost="O(M²P + M³) and one product per example, per draw",
    tags=("data", "outputs"),
    is_bound=True,
)
def subset_output(features: WhitenedFeatures, *, outputs: str = "whitened", **parts: Any) -> Method:
    """Correlations between parts of the data and between outputs dropped."""
    return _on_parts(structures.full, features, True, outputs, parts)


@ESTIMATORS.register(
    "subset_block",
    label="Data × parameter blocks",
    equation=r"\textstyle\sum_m \sum_l \tfrac12 \log|I + H_{\mathcal{B}_m, l}/\delta_l|",
    reference=_IMMER,
    cost="O(MC Σ P_l² + Σ P_l³) per part",
    tags=("data", "parameters"),
    is_bound=True,
)
def subset_block(features: WhitenedFeatures, *, outputs: str | None = None, **parts: Any) -> Method:
    """Correlations between parts of the data and between tensors dropped (Theorem 3)."""
    return _on_parts(structures.block, features, True, outputs, parts)


@ESTIMATORS.register(
    "subset_diag",
    label="Data × diagonal",
    equation=r"\textstyle\sum_m \sum_i \tfrac12 \log(1 + H_{\mathcal{B}_m, ii}/\delta_i)",
    reference=_IMMER,
    cost="O(MCP) per part",
    tags=("data", "parameters"),
    is_bound=True,
)
def subset_diag(features: WhitenedFeatures, *, outputs: str | None = None, **parts: Any) -> Method:
    """The diagonal of each part's own matrix."""
    return _on_parts(structures.diagonal, features, True, outputs, parts)


@ESTIMATORS.register(
    "subset_kfac",
    label="Data × KFAC",
    equation=r"\textstyle\sum_m \sum_l \tfrac12 \sum_{ij} \log(1 + b_i a_j/\delta_l)",
    reference=_MARTENS + "; " + _IMMER,
    cost="MC products per part, then O(Σ D_in³ + D_out³)",
    tags=("data", "approximation"),
    is_bound=False,
)
def subset_kfac(features: WhitenedFeatures, *, outputs: str | None = None, **parts: Any) -> Method:
    """Kronecker factors of each part, with inputs averaged over the part: an approximation and no bound."""
    return _on_parts(structures.kfac, features, False, outputs, parts)


def method_of(features: WhitenedFeatures, estimator: str, options: dict[str, Any]) -> Method:
    """An estimator by its name and options.

    Raises:
        UnknownName: no such estimator.
        InvalidInput: options that it does not take.
    """
    card = ESTIMATORS[estimator]
    known = _options_of(card.function)
    if strange := sorted(set(options) - known):
        takes = f"It takes {', '.join(sorted(known))}." if known else "It takes none."
        raise InvalidInput(f"The estimator {estimator} has no option {strange[0]!r}", takes)
    return card(features, **options)


def _options_of(function) -> set[str]:
    found = set()
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            found |= _options_of(partition_of)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            found.add(name)
    return found


def partition_of(
    features: WhitenedFeatures, *, blocks: Any = None, size: Any = None, grouping: str = "random", key: Any = None
) -> Partition:
    """Parts of the data: the given ones, or cut to ``size`` examples in one of the orders of ``PARTITIONS``.

    Args:
        features: of the data.
        blocks: a :class:`~ntk_explorer.marglik.partitions.Partition`, or lists of examples; no other option then.
        size: examples M in each part; the last one is smaller where M does not divide N.
        grouping: ``"random"``, ``"class"`` or ``"clustered"``.
        key: ``jax.random.key`` for the first two.

    Raises:
        UnknownName: no such grouping.
        InvalidInput: neither parts nor size; parts that do not make up the data; more examples than there are.
    """
    n = features.examples
    if isinstance(blocks, Partition):
        blocks = blocks.blocks
    if blocks is not None:
        return given_partition(blocks, n)
    size, card = checked_size(size, n), PARTITIONS[grouping]
    if size == n:
        return whole(n)
    options = {"key": key} if card.extras["stochastic"] else {"similarity": similarity(features), "size": size}
    return cut(card(n, targets=features.targets, **options), size)


def similarity(features: WhitenedFeatures) -> np.ndarray:
    """‖K_ij‖_F² [N, N] between all pairs of examples, at one precision for all parameters."""
    kernel, n, k = features.grams.sum(axis=0), features.examples, features.rows_per_example
    return (kernel.reshape(n, k, n, k) ** 2).sum(axis=(1, 3))


def _on_parts(structure, features, is_bound, outputs, parts, form=None) -> Method:
    if outputs is not None and outputs not in OUTPUTS:
        raise UnknownName("variant of outputs", outputs, OUTPUTS)
    coded = outputs == "paper"
    partition = partition_of(features, **parts)
    partition = Partition(partition.blocks, by_output=outputs is not None)
    chosen = features.coded if coded else features
    return Method(structure, partition, chosen, is_bound and not (coded and features.coded_differs), form)
