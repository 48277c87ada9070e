"""Learning curves: loss and accuracy along the epochs, and the learning rate beside its limit."""

from __future__ import annotations

import json
from typing import Literal

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.plots import FIGURES, captions, epochs, theme
from ntk_explorer.plots.drawing import Columns, Drawing, Layer
from ntk_explorer.plots.epochs import Line, Scale, Seed

Quantity = Literal["loss", "accuracy"]
LOSSES = {"cross_entropy": "loss (cross-entropy per example)", "squared": "loss (½‖f(x) − y‖² per example)"}
PARTS = {"train": ("training", "solid"), "test": ("test", "dashed")}
RATE = hv.Dimension("rate", label="learning rate η")


@FIGURES.register("learning_curves", label="Loss and accuracy by epoch", data="trajectory")
def learning_curves(
    ds: xr.Dataset,
    quantity: Quantity = "loss",
    width: int | None = None,
    seed: Seed = "all",
    epoch: int | None = None,
    *,
    scale: Scale = "log",
) -> hv.Overlay:
    """Loss, or accuracy, of the network and of its linearisation on training and test examples, by epoch.

    Lines are means over seeds, bands go from the lowest to the highest. Limits hold for all widths and
    for the whole plan, so that a running training fills the axes and does not move them.

    Args:
        ds: a trajectory, finished or not.
        quantity: ``"loss"``, on a logarithmic axis, or ``"accuracy"`` in percent.
        width: a width of the trajectory; None for the first.
        seed: one seed, or ``"all"``.
        epoch: where to draw the marker line; None for nowhere.
        scale: of the epoch axis; on the logarithmic one epoch 0 stands left of 1.

    Returns:
        An overlay with a band and a curve per network and part of the data, and the marker line.
    """
    return _curves(ds, quantity, width, seed, epoch, scale).figure()


def learning_curves_columns(
    ds: xr.Dataset,
    quantity: Quantity = "loss",
    width: int | None = None,
    seed: Seed = "all",
    epoch: int | None = None,
    *,
    scale: Scale = "log",
) -> tuple[list[Columns], str]:
    """What the sources of :func:`learning_curves` hold, in drawing order, and its title."""
    return _curves(ds, quantity, width, seed, epoch, scale).columns()


@FIGURES.register("learning_rates", label="Learning rate and its limit", data="trajectory")
def learning_rates(
    ds: xr.Dataset,
    width: int | None = None,
    seed: Seed = "all",
    epoch: int | None = None,
    *,
    scale: Scale = "log",
) -> hv.Overlay:
    """The learning rate beside 2/λ_max(Θ/n), above which gradient descent on the linearised network diverges.

    The limit belongs to full-batch gradient descent on the squared loss (LeCun, Kanter & Solla, 1991); for other
    optimisers and losses it is a guide. Arguments and result as for :func:`learning_curves`.
    """
    return _rates(ds, width, seed, epoch, scale).figure()


def learning_rates_columns(
    ds: xr.Dataset,
    width: int | None = None,
    seed: Seed = "all",
    epoch: int | None = None,
    *,
    scale: Scale = "log",
) -> tuple[list[Columns], str]:
    """What the sources of :func:`learning_rates` hold, in drawing order, and its title."""
    return _rates(ds, width, seed, epoch, scale).columns()


def _curves(ds, quantity, width, seed, epoch, scale) -> Drawing:
    width, logarithmic = epochs.first(ds, width), quantity == "loss"
    read = _read(ds, quantity, width, seed, epoch)
    title = f"{quantity.capitalize()} at width {width}, {epochs.seeds(ds, seed)}{read}\n{captions.training(ds)}"
    ydim = hv.Dimension(quantity, label=_loss_label(ds) if logarithmic else "accuracy (%)")
    where = {"width": width, "seed": seed, "epoch": epoch, "scale": scale}
    return epochs.drawing(ds, _lines(ds, quantity), ydim, title, **where, logarithmic=logarithmic)


def _lines(ds: xr.Dataset, quantity: Quantity) -> list[tuple[Line, xr.DataArray]]:
    """A line and its values: a colour for each network, dashes for the test examples."""
    lines = []
    for who in epochs.predictors(ds):
        style, thick = theme.predictor_style(who), 3.0 if who == "network" else 2.0
        for part, (said, dash) in PARTS.items():
            line = Line(f"{who}_{part}", f"{style.label}, {said}", style.color, dash=dash, width=thick)
            values = ds[f"{part}_{quantity}" if who == "network" else f"{who}_{part}_{quantity}"]
            lines.append((line, values if quantity == "loss" else epochs.PERCENT * values))
    return lines


def _rates(ds, width, seed, epoch, scale) -> Drawing:
    width, limit = epochs.first(ds, width), ds["learning_rate_limit"]
    kernel, network = theme.kernel_style("entk"), theme.predictor_style("network")
    lines = [
        (Line("limit", "limit 2/λ_max(Θ/n)", kernel.color, kernel.marker), limit),
        (Line("rate", "learning rate η", network.color, width=3), ds["learning_rate"]),
    ]
    beyond = _above(ds, epochs.of_seed(limit.sel(width=width).transpose("at", "seed"), seed), scale)
    title = f"Learning rate and its limit at width {width}, {epochs.seeds(ds, seed)}\n{captions.training(ds)}"
    where = {"width": width, "seed": seed, "epoch": epoch, "scale": scale}
    return epochs.drawing(ds, lines, RATE, title, **where, logarithmic=True, behind=[beyond])


def _above(ds: xr.Dataset, limit: np.ndarray, scale: Scale) -> Layer:
    """The region above the lowest limit over seeds, from kernel epoch to kernel epoch."""
    _, low, _ = epochs.spread(limit, logarithmic=True)
    seen = np.isfinite(low)
    edges = epochs.place(ds["at"].values[seen], scale), low[seen], np.full(int(seen.sum()), epochs.BEYOND)
    dims, look = [epochs.place_dimension(scale), RATE, epochs.HIGHEST], {"color": theme.GREY, "fill_alpha": 0.2}
    return Layer(hv.Area, edges, dims, "beyond", "full-batch gradient descent diverges", look | {"line_alpha": 0})


def _loss_label(ds: xr.Dataset) -> str:
    chosen = json.loads(ds.attrs.get("plan", "{}")).get("training", {}).get("loss")
    return LOSSES[chosen or ("squared" if ds.attrs.get("task") == "regression" else "cross_entropy")]


def _read(ds: xr.Dataset, quantity: Quantity, width: int, seed: Seed, epoch: int | None) -> str:
    """``; epoch 3: training 0.12, test 0.2``, of the network, as far as it is known there."""
    known = []
    for part, (said, _) in PARTS.items():
        table = ds[f"{part}_{quantity}"].sel(width=width)
        value = epochs.of_seed(table.reindex(epoch=[-1 if epoch is None else epoch]), seed).mean()
        shown = f"{value:.3g}" if quantity == "loss" else f"{epochs.PERCENT * value:.1f} %"
        known += [f"{said} {shown}"] * bool(np.isfinite(value))
    return f"; epoch {epoch}: {', '.join(known)}" if known else ""
