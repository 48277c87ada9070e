"""How far a kernel is from the eNTK while the network learns: over the epochs for all widths, and over the widths."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.comparison import MEASURES
from ntk_explorer.plots import FIGURES, captions, epochs, theme
from ntk_explorer.plots.along import shades
from ntk_explorer.plots.drawing import Columns, Drawing, Layer
from ntk_explorer.plots.epochs import Line, Scale, Seed
from ntk_explorer.plots.width import WIDTH


@FIGURES.register("errors_along", label="Error by epoch, all widths", data="trajectory")
def errors_along(
    ds: xr.Dataset,
    measure: str = "relative_frobenius",
    kernel: str | None = None,
    seed: Seed = "all",
    epoch: int | None = None,
    *,
    scale: Scale = "log",
) -> hv.Overlay:
    """The error of one kernel at the kernel epochs, a line per width, lighter the wider.

    Args:
        ds: a trajectory, finished or not.
        measure: a variable with dimensions compared, width, seed, at.
        kernel: the kernel that stands in for the eNTK; None for the first.
        seed: one seed, or ``"all"`` for geometric means with a band from the lowest to the highest.
        epoch: where to draw the marker line; None for nowhere.
        scale: of the epoch axis.

    Returns:
        An overlay with a band, a line and its points per width, and the marker line.

    Raises:
        InvalidInput: the trajectory has no eNTK, or nothing to compare with it.
    """
    return _along(ds, measure, kernel, seed, epoch, scale).figure()


def errors_along_columns(
    ds: xr.Dataset,
    measure: str = "relative_frobenius",
    kernel: str | None = None,
    seed: Seed = "all",
    epoch: int | None = None,
    *,
    scale: Scale = "log",
) -> tuple[list[Columns], str]:
    """What the sources of :func:`errors_along` hold, in drawing order, and its title."""
    return _along(ds, measure, kernel, seed, epoch, scale).columns()


@FIGURES.register("errors_against_width", label="Error against width at an epoch", data="trajectory")
def errors_against_width(
    ds: xr.Dataset, measure: str = "relative_frobenius", seed: Seed = "all", epoch: int | None = None
) -> hv.Overlay:
    """The error of every kernel against width at a kernel epoch, with that at initialisation as faint lines.

    Args:
        ds: a trajectory, finished or not.
        measure: a variable with dimensions compared, width, seed, at.
        seed: one seed, or ``"all"`` for geometric means with a band from the lowest to the highest.
        epoch: the kernels are those of the last kernel epoch up to here; None for the last at all.

    Returns:
        An overlay with a ghost, a band, a line and its points per kernel.

    Raises:
        InvalidInput: the trajectory has no eNTK, or nothing to compare with it.
    """
    return _against_width(ds, measure, seed, epoch).figure()


def errors_against_width_columns(
    ds: xr.Dataset, measure: str = "relative_frobenius", seed: Seed = "all", epoch: int | None = None
) -> tuple[list[Columns], str]:
    """What the sources of :func:`errors_against_width` hold, in drawing order, and its title."""
    return _against_width(ds, measure, seed, epoch).columns()


def _along(ds, measure, kernel, seed, epoch, scale) -> Drawing:
    epochs.require_entk(ds, measure)
    kernel = kernel or str(ds["compared"].values[0])
    widths, card, style = ds["width"].values, MEASURES[measure], theme.kernel_style(kernel)
    lines = []
    for width, color in zip(widths, shades(widths.size), strict=True):
        line = Line(f"width{width}", f"width {width}", color, style.marker)
        lines.append((line, ds[measure].sel(compared=kernel, width=width)))
    title = f"{_capital(card.label)} of the {style.label}, {epochs.seeds(ds, seed)}\n{captions.setup(ds)}"
    where = {"width": 0, "seed": seed, "epoch": epoch, "scale": scale}
    ydim = hv.Dimension(measure, label=card.extras["axis"])
    return epochs.drawing(ds, lines, ydim, title, **where, logarithmic=True, beside=True)


def _against_width(ds, measure, seed, epoch) -> Drawing:
    epochs.require_entk(ds, measure)
    when, card = epochs.kernel_epoch(ds, epoch, seed=seed), MEASURES[measure]
    ydim, layers, legend = hv.Dimension(measure, label=card.extras["axis"]), [], {}
    for name in map(str, ds["compared"].values):
        style, values = theme.kernel_style(name), ds[measure].sel(compared=name).transpose("at", "width", "seed")
        before, now = epochs.of_seed(values.isel(at=0), seed), epochs.of_seed(values.sel(at=when), seed)
        layers += _kernel(ydim, name, ds["width"].values.astype(float), before, now)
        legend[style.label] = style.label
    options = theme.width_axes(ds["width"].values, ds[measure].values)
    title = f"{_capital(card.label)} at epoch {when}, {epochs.seeds(ds, seed)}; faint: untrained\n{captions.setup(ds)}"
    return Drawing(layers, title, options | {"legend": legend, "legend_position": "top_right"})


def _kernel(ydim: hv.Dimension, name: str, widths: np.ndarray, before: np.ndarray, now: np.ndarray) -> list[Layer]:
    style, (ghost, _, _) = theme.kernel_style(name), epochs.spread(before, logarithmic=True)
    mean, low, high = epochs.spread(now, logarithmic=True)
    was, seen, look = np.isfinite(ghost), np.isfinite(mean), {"color": style.color}
    dims, line = [WIDTH, ydim], (widths[seen], mean[seen])
    faint, band = look | {"line_alpha": 0.25, "line_width": 2}, look | {"fill_alpha": 0.15, "line_alpha": 0}
    dots = look | {"marker": style.marker, "size": 8, "tools": ["hover"]}
    return [
        Layer(hv.Curve, (widths[was], ghost[was]), dims, f"ghost_{name}", "", faint),
        Layer(hv.Area, (widths[seen], low[seen], high[seen]), [*dims, epochs.HIGHEST], name, style.label, band),
        Layer(hv.Curve, line, dims, name, style.label, look | {"line_width": 2.5}),
        Layer(hv.Scatter, line, dims, name, style.label, dots),
    ]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
