"""Functions of one input at an epoch: what was to be learnt, the networks, and kernel regression."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.errors import InvalidInput
from ntk_explorer.plots import FIGURES, captions, epochs, theme
from ntk_explorer.plots.drawing import Columns, Drawing, Layer
from ntk_explorer.plots.predictors import Start, output

INPUT, OUTPUT = hv.Dimension("input", label="input x"), hv.Dimension("output", label="output f(x)")
EXAMPLE, TRUTH = "training examples", "test targets"
ROOM = 0.35  # above and below the targets, as a share of their range


@FIGURES.register("prediction_curves", label="Functions of one input", data="trajectory")
def prediction_curves(
    ds: xr.Dataset, width: int | None = None, seed: int = 0, epoch: int | None = None, *, start: Start = "network"
) -> hv.Overlay:
    """The network, its linearisation and regression with each kernel as functions of one input.

    Limits are those of the targets with some room, so that a regression which shoots up between its examples does not
    flatten the rest; the frame can be moved and zoomed.

    Args:
        ds: a trajectory of data with one feature, finished or not.
        width: a width of the trajectory; None for the first.
        seed: a seed of the trajectory.
        epoch: everything is that of the last kernel epoch up to here; None for the last at all.
        start: regression of what the network lacks (``"network"``), or of the targets alone (``"zero"``).

    Returns:
        An overlay with the examples, the target and a curve per predictor.

    Raises:
        InvalidInput: the inputs have more features than one.
    """
    return _drawing(ds, width, seed, epoch, start).figure()


def prediction_curves_columns(
    ds: xr.Dataset, width: int | None = None, seed: int = 0, epoch: int | None = None, *, start: Start = "network"
) -> tuple[list[Columns], str]:
    """What the sources of :func:`prediction_curves` hold, in drawing order, and its title."""
    return _drawing(ds, width, seed, epoch, start).columns()


def _drawing(ds, width, seed, epoch, start) -> Drawing:
    if ds.sizes.get("feature") != 1 or "grid_input" not in ds:
        raise InvalidInput("These inputs have more than one feature", "Choose data such as sine or step.")
    width = epochs.first(ds, width)
    when, grid = epochs.kernel_epoch(ds, epoch, width, seed), ds["grid_input"].values[:, 0]
    layers = [_truth(ds)]
    for who, thick in _thickness(ds).items():
        style, values = theme.predictor_style(who), output(ds, who, width, seed, when, start, where="grid")[:, 0]
        seen, look = np.isfinite(values), {"color": style.color, "line_width": thick}
        hover = {"tools": ["hover"], "hover_tooltips": [("", style.label), ("x", "@input"), ("f(x)", "@output")]}
        layers.append(Layer(hv.Curve, (grid[seen], values[seen]), [INPUT, OUTPUT], who, style.label, look | hover))
    layers.append(_examples(ds))
    ylim = _limits(ds["test_target"].values)
    legend = {layer.label: layer.label for layer in layers}
    without = "" if start == "network" else ", regression without f₀"
    title = f"Functions at epoch {when}, width {width}, seed {seed}{without}\n{captions.regression(ds)}"
    axes = {"logx": False, "logy": False, "xlim": (float(grid.min()), float(grid.max())), "ylim": ylim}
    return Drawing(layers, title, axes | {"legend": legend, "legend_position": "right"})


def _thickness(ds: xr.Dataset) -> dict[str, float]:
    """The predictors in drawing order: kernels from thick to thin, since of a single output all say the same."""
    kernels = list(map(str, ds["kernel"].values))[::-1]
    return {name: 2.0 * (len(kernels) - k) for k, name in enumerate(kernels)} | dict.fromkeys(
        epochs.predictors(ds), 3.0
    )


def _limits(targets: np.ndarray) -> tuple[float, float]:
    low, high = float(targets.min()), float(targets.max())
    room = ROOM * (high - low) or 1.0
    return low - room, high + room


def _truth(ds: xr.Dataset) -> Layer:
    x, y = ds["test_input"].values[:, 0], ds["test_target"].values[:, 0]
    order = np.argsort(x, kind="stable")
    look = {"color": theme.GREY, "line_width": 6, "line_alpha": 0.45}
    return Layer(hv.Curve, (x[order], y[order]), [INPUT, OUTPUT], "truth", TRUTH, look)


def _examples(ds: xr.Dataset) -> Layer:
    look = {"color": theme.GREY, "marker": "o", "size": 9, "tools": ["hover"]}
    points = ds["x1_input"].values[:, 0], ds["label"].values.astype(float)
    return Layer(hv.Scatter, points, [INPUT, OUTPUT], "examples", EXAMPLE, look)
