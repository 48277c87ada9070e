"""Eigenvalues of all kernels at one width, drawn so that kernels of different size can be compared."""

from __future__ import annotations

from typing import Literal

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.plots import FIGURES, captions, theme
from ntk_explorer.plots.width import HIGHEST, seed_band
from ntk_explorer.spectra.eigen import rounding_floor

RANK = hv.Dimension("rank", label="rank k (K ⊗ I has each eigenvalue of K c times)")
EIGENVALUE = hv.Dimension("eigenvalue", label="eigenvalue λ_k")


@FIGURES.register("spectra", label="Eigenvalues at one width")
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
        An overlay of a ghost, a band and a curve per kernel, whatever is missing; eigenvalues below the rounding
        floor N·ε·λ_1, of which not even the sign means anything, are left out and counted in the title.
    """
    outputs = captions.counts(ds)[1]
    names = [str(name) for name in ds["kernel"].values]
    layers, hidden = [], 0
    for name, table in zip(names, _tables(ds, width, seed), strict=True):
        values, missing = _above_rounding(ds, table, axis=0)
        hidden += missing
        layers += [_ghost(name, ghost, seed), *_curve(name, *_lifted(name, values, outputs))]
    xlim, ylim = spectrum_limits(ds)
    who = f"all {ds.sizes['seed']} seeds" if seed == "all" else f"seed {seed}"
    omitted = f" ({hidden} below rounding, not drawn)" if hidden else ""
    return theme.line_figure(
        layers,
        xlim=xlim,
        ylim=ylim,
        xticks=theme.log_ticks(xlim),
        yticks=theme.log_ticks(ylim),
        title=f"Eigenvalues at width {width}, {who}{omitted}\n{captions.setup(ds)}",
        legend={theme.kernel_style(name).label: _legend_text(name) for name in names},
        legend_position="bottom_left",
    )


def _tables(ds: xr.Dataset, width: int, seed: int | Literal["all"]) -> np.ndarray:
    """Eigenvalues [kernel, rank, seed] at one width; of one seed, or of all."""
    values = ds["eigenvalues"].sel(width=width).transpose("kernel", "rank", "seed").values
    return values if seed == "all" else values[:, :, [min(seed, values.shape[2] - 1)]]


def spectrum_limits(ds: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits (x, y) that hold for every width, seed and kernel of a sweep."""
    values, _ = _above_rounding(ds, ds["eigenvalues"].values, axis=ds["eigenvalues"].get_axis_num("rank"))
    return theme.log_limits([1, ds.sizes["rank"]], pad=0.02), theme.log_limits(values, pad=0.03)


def _above_rounding(ds: xr.Dataset, values: np.ndarray, *, axis: int) -> tuple[np.ndarray, int]:
    """Spectra along one axis without what rounding made of them, and how many eigenvalues that leaves out."""
    finite = np.isfinite(values)
    count = finite.sum(axis=axis, keepdims=True)
    largest = np.max(values, axis=axis, keepdims=True, initial=0.0, where=finite)
    above = finite & (values > rounding_floor(largest, count, ds.attrs.get("dtype", "float64")))
    return np.where(above, values, np.nan), int((finite & ~above).sum())


def _lifted(name: str, values: np.ndarray, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Ranks [r] in the lifted kernel and the eigenvalues [r, seed] there: two ends of a step per eigenvalue."""
    if name == "entk" or outputs == 1:
        return np.arange(1, len(values) + 1), values
    examples = len(values) // outputs
    first = outputs * np.arange(examples) + 1
    ranks = np.stack([first, first + outputs - 1], axis=1).ravel()
    return ranks, np.repeat(values[:examples], 2, axis=0)


def _curve(name: str, ranks: np.ndarray, values: np.ndarray) -> list[tuple]:
    style = theme.kernel_style(name)
    mean, low, high = seed_band(values)
    seen = np.isfinite(mean)
    band, dims = (ranks[seen], low[seen], high[seen]), [RANK, EIGENVALUE, HIGHEST]
    look = {"color": style.color, "name": name, "label": style.label}
    return [
        theme.layer(hv.Area, band, dims, **look, fill_alpha=0.15, line_alpha=0),
        theme.layer(
            hv.Curve,
            (ranks[seen], mean[seen]),
            dims[:2],
            **look,
            line_width=3 if name == "entk" else 2,
            tools=["hover"],
        ),
    ]


def _ghost(name: str, ghost: tuple[xr.Dataset, int] | None, seed: int | Literal["all"]) -> tuple:
    ranks, mean = np.empty(0), np.empty(0)
    if ghost is not None and name in ghost[0]["kernel"] and ghost[1] in ghost[0]["width"]:
        before, width = ghost
        values, _ = _above_rounding(before, _tables(before.sel(kernel=[name]), width, seed)[0], axis=0)
        ranks, lifted = _lifted(name, values, captions.counts(before)[1])
        mean = seed_band(lifted)[0]
    seen, look = np.isfinite(mean), {"line_alpha": 0.25, "line_width": 2}
    color = theme.kernel_style(name).color
    return theme.layer(hv.Curve, (ranks[seen], mean[seen]), [RANK, EIGENVALUE], f"ghost_{name}", color=color, **look)


def _legend_text(name: str) -> str:
    label = theme.kernel_style(name).label
    return label if name == "entk" else f"{label} ⊗ I"
