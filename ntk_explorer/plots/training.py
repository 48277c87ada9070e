"""Learning curves: loss and accuracy along the epochs, and the learning rate beside its limit."""

from __future__ import annotations

import json
from typing import Literal

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.plots import FIGURES, captions, theme
from ntk_explorer.plots.drawing import Columns, Drawing, Layer
from ntk_explorer.plots.epochs import (
    BEYOND,
    HIGHEST,
    Scale,
    Seed,
    band_and_curve,
    epoch_axis,
    now_line,
    of_seed,
    place,
    place_dimension,
    seeds,
    spread,
)

Quantity = Literal["loss", "accuracy"]
LOSSES = {"cross_entropy": "loss (cross-entropy per example)", "squared": "loss (½‖f(x) − y‖² per example)"}
PARTS = {"train": ("training", "solid"), "test": ("test", "dashed")}
RATE = hv.Dimension("rate", label="learning rate η")
PERCENT = 100.0


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
    ds: xr.Dataset, width: int | None = None, seed: Seed = "all", epoch: int | None = None, *, scale: Scale = "log"
) -> hv.Overlay:
    """The learning rate beside 2/λ_max(Θ/n), above which gradient descent on the linearised network diverges.

    The limit belongs to full-batch gradient descent on the squared loss (LeCun, Kanter & Solla, 1991); for other
    optimisers and losses it is a guide. Arguments and result as for :func:`learning_curves`.
    """
    return _rates(ds, width, seed, epoch, scale).figure()


def learning_rates_columns(
    ds: xr.Dataset, width: int | None = None, seed: Seed = "all", epoch: int | None = None, *, scale: Scale = "log"
) -> tuple[list[Columns], str]:
    """What the sources of :func:`learning_rates` hold, in drawing order, and its title."""
    return _rates(ds, width, seed, epoch, scale).columns()


def _curves(ds, quantity, width, seed, epoch, scale) -> Drawing:
    width, logarithmic = first(ds, width), quantity == "loss"
    unit = 1.0 if logarithmic else PERCENT
    ydim = hv.Dimension(quantity, label=_loss_label(ds) if logarithmic else "accuracy (%)")
    layers, legend, now = [], {}, {}
    for who in predictors(ds):
        style, prefix = theme.predictor_style(who), "" if who == "network" else f"{who}_"
        for part, (said, dash) in PARTS.items():
            table, label = ds[f"{prefix}{part}_{quantity}"].sel(width=width), f"{style.label}, {said}"
            values = unit * of_seed(table.transpose("epoch", "seed"), seed)
            look = {"name": f"{who}_{part}", "label": label, "said": label, "color": style.color, "dash": dash}
            layers += band_and_curve(
                ds["epoch"].values, values, ydim, scale, **look, logarithmic=logarithmic, width=_WIDTHS[who]
            )
            legend[label] = label
            now |= {said: _value(ds, values, epoch)} if who == "network" else {}
    layers.append(now_line(ydim, epoch, scale, logarithmic=logarithmic))
    everything = [unit * ds[f"{p}{part}_{quantity}"].values for p in _prefixes(ds) for part in PARTS]
    where = _read(now, quantity, epoch)
    title = f"{quantity.capitalize()} at width {width}, {seeds(ds, seed)}{where}\n{captions.training(ds)}"
    return Drawing(layers, title, _frame(ds, everything, scale, logarithmic) | {"legend": legend})


_WIDTHS = {"network": 3.0, "linearised": 2.0}


