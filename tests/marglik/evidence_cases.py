"""Small networks with targets, their whitened features, and the same evidence the slow, obvious way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import jax
import numpy as np
from reference import dense_jacobian, quick

from ntk_explorer.architectures import build
from ntk_explorer.marglik.features import WhitenedFeatures, whitened_features


@dataclass(frozen=True, eq=False)
class EvidenceCase:
    f: Any
    params: Any
    x: np.ndarray
    y: np.ndarray
    likelihood: str
    sigma: float | None

    @cached_property
    def features(self) -> WhitenedFeatures:
        return whitened_features(self.f, self.params, self.x, self.y, likelihood=self.likelihood)

    @cached_property
    def jacobian(self) -> np.ndarray:
        """J [n, c, P]."""
        return np.asarray(quick(lambda p, x: dense_jacobian(self.f, p, x))(self.params, self.x))

    @cached_property
    def outputs(self) -> np.ndarray:
        return np.asarray(self.f(self.params, self.x))

    @property
    def weights(self) -> np.ndarray:
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(self.params)])

    @property
    def curvature(self) -> np.ndarray:
        """Λ [n, c, c]."""
        n, c = self.outputs.shape
        if self.likelihood == "gaussian":
            return np.broadcast_to(np.eye(c) / self.sigma**2, (n, c, c))
        p = self.probabilities
        return np.stack([np.diag(row) - np.outer(row, row) for row in p])

    @property
    def probabilities(self) -> np.ndarray:
        e = np.exp(self.outputs - self.outputs.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    @property
    def fit(self) -> float:
        if self.likelihood == "gaussian":
            n, c = self.outputs.shape
            squares = ((self.y - self.outputs) ** 2).sum()
            return -squares / (2 * self.sigma**2) - n * c * np.log(self.sigma * np.sqrt(2 * np.pi))
        return float(np.log(self.probabilities[np.arange(len(self.y)), self.y]).sum())

    @property
    def hessian(self) -> np.ndarray:
        """H = Σ_n J_nᵀ Λ_n J_n."""
        return np.einsum("ncp,ncd,ndq->pq", self.jacobian, self.curvature, self.jacobian)

    @property
    def gradient_of_fit(self) -> np.ndarray:
        if self.likelihood == "gaussian":
            r = (self.y - self.outputs) / self.sigma**2
        else:
            r = np.eye(self.outputs.shape[1])[self.y] - self.probabilities
        return np.einsum("ncp,nc->p", self.jacobian, r)

    @property
    def slices(self) -> list[slice]:
        """Parameters of each tensor."""
        ends = np.cumsum([np.size(leaf) for leaf in jax.tree.leaves(self.params)])
        return [slice(end - np.size(leaf), end) for end, leaf in zip(ends, jax.tree.leaves(self.params), strict=True)]

    def per_tensor(self, values) -> Any:
        """A prior precision of its own for each tensor."""
        return jax.tree.unflatten(jax.tree.structure(self.params), list(map(float, values)))

    def options(self, prior_precision) -> dict[str, Any]:
        return {"prior_precision": prior_precision, "sigma": self.sigma}


def log_det(matrix) -> float:
    return float(np.linalg.slogdet(matrix)[1])


@cache
def classes(n: int = 7, width: int = 4, outputs: int = 3) -> EvidenceCase:
    """A classifier whose kernel is smaller than its parameters, unless n is large."""
    net, params, x, rng = _network(n, width, outputs)
    return EvidenceCase(net, params, x, rng.integers(0, outputs, n), "categorical", None)


@cache
def regression(n: int = 6, width: int = 4, outputs: int = 2) -> EvidenceCase:
    net, params, x, rng = _network(n, width, outputs)
    return EvidenceCase(net, params, x, rng.normal(size=(n, outputs)), "gaussian", 0.4)


@cache
def many_examples() -> tuple[EvidenceCase, EvidenceCase]:
    """More rows than parameters."""
    return classes(n=20, width=2), regression(n=24, width=2)


def everything() -> list[EvidenceCase]:
    return [classes(), regression(), *many_examples()]


def _network(n, width, outputs):
    net = build(
        "mlp", width=width, depth=2, inputs=(3,), outputs=outputs, activation="tanh", bias_variance=0.3, bias=True
    )
    rng = np.random.default_rng(7)
    return net.apply, net.init(jax.random.key(5)), rng.normal(size=(n, 3)), rng


@cache
def linear(n: int = 12, inputs: int = 3, outputs: int = 1) -> EvidenceCase:
    """One bias-free linear layer at its posterior mode for δ = 0.7, σ = 0.3."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, inputs))
    y = x @ rng.normal(size=(inputs, outputs)) + 0.3 * rng.normal(size=(n, outputs))
    mode = np.linalg.solve(x.T @ x + 0.7 * 0.3**2 * np.eye(inputs), x.T @ y)
    return EvidenceCase(linear_layer, {"weight": mode}, x, y, "gaussian", 0.3)


def linear_layer(params, x):
    return x @ params["weight"]
