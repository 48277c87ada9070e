"""Quantities against width: errors with their fitted slopes, and summaries of the spectra."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.comparison import MEASURES
from ntk_explorer.comparison.scaling import fit_slope
from ntk_explorer.errors import InvalidInput
from ntk_explorer.plots import captions, theme
from ntk_explorer.spectra import SUMMARIES

WIDTH = hv.Dimension("width", label="width (hidden units or channels per layer)")
REFERENCE = "reference: width^(−1/2)"
FORMULAS = {
    "relative_frobenius": "relative Frobenius error ‖K⊗I − Θ‖ / ‖Θ‖",
    "largest_eigenvalue_error": "relative error of the largest eigenvalue",
    "condition_number": "condition number λ_max / λ_min",
}


def convergence(ds: xr.Dataset, measure: str = "relative_frobenius") -> hv.Overlay:
    """How far each kernel is from the eNTK, against width, on log-log axes.

    One dot per seed, the geometric mean as a line, a band from the lowest to the highest seed, and in the
    legend the least-squares slope with its 95 % interval over seeds. The dashed reference has slope −1/2 and
    passes through the first mean of the first kernel; it is a guide to the eye, not a prediction.

    Args:
        ds: a sweep, finished or not (missing runs are NaN).
        measure: a variable of ``ds`` with dimensions compared, width, seed.

    Returns:
        An overlay with the same elements for the same kernels, whatever is missing.
    """
    values = ds[measure].transpose("compared", "width", "seed").rename(compared="kernel")
    return _against_width(ds, values, measure, MEASURES[measure].label, fitted=True)


def condition_numbers(ds: xr.Dataset) -> hv.Overlay:
    """Condition numbers of the eNTK and of the other kernels against width; singular ones are counted, not drawn."""
    return summaries(ds, "condition_number")


def summaries(ds: xr.Dataset, name: str) -> hv.Overlay:
    """A summary of the spectrum (smallest eigenvalue, effective rank …) of all kernels against width.

    Args:
        ds: a sweep, finished or not.
        name: a variable of ``ds`` with dimensions kernel, width, seed.

    Returns:
        An overlay as from :func:`convergence`, without slopes and reference.
    """
    values = ds[name].transpose("kernel", "width", "seed")
    return _against_width(ds, values, name, SUMMARIES[name].label, fitted=False)


def _against_width(ds: xr.Dataset, values: xr.DataArray, name: str, label: str, *, fitted: bool) -> hv.Overlay:
    widths = values["width"].values.astype(float)
    drawable = values.where(np.isfinite(values) & (values > 0))
    ydim = hv.Dimension(name, label=FORMULAS.get(name, label))
    curves = [_kernel(ydim, str(kernel), widths, drawable.sel(kernel=kernel)) for kernel in values["kernel"].values]
    elements = [element for curve in curves for element in curve]
    legend = {theme.kernel_style(k).label: theme.kernel_style(k).label for k in map(str, values["kernel"].values)}
    if fitted:
        elements.append(_reference(ydim, widths, drawable[0]))
        legend = {label: _with_slope(label, widths, drawable[k]) for k, label in enumerate(legend)}
    limits = theme.log_limits(drawable.values)
    return theme.line_figure(
        elements,
        xlim=theme.log_limits(widths),
        ylim=limits,
        xticks=theme.width_ticks(widths),
        yticks=theme.log_ticks(limits),
        title=f"{label}{_omitted(values)}\n{captions.setup(ds)} · {captions.runs(ds)}",
        legend=legend,
        legend_position="top_right",
    )


def _kernel(ydim: hv.Dimension, name: str, widths: np.ndarray, values: xr.DataArray) -> list[hv.Element]:
    style = theme.kernel_style(name)
    mean, low, high = seed_band(values.values)
    seen = np.isfinite(mean)
    x, y = np.meshgrid(widths, values["seed"].values, indexing="ij")
    dots = np.isfinite(values.values)
    band = hv.Area((widths[seen], low[seen], high[seen]), WIDTH, [ydim, "highest"], label=style.label)
    line = hv.Curve((widths[seen], mean[seen]), WIDTH, ydim, label=style.label)
    seeds = hv.Scatter((x[dots], values.values[dots], y[dots]), WIDTH, [ydim, "seed"], label=style.label)
    return [
        band.opts(color=style.color, fill_alpha=0.15, line_alpha=0, backend="bokeh"),
        line.opts(color=style.color, line_width=2.5, backend="bokeh"),
        seeds.opts(color=style.color, marker=style.marker, size=7, alpha=0.75, tools=["hover", "tap"], backend="bokeh"),
    ]


def seed_band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Geometric mean, lowest and highest positive value over seeds; NaN where no seed has one.

    Args:
        values: [width, seed], positive or NaN.

    Returns:
        Three arrays [width].
    """
    seen = np.isfinite(values)
    count = seen.sum(axis=1)
    logs = np.log(np.where(seen, values, 1.0))
    mean = np.exp(logs.sum(axis=1) / np.maximum(count, 1))
    low = np.where(seen, values, np.inf).min(axis=1)
    high = np.where(seen, values, -np.inf).max(axis=1)
    return tuple(np.where(count > 0, bound, np.nan) for bound in (mean, low, high))


def _reference(ydim: hv.Dimension, widths: np.ndarray, values: xr.DataArray) -> hv.Curve:
    mean, _, _ = seed_band(values.values)
    seen = np.flatnonzero(np.isfinite(mean))
    x = widths if seen.size else widths[:0]
    y = mean[seen[0]] * np.sqrt(widths[seen[0]] / x) if seen.size else x
    line = hv.Curve((x, y), WIDTH, ydim, label=REFERENCE)
    return line.opts(color=theme.GREY, line_width=1.5, line_dash="dashed", backend="bokeh")


def _with_slope(label: str, widths: np.ndarray, values: xr.DataArray) -> str:
    try:
        return f"{label}: slope {fit_slope(widths, values.transpose('seed', 'width'))}"
    except InvalidInput:  # fewer than two widths are in
        return label


def _omitted(values: xr.DataArray) -> str:
    infinite, zero = int(np.isinf(values).sum()), int((values <= 0).sum())
    notes = [f"{infinite} infinite"] * (infinite > 0) + [f"{zero} not positive"] * (zero > 0)
    return f" ({' and '.join(notes)} not drawn)" if notes else ""