def _rates(ds, width, seed, epoch, scale) -> Drawing:
    width = first(ds, width)
    limit = of_seed(ds["learning_rate_limit"].sel(width=width).transpose("at", "seed"), seed)
    rate = of_seed(_by_epoch(ds, "learning_rate").sel(width=width).transpose("epoch", "seed"), seed)
    style, kernel = theme.predictor_style("network"), theme.kernel_style("entk")
    names = {
        "rate": "learning rate η",
        "limit": "limit 2/λ_max(Θ/n)",
        "beyond": "full-batch gradient descent diverges",
    }
    beyond, dims = {"color": theme.GREY, "fill_alpha": 0.2, "line_alpha": 0}, [place_dimension(scale), RATE, HIGHEST]
    layers = [
        Layer(hv.Area, _above(ds, limit, scale), dims, "beyond", names["beyond"], beyond),
        *band_and_curve(
            ds["at"].values, limit, RATE, scale, name="limit", label=names["limit"], said=names["limit"],
            color=kernel.color, marker=kernel.marker, logarithmic=True,
        ),
        *band_and_curve(
            ds["epoch"].values, rate, RATE, scale, name="rate", label=names["rate"], said=names["rate"],
            color=style.color, logarithmic=True, width=3,
        ),
        now_line(RATE, epoch, scale, logarithmic=True),
    ]  # fmt: skip
    title = f"Learning rate and its limit at width {width}, {seeds(ds, seed)}"
    everything = [ds["learning_rate_limit"].values, ds["learning_rate"].values]
    options = _frame(ds, everything, scale, logarithmic=True) | {"legend_position": "top_left"}
    options["legend"] = {name: name for name in names.values()}
    return Drawing(layers, f"{title}\n{captions.training(ds)}", options)


def _above(ds: xr.Dataset, limit: np.ndarray, scale: Scale) -> tuple[np.ndarray, ...]:
    """The region above the lowest limit over seeds, from kernel epoch to kernel epoch."""
    _, low, _ = spread(limit, logarithmic=True)
    seen = np.isfinite(low)
    return place(ds["at"].values[seen], scale), low[seen], np.full(int(seen.sum()), BEYOND)


def _by_epoch(ds: xr.Dataset, name: str) -> xr.DataArray:
    values = ds[name]
    if "epoch" in values.dims:
        return values
    return values.expand_dims(epoch=ds["epoch"]).where(ds["train_loss"].notnull())


def first(ds: xr.Dataset, width: int | None) -> int:
    """The width, or the first of the trajectory where none is given."""
    return int(ds["width"].values[0]) if width is None else width


def predictors(ds: xr.Dataset) -> list[str]:
    """``network`` and, where it was trained too, ``linearised``."""
    trained = json.loads(ds.attrs.get("plan", "{}")).get("linearised", True) and "linearised_train_loss" in ds
    return ["network", "linearised"] if trained else ["network"]


def _prefixes(ds: xr.Dataset) -> list[str]:
    return ["" if who == "network" else f"{who}_" for who in predictors(ds)]


def _loss_label(ds: xr.Dataset) -> str:
    chosen = json.loads(ds.attrs.get("plan", "{}")).get("training", {}).get("loss")
    return LOSSES[chosen or ("squared" if ds.attrs.get("task") == "regression" else "cross_entropy")]


def _frame(ds: xr.Dataset, everything: list, scale: Scale, logarithmic: bool) -> dict:
    """Limits, ticks and legend of a figure along the epochs of this trajectory."""
    values = np.concatenate([np.ravel(v) for v in everything])
    ylim = theme.log_limits(values) if logarithmic else theme.padded(values)
    ticks = {"yticks": theme.log_ticks(ylim)} if logarithmic else {}
    # Where the curves are not: losses fall and accuracies rise.
    corner = {"legend_position": "bottom_left" if logarithmic else "bottom_right"}
    return {"ylim": ylim, "logy": logarithmic} | corner | ticks | epoch_axis(ds, scale)


def _value(ds: xr.Dataset, values: np.ndarray, epoch: int | None) -> float:
    rows = values[ds["epoch"].values == epoch]
    return float(rows.mean()) if rows.size else float("nan")


def _read(now: dict[str, float], quantity: Quantity, epoch: int | None) -> str:
    """``; epoch 3: training 0.12, test 0.2``, of what is known there."""
    form = "{:.3g}" if quantity == "loss" else "{:.1f} %"
    known = ", ".join(f"{said} {form.format(value)}" for said, value in now.items() if np.isfinite(value))
    return f"; epoch {epoch}: {known}" if known else ""
