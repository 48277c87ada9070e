"""Likelihoods of targets given a network's outputs: their logarithm, its curvature's root and its gradient.

With Λ = −∂² log p(y|f)/∂f², a root is any R with R Rᵀ = Λ; rows of Rᵀ are directions in output space, [n, c, c].
The noise scale of a Gaussian is left out of root and residual: it is a factor of the whole kernel, and so a slider.
The functions follow the array API, so that NumPy's and JAX's arrays both pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.marglik import LIKELIHOODS

_LAPLACE = "MacKay (1992), The Evidence Framework Applied to Classification Networks"


def _identity(outputs):
    xp = outputs.__array_namespace__()
    n, c = outputs.shape
    return xp.broadcast_to(xp.eye(c, dtype=outputs.dtype)[None], (n, c, c))


def _difference(outputs, targets):
    return targets - outputs


def _softmax_root(outputs):
    """Rᵀ of Λ = diag(p) − ppᵀ: row c is √p_c (e_c − p)."""
    xp = outputs.__array_namespace__()
    p = xp.exp(log_softmax(outputs))
    return xp.sqrt(p)[:, :, None] * (xp.eye(p.shape[1], dtype=p.dtype)[None] - p[:, None, :])


def _softmax_diagonal(outputs):
    """Rows √(p_c (1 − p_c)) e_c: what the released code of 2023 keeps of Λ for single outputs."""
    xp = outputs.__array_namespace__()
    log_p = log_softmax(outputs)
    others = xp.sum(xp.exp(log_p)[:, None, :] * (1 - xp.eye(log_p.shape[1], dtype=log_p.dtype))[None], axis=2)
    return xp.sqrt(xp.exp(log_p) * others)[:, :, None] * xp.eye(log_p.shape[1], dtype=log_p.dtype)[None]


def _softmax_residual(outputs, targets):
    """ρ with Rρ = onehot − p, which Λ's null space leaves free: (onehot − p)/√p."""
    xp = outputs.__array_namespace__()
    log_p = log_softmax(outputs)
    # targets·exp(−½ log p) would be 0·∞ for classes of no probability.
    own = xp.where(targets > 0, log_p, xp.zeros_like(log_p))
    return targets * xp.exp(-own / 2) - xp.exp(log_p / 2)


def log_softmax(outputs):
    """Log-probabilities [n, c] of logits."""
    xp = outputs.__array_namespace__()
    shifted = outputs - xp.max(outputs, axis=1)[:, None]
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=1))[:, None]


@LIKELIHOODS.register(
    "gaussian",
    label="Gaussian",
    equation=r"\log p(y|f) = -\tfrac{\|y - f\|^2}{2\sigma^2} - C \log(\sigma\sqrt{2\pi}),\quad \Lambda = \sigma^{-2} I",
    reference="MacKay (1992), Bayesian Interpolation",
    cost="O(NC)",
    noise=True,
    root=_identity,
    coded=_identity,
    residual=_difference,
)
def gaussian(outputs, targets, *, sigma):
    """Log-likelihood of targets [n, c] with independent noise of standard deviation ``sigma``, summed."""
    xp = outputs.__array_namespace__()
    squares = xp.sum((targets - outputs) ** 2)
    constant = math.prod(targets.shape) * (math.log(sigma) + math.log(2 * math.pi) / 2)
    return -squares / (2 * sigma**2) - constant


@LIKELIHOODS.register(
    "categorical",
    label="Categorical (softmax)",
    equation=r"\log p(y|f) = f_y - \log \textstyle\sum_c e^{f_c},\quad \Lambda = \operatorname{diag}(p) - p p^\top",
    reference=_LAPLACE,
    cost="O(NC)",
    noise=False,
    root=_softmax_root,
    coded=_softmax_diagonal,
    residual=_softmax_residual,
)
def categorical(outputs, targets, *, sigma=None):  # noqa: ARG001
    """Log-probability of classes, as one-hot rows [n, c], under the softmax of the outputs, summed."""
    xp = outputs.__array_namespace__()
    # Only a target's own logarithm counts; −∞ times 0 would not be 0.
    own = xp.where(targets > 0, log_softmax(outputs), xp.zeros_like(outputs))
    return xp.sum(own * targets)


@dataclass(frozen=True)
class Noise:
    """A likelihood at its noise scale: σ is a standard deviation, T divides log-likelihood and curvature."""

    likelihood: str
    sigma: float | None
    temperature: float

    @property
    def scale(self) -> float:
        """The factor of the kernel: 1/(σ²T), or 1/T without noise."""
        return 1 / (self.temperature * (self.sigma or 1.0) ** 2)

    def log_likelihood(self, outputs, targets) -> float:
        """The log-likelihood over T, summed over the examples."""
        return float(LIKELIHOODS[self.likelihood](outputs, targets, sigma=self.sigma)) / self.temperature


def noise_of(likelihood: str, sigma: float | None, temperature: float = 1.0) -> Noise:
    """The checked noise scale of a likelihood.

    Raises:
        UnknownName: no such likelihood.
        InvalidInput: σ missing, not wanted, or outside of what double precision can square.
    """
    card = LIKELIHOODS[likelihood]
    if card.extras["noise"] and sigma is None:
        raise InvalidInput(
            f"The {card.label} likelihood needs its noise", "Give sigma, a standard deviation, e.g. 0.1."
        )
    if not card.extras["noise"] and sigma is not None:
        raise InvalidInput(f"The {card.label} likelihood has no noise, and sigma is {sigma}", "Leave sigma out.")
    for name, value in (("sigma", sigma), ("temperature", temperature)):
        if value is not None and not 1e-100 < value < 1e100:  # NaN fails both comparisons
            raise InvalidInput(
                f"{name} is {value}", "Give a positive number whose square neither under- nor overflows."
            )
    return Noise(likelihood, None if sigma is None else float(sigma), float(temperature))


def checked_targets(likelihood: str, y: Any, n: int, outputs: int) -> np.ndarray:
    """Targets [n, c] in double precision: real ones as they are, classes as one-hot rows.

    Raises:
        InvalidInput: labels missing, of another number than the examples, NaN, or classes without an output.
    """
    y = np.asarray(y)
    if y.ndim == 0 or len(y) != n:
        raise InvalidInput(f"y has shape {y.shape} for {n} examples", "Give one target per example.")
    return (_real if LIKELIHOODS[likelihood].extras["noise"] else _classes)(y, outputs)


def _real(y: np.ndarray, outputs: int) -> np.ndarray:
    targets = y.reshape(len(y), -1).astype(np.float64)
    if targets.shape[1] != outputs:
        raise InvalidInput(f"y holds {targets.shape[1]} targets per example for {outputs} outputs", "Give y[n, c].")
    if not np.isfinite(targets).all():
        raise InvalidInput("y holds NaN or infinite values", "Remove or replace them.")
    return targets


def _classes(y: np.ndarray, outputs: int) -> np.ndarray:
    if outputs == 1:
        raise InvalidInput(
            "A network of one output knows one class only, whose probability is always 1",
            "Give it an output per class, or use likelihood='gaussian'.",
        )
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise InvalidInput(f"y has shape {y.shape} and dtype {y.dtype}", "Give whole numbers [n]: the classes.")
    if y.min() < 0 or y.max() >= outputs:
        wrong = y.min() if y.min() < 0 else y.max()
        raise InvalidInput(
            f"y holds class {wrong}, and the network has {outputs} outputs", f"Number classes from 0 to {outputs - 1}."
        )
    return np.eye(outputs)[y]
