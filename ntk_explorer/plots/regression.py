"""Kernel regression beside the networks, by epoch: accuracies on the test examples, and how far two kernels differ."""

from __future__ import annotations

from typing import Literal

import holoviews as hv
import xarray as xr

from ntk_explorer.plots import FIGURES, captions, epochs, theme
from ntk_explorer.plots.drawing import Columns, Drawing
from ntk_explorer.plots.epochs import Line, Scale, Seed
from ntk_explorer.plots.predictors import Start

Starts = Start | Literal["both"]
STARTS = {"network": ("solid", ""), "zero": ("dotted", " without f₀")}
DIFFERENCES = {
    "regression_difference": ("of ‖f_Θ‖", "solid"),
    "correction_difference": ("of the correction ‖f_Θ − f₀‖", "dashed"),
}


@FIGURES.register("accuracies", label="Network and kernel regression by epoch", data="trajectory")
def accuracies(
    ds: xr.Dataset,
    quantity: Literal["accuracy", "loss"] | None = None,
    width: int | None = None,
    seed: Seed = "all",
    epoch: int | None = None,
    *,
    start: Starts = "network",
    scale: Scale = "log",
) -> hv.Overlay:
    """How well the network, its linearisation and regression with each kernel do on the same test examples.

    Regression takes the kernel and f₀ of its epoch and the targets of the kernel's examples, which are fewer than
    those the networks learn from.

    Args:
        ds: a trajectory, finished or not.
        quantity: ``"accuracy"`` in percent, or ``"loss"``: ½‖f(x) − y‖²; None for what the task has.
        width: a width of the trajectory; None for the first.
        seed: one seed, or ``"all"`` for means with a band from the lowest to the highest.
        epoch: where to draw the marker line; None for nowhere.
        start: regression of what the network lacks (``"network"``), of the targets alone (``"zero"``), or both.
        scale: of the epoch axis.

    Returns:
        An overlay with a band, a line and its points per predictor, and the marker line.
    """
    return _accuracies(ds, quantity, width, seed, epoch, start, scale).figure()


def accuracies_columns(
    ds: xr.Dataset,
    quantity: Literal["accuracy", "loss"] | None = None,
    width: int | None = None,
    seed: Seed = "all",
    epoch: int | None = None,
    *,
    start: Starts = "network",
    scale: Scale = "log",
) -> tuple[list[Columns], str]:
    """What the sources of :func:`accuracies` hold, in drawing order, and its title."""
    return _accuracies(ds, quantity, width, seed, epoch, start, scale).columns()


@FIGURES.register("regression_differences", label="Difference of the regressions by epoch", data="trajectory")
def regression_differences(
    ds: xr.Dataset,
    width: int | None = None,
    seed: Seed = "all",
    epoch: int | None = None,
    *,
    start: Start = "network",
    scale: Scale = "log",
) -> hv.Overlay:
    """How far regression with each kernel is from that with the eNTK on the test examples, ‖f_K − f_Θ‖.

    Solid relative to ‖f_Θ‖, dashed relative to what regression adds to the network, ‖f_Θ − f₀‖. When the network has
    learnt its targets there is nothing to add: the first falls whatever the kernels are, the second does not. (That
    is so under the squared loss; cross-entropy takes the outputs beyond the targets 0 and 1.)
    Arguments and result as for :func:`accuracies`; the axis is logarithmic.
    """
    return _differences(ds, width, seed, epoch, start, scale).figure()


def regression_differences_columns(
    ds: xr.Dataset,
    width: int | None = None,
    seed: Seed = "all",
    epoch: int | None = None,
    *,
    start: Start = "network",
    scale: Scale = "log",
) -> tuple[list[Columns], str]:
    """What the sources of :func:`regression_differences` hold, in drawing order, and its title."""
    return _differences(ds, width, seed, epoch, start, scale).columns()


def _accuracies(ds, quantity, width, seed, epoch, start, scale) -> Drawing:
    quantity = quantity or ("loss" if ds.attrs.get("task") == "regression" else "accuracy")
    logarithmic, width = quantity == "loss", epochs.first(ds, width)
    ydim = hv.Dimension(quantity, label="test loss ½‖f(x) − y‖²" if logarithmic else "test accuracy (%)")
    what = f"{'Loss' if logarithmic else 'Accuracy'} on {ds.sizes['test']} test examples at width {width}"
    title = f"{what}, {epochs.seeds(ds, seed)}\n{captions.regression(ds)}"
    where = {"width": width, "seed": seed, "epoch": epoch, "scale": scale}
    lines, beside = _predictors(ds, quantity, start), start == "both"
    return epochs.drawing(ds, lines, ydim, title, **where, logarithmic=logarithmic, beside=beside)


def _predictors(ds: xr.Dataset, quantity: str, start: Starts) -> list[tuple[Line, xr.DataArray]]:
    """A line for each predictor and its values (width, seed, at)."""
    found, unit = [], epochs.PERCENT if quantity == "accuracy" else 1.0
    for who in epochs.predictors(ds):
        style = theme.predictor_style(who)
        found.append((Line(who, style.label, style.color, style.marker, width=3.0), unit * ds[f"{who}_{quantity}"]))
    for where in STARTS if start == "both" else (start,):
        dash, said = STARTS[where]
        for name in map(str, ds["kernel"].values):
            style = theme.predictor_style(name)
            line = Line(f"{name}_{where}", f"{style.label}{said}", style.color, style.marker, dash)
            found.append((line, unit * ds[f"regression_{quantity}"].sel(kernel=name, start=where)))
    return found


def _differences(ds, width, seed, epoch, start, scale) -> Drawing:
    epochs.require_entk(ds, "regression_difference")
    width, ydim = epochs.first(ds, width), hv.Dimension("difference", label="difference ‖f_K − f_Θ‖, relative")
    lines = []
    for name in map(str, ds["compared"].values):
        style = theme.kernel_style(name)
        for measure, (said, dash) in DIFFERENCES.items():
            line = Line(f"{name}_{measure}", f"{style.label}, {said}", style.color, style.marker, dash)
            lines.append((line, ds[measure].sel(compared=name, start=start)))
    which = f"Regression{STARTS[start][1]}, each kernel against the eNTK"
    title = f"{which}, width {width}, {epochs.seeds(ds, seed)}\n{captions.regression(ds)}"
    where = {"width": width, "seed": seed, "epoch": epoch, "scale": scale}
    return epochs.drawing(ds, lines, ydim, title, **where, logarithmic=True)
