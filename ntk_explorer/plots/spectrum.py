"""Eigenvalues of all kernels at one width, drawn so that kernels of different size can be compared."""

from __future__ import annotations

from typing import Literal

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.plots import FIGURES, captions, theme
from ntk_explorer.plots.drawing import Columns, outline
from ntk_explorer.plots.width import HIGHEST, seed_band
from ntk_explorer.spectra.eigen import noise_floor

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
        An overlay of the noise floor and, whatever is missing, a ghost, a band and a curve per kernel. Eigenvalues
        below the noise floor N·ε·λ_1, of which not even the sign means anything, are left out and counted in the
        title; that of the eNTK is shaded.
    """
    return draw(ds, width, seed, ghost, limits=spectrum_limits(ds))


def spectra_columns(
    ds: xr.Dataset,
    width: int,
    seed: int | Literal["all"] = 0,
    *,
    ghost: tuple[xr.Dataset, int] | None = None,
) -> tuple[list[Columns], str]:
    """What the sources of the figure that :func:`spectra` draws hold, in drawing order, and its title.

    A figure that is on the screen already is brought to another width with these in a few milliseconds, a
    tenth of what drawing it again takes; arguments are those of :func:`spectra`.
    """
    return fill(ds, width, seed, ghost)


def draw(ds: xr.Dataset, width: int, seed: int | Literal["all"], ghost, *, limits, when: str = "") -> hv.Overlay:
    """The figure of :func:`spectra` within given limits; ``when`` is a part of its title."""
    series, title = _series(ds, width, seed, ghost, when)
    layers = [_shaded(ds, width, seed), *(layer for name, lines in series.items() for layer in _layers(name, lines))]
    xlim, ylim = limits
    return theme.line_figure(
        layers,
        xlim=xlim,
        ylim=ylim,
        xticks=theme.log_ticks(xlim),
        yticks=theme.log_ticks(ylim),
        title=title,
        legend={theme.kernel_style(name).label: _legend_text(name) for name in series},
        legend_position="bottom_left",
    )


def fill(ds: xr.Dataset, width: int, seed: int | Literal["all"], ghost, *, when: str = "") -> tuple[list[Columns], str]:
    """What the sources of :func:`draw`'s figure hold, and its title."""
    series, title = _series(ds, width, seed, ghost, when)
    columns = [outline(*_below_floor(ds, width, seed))]
    for before, (ranks, mean, low, high) in series.values():
        columns += [_points(*before), outline(ranks, low, high), _points(ranks, mean)]
    return columns, title


def _points(ranks: np.ndarray, values: np.ndarray) -> Columns:
    return {RANK.name: ranks, EIGENVALUE.name: values}


def _series(ds, width, seed, ghost, when) -> tuple[dict[str, tuple], str]:
    """Per kernel the ghost (ranks, values) and the present curve (ranks, mean, low, high); and the title."""
    before, _ = _curves(ghost[0], ghost[1], seed) if ghost is not None and ghost[1] in ghost[0]["width"] else ({}, 0)
    now, hidden = _curves(ds, width, seed)
    nothing = np.empty(0), np.empty(0)
    who = f"all {ds.sizes['seed']} seeds" if seed == "all" else f"seed {seed}"
    floor = _floor(ds, width, seed)
    omitted = f" ({hidden} below rounding, λ < {theme.number(float(f'{floor:.1g}'))}, not drawn)" if hidden else ""
    title = f"Eigenvalues at width {width}, {who}{when}{omitted}\n{captions.setup(ds)}"
    return {name: (before.get(name, nothing)[:2], lines) for name, lines in now.items()}, title


def _curves(ds: xr.Dataset, width: int, seed: int | Literal["all"]) -> tuple[dict[str, tuple], int]:
    """Per kernel (ranks, mean, low, high) in the lifted kernel, and how many eigenvalues are below rounding."""
    curves, hidden, outputs = {}, 0, captions.counts(ds)[1]
    for name, table in zip(ds["kernel"].values, _tables(ds, width, seed), strict=True):
        values, missing = above_rounding(ds, table, axis=0)
        ranks, lifted = _lifted(str(name), values, outputs)
        band = seed_band(lifted)
        seen = np.isfinite(band[0])
        curves[str(name)] = (ranks[seen], *(line[seen] for line in band))
        hidden += missing
    return curves, hidden


