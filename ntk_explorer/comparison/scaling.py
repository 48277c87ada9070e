"""How a quantity scales with width: the slope on log-log axes and what the seeds say about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.special import stdtrit

from ntk_explorer.errors import InvalidInput

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Slope:
    """The power law ``exp(intercept) · width^slope`` and the 95 % confidence interval of its exponent."""

    slope: float
    low: float
    high: float
    intercept: float
    n_seeds: int

    def predict(self, widths) -> np.ndarray:
        """Values of the fitted power law at some widths."""
        return np.exp(self.intercept) * np.asarray(widths, dtype=float) ** self.slope

    def __str__(self) -> str:
        text = f"{self.slope:.2f}"
        if math.isfinite(self.low):
            text += f" [{self.low:.2f}, {self.high:.2f}]"
        return text.replace("-", "−")


def fit_slope(widths, values) -> Slope:
    """Slope of log(values) on log(widths), with a 95 % t-interval over seeds.

    One least-squares line per seed; the slope is their mean and the interval is Student's, with (seeds − 1)
    degrees of freedom, over the slopes of independent seeds. With a single seed the interval is that of its
    regression, with (widths − 2) degrees of freedom; with two widths and one seed there is none (NaN).

    Args:
        widths: [w] at least two different positive widths.
        values: [seed, w] or [w] positive values; NaN marks a missing cell. A DataArray may hold its
            dimensions ``seed`` and ``width`` in either order.

    Returns:
        The :class:`Slope`; as text, for instance ``−0.50 [−0.56, −0.44]``.

    Raises:
        InvalidInput: fewer than two widths, shapes that do not match, values that are not positive, or no
            seed with two widths.

    Example:
        >>> str(fit_slope([10, 100], [[1.0, 0.1], [2.0, 0.2]]))
        '−1.00 [−1.00, −1.00]'
    """
    widths, values = _checked(widths, values)
    fits = [_line(np.log(widths[ok]), np.log(row[ok])) for row in values if (ok := ~np.isnan(row)).sum() >= 2]
    if not fits:
        raise InvalidInput("No seed has values at two widths, so there is no slope", "Let at least two widths finish.")
    slopes = np.array([slope for slope, _, _ in fits])
    slope, intercept = float(slopes.mean()), float(np.mean([fit[1] for fit in fits]))
    half = _half_width(slopes.std(ddof=1) / math.sqrt(len(fits)), len(fits) - 1) if len(fits) > 1 else fits[0][2]
    return Slope(slope, slope - half, slope + half, intercept, len(fits))


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    centred = x - x.mean()
    spread = centred @ centred
    slope = (centred @ y) / spread
    intercept = y.mean() - slope * x.mean()
    freedom = x.size - 2
    if freedom == 0:
        return slope, intercept, math.nan
    residual = y - intercept - slope * x
    return slope, intercept, _half_width(math.sqrt(residual @ residual / freedom / spread), freedom)


def _half_width(standard_error: float, freedom: int) -> float:
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2) * standard_error)


def _checked(widths, values) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(values, xr.DataArray) and {"seed", "width"} == set(values.dims):
        values = values.transpose("seed", "width")
    widths, values = np.asarray(widths, dtype=float), np.atleast_2d(np.asarray(values, dtype=float))
    if widths.ndim != 1 or not (widths > 0).all() or np.unique(widths).size != widths.size or widths.size < 2:
        raise InvalidInput(f"Widths {widths.tolist()}: a slope needs two or more different positive widths", "Add one.")
    if values.ndim != 2 or values.shape[1] != widths.size:
        raise InvalidInput(
            f"Values of shape {values.shape} for {widths.size} widths",
            "Pass [seed, width], NaN where a cell is missing.",
        )
    wrong = values[~np.isnan(values) & ~((values > 0) & np.isfinite(values))]
    if wrong.size:
        raise InvalidInput(
            f"The value {wrong[0]:g} has no place on a logarithmic axis", "Fit only positive, finite values."
        )
    return widths, values
