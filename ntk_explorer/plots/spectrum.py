"""Eigenvalues of all kernels at one width, drawn so that kernels of different size can be compared."""

from __future__ import annotations

from typing import Literal

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.plots import captions, theme
from ntk_explorer.plots.width import seed_band

RANK = hv.Dimension("rank", label="rank k of the eigenvalue (of the n·c-sized kernel)")
EIGENVALUE = hv.Dimension("eigenvalue", label="eigenvalue λ_k")
# Below this share of the largest eigenvalue not even the sign of a float64 eigenvalue means anything.
NOTHING = 1e-18


def spectra(
    ds: xr.Dataset,
    width: int,
    seed: int | Literal["all"] = 0,
    *,
    ghost: tuple[xr.Dataset, int] | None = None,
) -> hv.Overlay:
    """Eigenvalues of the eNTK and, over them, those of the other kernels lifted to its size.

    The eigenvalues of K ⊗ I_c are those of K, each c times; so eigenvalue k of an n×n kernel is drawn as a
    step over the ranks c(k−1)+1 … ck. Limits are those of the whole sweep, so that scrubbing through the
    widths moves the curves and not the axes.

    Args:
        ds: a sweep, finished or not.
        width: a width of the sweep.
        seed: one seed, or ``"all"`` for geometric means with a band from the lowest to the highest seed.
        ghost: a sweep and one of its widths to leave behind as faint lines, for instance the previous state.

    Returns:
        An overlay of a ghost, a band and a curve per kernel, whatever is missing; eigenvalues that are not
        positive have no place on the axis and are counted in the title.
    """
    outputs = captions.counts(ds)[1]
    names = [str(name) for name in ds["kernel"].values]
    elements, hidden = [], 0
    for name in names:
        values = ds["eigenvalues"].sel(kernel=name, width=width).transpose("rank", "seed").values
        shown, missing = _positive(values if seed == "all" else values[:, [seed]])
        hidden += missing
        elements += [_ghost(name, ghost, seed), *_curve(name, *_lifted(name, shown, outputs))]
    xlim, ylim = spectrum_limits(ds)
    who = f"all {ds.sizes['seed']} seeds" if seed == "all" else f"seed {seed}"
    omitted = f" ({hidden} not positive, not drawn)" if hidden else ""
    labels = {theme.kernel_style(name).label: _legend_text(name) for name in names}
    return theme.line_figure(
        elements,
        xlim=xlim,
        ylim=ylim,
        xticks=theme.log_ticks(xlim),
        yticks=theme.log_ticks(ylim),
        title=f"Eigenvalues at width {width}, {who}{omitted}\n{captions.setup(ds)}",
        legend=labels,
        legend_position="bottom_left",
    )


def spectrum_limits(ds: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits (x, y) that hold for every width, seed and kernel of a sweep."""
    values, _ = _positive(ds["eigenvalues"].values)
    return theme.log_limits([1, ds.sizes["rank"]], pad=0.02), theme.log_limits(values, pad=0.03)


def _positive(values: np.ndarray) -> tuple[np.ndarray, int]:
    finite = np.isfinite(values)
    largest = values[finite].max() if finite.any() else 0.0
    positive = finite & (values > max(largest * NOTHING, 0.0))
    return np.where(positive, values, np.nan), int((finite & ~positive).sum())


def _lifted(name: str, values: np.ndarray, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Ranks [r] in the lifted kernel and the eigenvalues [r, seed] there: two ends of a step per eigenvalue."""
    if name == "entk" or outputs == 1:
        return np.arange(1, len(values) + 1), values
    examples = len(values) // outputs
    first = outputs * np.arange(examples) + 1
    ranks = np.stack([first, first + outputs - 1], axis=1).ravel()
    return ranks, np.repeat(values[:examples], 2, axis=0)


def _curve(name: str, ranks: np.ndarray, values: np.ndarray) -> list[hv.Element]:
    style = theme.kernel_style(name)
    mean, low, high = seed_band(values)
    seen = np.isfinite(mean)
    band = hv.Area((ranks[seen], low[seen], high[seen]), RANK, [EIGENVALUE, "highest"], label=style.label)
    line = hv.Curve((ranks[seen], mean[seen]), RANK, EIGENVALUE, label=style.label)
    return [
        band.opts(color=style.color, fill_alpha=0.15, line_alpha=0, backend="bokeh"),
        line.opts(color=style.color, line_width=3 if name == "entk" else 2, tools=["hover"], backend="bokeh"),
    ]


def _ghost(name: str, ghost: tuple[xr.Dataset, int] | None, seed: int | Literal["all"]) -> hv.Curve:
    ranks, mean = np.empty(0), np.empty(0)
    if ghost is not None and name in ghost[0]["kernel"] and ghost[1] in ghost[0]["width"]:
        values = ghost[0]["eigenvalues"].sel(kernel=name, width=ghost[1]).transpose("rank", "seed").values
        shown, _ = _positive(values if seed == "all" else values[:, [min(seed, values.shape[1] - 1)]])
        ranks, lifted = _lifted(name, shown, captions.counts(ghost[0])[1])
        mean = seed_band(lifted)[0]
    line = hv.Curve((ranks[np.isfinite(mean)], mean[np.isfinite(mean)]), RANK, EIGENVALUE, group="Ghost")
    return line.opts(color=theme.kernel_style(name).color, line_alpha=0.25, line_width=2, backend="bokeh")


def _legend_text(name: str) -> str:
    label = theme.kernel_style(name).label
    return label if name == "entk" else f"{label} ⊗ I (each eigenvalue c times)"