def _tables(ds: xr.Dataset, width: int, seed: int | Literal["all"]) -> np.ndarray:
    """Eigenvalues [kernel, rank, seed] at one width; of one seed, or of all."""
    values = ds["eigenvalues"].sel(width=width).transpose("kernel", "rank", "seed").values
    return values if seed == "all" else values[:, :, [min(seed, values.shape[2] - 1)]]


def spectrum_limits(ds: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits (x, y) that hold for every width, seed and kernel of a sweep."""
    values, _ = above_rounding(ds, ds["eigenvalues"].values, axis=ds["eigenvalues"].get_axis_num("rank"))
    return theme.log_limits([1, ds.sizes["rank"]], pad=0.02), theme.log_limits(values, pad=0.03)


def above_rounding(ds: xr.Dataset, values: np.ndarray, *, axis: int) -> tuple[np.ndarray, int]:
    """Spectra along one axis without what rounding made of them, and how many eigenvalues that leaves out."""
    finite = np.isfinite(values)
    count = finite.sum(axis=axis, keepdims=True)
    largest = np.max(values, axis=axis, keepdims=True, initial=0.0, where=finite)
    above = finite & (values > _noise(ds, largest, count))
    return np.where(above, values, np.nan), int((finite & ~above).sum())


def _noise(ds: xr.Dataset, largest, count):
    return noise_floor(largest, count, ds.attrs.get("dtype", "float64"), ds.attrs.get("precision", "highest"))


def _floor(ds: xr.Dataset, width: int, seed: int | Literal["all"]) -> float:
    """The noise floor of the first kernel, the eNTK, the highest over the seeds; 0 before its eigenvalues are there."""
    values = ds["eigenvalues"].sel(width=width).isel(kernel=0).transpose("rank", "seed").values
    values = values if seed == "all" else values[:, [min(seed, values.shape[1] - 1)]]
    return float(_noise(ds, np.nanmax(values, initial=0.0), len(values)))


def _below_floor(ds: xr.Dataset, width: int, seed: int | Literal["all"]) -> tuple[np.ndarray, ...]:
    """Ranks, lower and upper edge of all that lies below the noise floor, beyond any limits of the axes."""
    floor = _floor(ds, width, seed)
    if not floor > 0:
        return np.empty(0), np.empty(0), np.empty(0)
    return np.array([0.1, 10.0 * ds.sizes["rank"]]), np.full(2, 1e-30 * floor), np.full(2, floor)


def _shaded(ds: xr.Dataset, width: int, seed: int | Literal["all"]) -> tuple:
    dims, look = [RANK, EIGENVALUE, HIGHEST], {"color": theme.GREY, "fill_alpha": 0.2, "line_alpha": 0}
    return theme.layer(hv.Area, _below_floor(ds, width, seed), dims, "rounding", **look)


def _lifted(name: str, values: np.ndarray, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Ranks [r] in the lifted kernel and the eigenvalues [r, seed] there: two ends of a step per eigenvalue."""
    if name == "entk" or outputs == 1:
        return np.arange(1, len(values) + 1), values
    examples = len(values) // outputs
    first = outputs * np.arange(examples) + 1
    ranks = np.stack([first, first + outputs - 1], axis=1).ravel()
    return ranks, np.repeat(values[:examples], 2, axis=0)


def _layers(name: str, lines: tuple) -> list[tuple]:
    """A ghost, a band and a curve; the order is that of :func:`spectra_columns`."""
    before, (ranks, mean, low, high) = lines
    style, dims = theme.kernel_style(name), [RANK, EIGENVALUE, HIGHEST]
    look = {"color": style.color, "name": name, "label": style.label}
    thick = 3 if name == "entk" else 2
    return [
        theme.layer(hv.Curve, before, dims[:2], f"ghost_{name}", color=style.color, line_alpha=0.25, line_width=2),
        theme.layer(hv.Area, (ranks, low, high), dims, **look, fill_alpha=0.15, line_alpha=0),
        theme.layer(hv.Curve, (ranks, mean), dims[:2], **look, line_width=thick, tools=["hover"]),
    ]


def _legend_text(name: str) -> str:
    label = theme.kernel_style(name).label
    return label if name == "entk" else f"{label} ⊗ I"
