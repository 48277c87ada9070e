"""Symmetric matrices whose eigenvalues are chosen."""

from __future__ import annotations

import numpy as np


def with_spectrum(values, seed=0):
    """A random symmetric matrix with exactly these eigenvalues."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    return (q * np.asarray(values, dtype=float)) @ q.T


N = 200
SPECTRA = {
    "power law": 1e4 * np.arange(1, N + 1) ** -2.0,
    "step": np.r_[np.linspace(5, 3, 20), np.full(N - 20, 0.1)],
    "flat": np.linspace(1, 2, N),
    "low rank": np.r_[np.full(3, 100.0), np.zeros(N - 3)],
    "both signs": np.linspace(3, -1, N),
}
