"""What one number can say about a spectrum; functions of descending eigenvalues [N].

A new summary is one function here (or in a module beside this one) with its card: sweeps, tables and menus
find it through ``SUMMARIES``.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from ntk_explorer.spectra import SUMMARIES
from ntk_explorer.spectra.eigen import eigenvalues, noise_floor

DECAY_RANGE = (0.05, 0.5)


@SUMMARIES.register("largest_eigenvalue", label="largest eigenvalue", equation=r"\lambda_{\max} = \lambda_1")
def largest_eigenvalue(values: np.ndarray) -> float:
    """The eigenvalue of the direction that gradient descent learns fastest."""
    return float(values[0])


@SUMMARIES.register("smallest_eigenvalue", label="smallest eigenvalue", equation=r"\lambda_{\min} = \lambda_N")
def smallest_eigenvalue(values: np.ndarray) -> float:
    """The eigenvalue of the slowest direction; of either sign when it is below rounding."""
    return float(values[-1])


@SUMMARIES.register(
    "condition_number",
    label="condition number",
    axis="condition number λmax / λmin",
    equation=r"\kappa = \lambda_{\max}/\lambda_{\min}",
)
def condition_number(values: np.ndarray) -> float:
    """Ratio of the largest to the smallest eigenvalue; infinite when the smallest is not positive."""
    return float(values[0] / values[-1]) if values[-1] > 0 else math.inf


@SUMMARIES.register(
    "effective_rank",
    label="effective rank",
    equation=r"\exp\Big(-\sum_k p_k \log p_k\Big),\quad p_k = \lambda_k / \sum_l \lambda_l",
    reference="Roy & Vetterli 2007",
)
def effective_rank(values: np.ndarray) -> float:
    """Exponential of the entropy of the normalised eigenvalues: between 1 and N; negative ones count as 0."""
    positive = values[values > 0]
    if not positive.size:
        return math.nan
    shares = positive / positive.sum()
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares))))


@SUMMARIES.register("trace", label="trace", equation=r"\operatorname{tr} K = \sum_k \lambda_k")
def trace(values: np.ndarray) -> float:
    """Sum of the eigenvalues."""
    return float(values.sum())


@SUMMARIES.register(
    "decay_exponent",
    label="decay exponent",
    equation=r"\alpha:\ \lambda_k \propto k^{-\alpha},\ 0.05 N \le k \le 0.5 N",
)
def decay_exponent(values: np.ndarray) -> float:
    """Exponent α of the power law λ_k ∝ k^(−α) that fits the middle of the spectrum.

    Minus the least-squares slope of log λ_k on log k over the ranks ⌈0.05 N⌉ ≤ k ≤ ⌊0.5 N⌋ whose
    eigenvalues exceed the rounding floor N·ε·λ_1 (ε: of the eigenvalues' own precision). The range is a
    share of N, so that a kernel and its lift K ⊗ I, where each eigenvalue appears c times, nearly agree. NaN when
    fewer than three ranks remain.
    """
    count = values.size
    ranks = np.arange(max(1, math.ceil(DECAY_RANGE[0] * count)), math.floor(DECAY_RANGE[1] * count) + 1)
    chosen = values[ranks - 1]
    above = chosen > noise_floor(values[0], count, values.dtype)
    if above.sum() < 3:
        return math.nan
    x, y = np.log(ranks[above]), np.log(chosen[above].astype(float))
    x = x - x.mean()
    return float(-(x @ y) / (x @ x))


@SUMMARIES.register("nonpositive", label="eigenvalues ≤ 0", equation=r"\#\{k : \lambda_k \le 0\}")
def nonpositive(values: np.ndarray) -> float:
    """Number of eigenvalues that are zero or negative, which a logarithmic axis cannot show."""
    return float(np.sum(values <= 0))


def summarise(values: np.ndarray) -> dict[str, float]:
    """Every registered summary of descending eigenvalues [N], by name."""
    return {name: entry(values) for name, entry in SUMMARIES.items()}


def spectrum(kernel) -> xr.Dataset:
    """Eigenvalues of a kernel and every summary of them, labelled.

    Args:
        kernel: [n, n], or the eNTK [n, n, c, c] (read with samples outer, outputs inner); numpy, jax or
            xarray.

    Returns:
        Dataset with ``eigenvalues(rank)``, rank 1..N descending, and one scalar variable per entry of
        ``SUMMARIES``: largest and smallest eigenvalue, condition number, effective rank, trace, decay
        exponent, number of non-positive eigenvalues. Attributes are those of the kernel, and ``noise_floor``, below
        which eigenvalues are rounding.

    Raises:
        InvalidInput: see :func:`ntk_explorer.spectra.eigen.eigenvalues`.

    Example:
        >>> import numpy as np
        >>> float(spectrum(np.diag([4.0, 1.0]))["condition_number"])
        4.0
    """
    values = np.asarray(eigenvalues(kernel))
    ranked = xr.DataArray(values, {"rank": np.arange(1, values.size + 1)}, ("rank",), attrs={"long_name": "eigenvalue"})
    variables = {name: ((), entry(values), {"long_name": entry.label}) for name, entry in SUMMARIES.items()}
    attrs = dict(getattr(kernel, "attrs", {}))
    attrs["noise_floor"] = float(noise_floor(values[0], values.size, values.dtype, attrs.get("precision", "highest")))
    return xr.Dataset({"eigenvalues": ranked, **variables}, attrs=attrs)
