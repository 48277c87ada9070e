"""Quantities against width: errors with their fitted slopes, and summaries of the spectra."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.comparison import MEASURES
from ntk_explorer.comparison.scaling import fit_slope
from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels import shares_limit
from ntk_explorer.plots import FIGURES, captions, theme
from ntk_explorer.spectra import SUMMARIES

WIDTH = hv.Dimension("width", label="width (hidden units or channels per layer)")
HIGHEST, SEED = hv.Dimension("highest"), hv.Dimension("seed")
REFERENCE = "reference: width^(−1/2)"
LIMIT_AXIS = "distance ‖Θ − Θ∞⊗I‖ / ‖Θ∞⊗I‖"


@FIGURES.register("convergence", label="Error against width")
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
    return _against_width(ds, values, MEASURES[measure].label, MEASURES[measure].extras["axis"], fitted=True)


@FIGURES.register("distance_to_limit", label="Distance to the infinite-width NTK")
def distance_to_limit(ds: xr.Dataset) -> hv.Overlay:
    """How far the eNTK, and each kernel made of its blocks, is from the NTK at infinite width, against width.

    Args:
        ds: a sweep, finished or not.

    Returns:
        An overlay as from :func:`convergence`; the reference passes through the first mean of the eNTK. It is
        empty, and says why, where no limit is known.
    """
    nowhere, reason = xr.full_like(ds["largest_eigenvalue"], np.nan), missing_limit(ds)
    values = ds.get("distance_to_limit", nowhere.rename("distance_to_limit")).transpose("kernel", "width", "seed")
    values = values.sel(kernel=[name for name in values["kernel"].values if shares_limit(str(name))])
    label = f"no distance to infinite width: {reason}" if reason else "distance to the infinite-width NTK"
    return _against_width(ds, values, label, LIMIT_AXIS, fitted=True)


def missing_limit(ds: xr.Dataset) -> str:
    """Why a sweep has no distances to the limit, in words; empty when it has them."""
    return ds.attrs.get("no_limit", "") if "distance_to_limit" in ds else "it was computed by an earlier version"


@FIGURES.register("condition_numbers", label="Condition numbers")
def condition_numbers(ds: xr.Dataset) -> hv.Overlay:
    """Condition numbers of the eNTK and of the other kernels against width; singular ones are counted, not drawn."""
    return summaries(ds, "condition_number")


@FIGURES.register("summaries", label="Summaries of the spectrum")
def summaries(ds: xr.Dataset, name: str) -> hv.Overlay:
    """A summary of the spectrum (smallest eigenvalue, effective rank …) of all kernels against width.

    Args:
        ds: a sweep, finished or not.
        name: a variable of ``ds`` with dimensions kernel, width, seed.

    Returns:
        An overlay as from :func:`convergence`, without slopes and reference.
    """
    values, card = ds[name].transpose("kernel", "width", "seed"), SUMMARIES[name]
    return _against_width(ds, values, card.label, card.extras.get("axis", card.label), fitted=False)


def _against_width(ds: xr.Dataset, variable: xr.DataArray, label: str, axis: str, *, fitted: bool) -> hv.Overlay:
    names, widths = [str(name) for name in variable["kernel"].values], variable["width"].values.astype(float)
    values = variable.values
    drawable = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    ydim = hv.Dimension(str(variable.name), label=axis)
    layers = [
        layer for name, table in zip(names, drawable, strict=True) for layer in _kernel(ydim, name, widths, table)
    ]
    legend = {theme.kernel_style(name).label: theme.kernel_style(name).label for name in names}
    if fitted:
        layers.append(_reference(ydim, widths, drawable[0]))
        legend = {label: _with_slope(label, widths, drawable[k]) for k, label in enumerate(legend)}
    return theme.line_figure(
        layers,
        **theme.width_axes(widths, drawable),
        title=f"{label[0].upper()}{label[1:]}{_omitted(values)}\n{captions.setup(ds)} · {captions.runs(ds)}",
        legend=legend,
        legend_position="top_right",
    )


def _kernel(ydim: hv.Dimension, name: str, widths: np.ndarray, values: np.ndarray) -> list[tuple]:
    style = theme.kernel_style(name)
    mean, low, high = seed_band(values)
    seen, dots = np.isfinite(mean), np.isfinite(values)
    x, seeds = np.meshgrid(widths, np.arange(values.shape[1]), indexing="ij")
    band, dims = (widths[seen], low[seen], high[seen]), [WIDTH, ydim, HIGHEST]
    line = widths[seen], mean[seen]
    points = x[dots], values[dots], seeds[dots]
    look = {"color": style.color, "name": name, "label": style.label}
    return [
        theme.layer(hv.Area, band, dims, **look, fill_alpha=0.15, line_alpha=0),
        theme.layer(hv.Curve, line, dims[:2], **look, line_width=2.5),
        theme.layer(
            hv.Scatter, points, [WIDTH, ydim, SEED], **look, marker=style.marker, size=7, alpha=0.75, tools=["hover"]
        ),
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
    nothing = count == 0
    return np.where(nothing, np.nan, mean), np.where(nothing, np.nan, low), np.where(nothing, np.nan, high)


def _reference(ydim: hv.Dimension, widths: np.ndarray, values: np.ndarray) -> tuple:
    mean, _, _ = seed_band(values)
    seen = np.flatnonzero(np.isfinite(mean))
    x = widths if seen.size else widths[:0]
    y = mean[seen[0]] * np.sqrt(widths[seen[0]] / x) if seen.size else x
    look = {"color": theme.GREY, "line_width": 1.5, "line_dash": "dashed"}
    return theme.layer(hv.Curve, (x, y), [WIDTH, ydim], "reference", REFERENCE, **look)


def _with_slope(label: str, widths: np.ndarray, values: np.ndarray) -> str:
    try:
        return f"{label}: slope {fit_slope(widths, values.T)}"
    except InvalidInput:  # fewer than two widths are in
        return label


def _omitted(values: np.ndarray) -> str:
    seen = values[np.isfinite(values)]
    if seen.size and not seen.any():
        return " is 0 everywhere: each of these kernels is the eNTK"
    infinite, below = int(np.isinf(values).sum()), int((values <= 0).sum())
    notes = [f"{infinite} infinite"] * (infinite > 0) + [f"{below} not positive"] * (below > 0)
    return f" ({' and '.join(notes)} not drawn)" if notes else ""


def run_at(ds: xr.Dataset, measure: str, x: float, y: float) -> tuple[int, int] | None:
    """The run (width, seed) whose dot is nearest to a click at (x, y), as seen on log-log axes; None without dots."""
    values = ds[measure].transpose("width", "seed", "compared").values
    values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    if x <= 0 or y <= 0 or np.isnan(values).all():
        return None
    across = np.log(ds["width"].values / x)[:, None, None]
    width, seed, _ = np.unravel_index(np.nanargmin(across**2 + np.log(values / y) ** 2), values.shape)
    return int(ds["width"][width]), int(ds["seed"][seed])
