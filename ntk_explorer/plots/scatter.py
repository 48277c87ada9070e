"""Outputs of two predictors against one another on the test examples, and the examples that they disagree on."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr
from bokeh.models import HoverTool

from ntk_explorer.plots import FIGURES, captions, epochs, theme
from ntk_explorer.plots.drawing import Columns, Drawing, Layer
from ntk_explorer.plots.predictors import Start, names, output, outputs, said

SIDE = 380
# As many points as can be told apart, and as a page redraws at once.
MOST_POINTS = 1500
# Entries of one tooltip: in the middle of a cloud there are dozens of points under the pointer.
MOST_TIPS = 3
EQUAL, OTHERS, TRUE = "equal", "outputs of other classes", "output of the true class"
EXAMPLE, CLASS, WHICH = hv.Dimension("example"), hv.Dimension("truth"), hv.Dimension("which")


@FIGURES.register("output_scatter", label="Outputs of a predictor against the network's", data="trajectory")
def output_scatter(
    ds: xr.Dataset,
    predictor: str | None = None,
    width: int | None = None,
    seed: int = 0,
    epoch: int | None = None,
    *,
    against: str = "network",
    start: Start = "network",
) -> hv.Overlay:
    """Every output for every test example, by one predictor against another; equal ones lie on the grey line.

    Each axis has the limits of its predictor over all epochs of a width and seed: under cross-entropy the outputs of a
    network outgrow the targets 0 and 1 that regression is for. Of very many examples every k-th is drawn.

    Args:
        ds: a trajectory, finished or not.
        predictor: what the upward axis shows: ``"linearised"``, ``"network"`` or, for regression with it, a kernel;
            None for the first kernel that stands in for the eNTK, or the first at all.
        width: a width of the trajectory; None for the first.
        seed: a seed of the trajectory.
        epoch: everything is that of the last kernel epoch up to here; None for the last at all.
        against: what the other axis shows.
        start: regression of what the network lacks (``"network"``), or of the targets alone (``"zero"``).

    Returns:
        An overlay of the line of equal outputs, the outputs of other classes and those of the true class; of a
        regression the last is empty.
    """
    return _drawing(ds, predictor, width, seed, epoch, against, start).figure()


def output_scatter_columns(
    ds: xr.Dataset,
    predictor: str | None = None,
    width: int | None = None,
    seed: int = 0,
    epoch: int | None = None,
    *,
    against: str = "network",
    start: Start = "network",
) -> tuple[list[Columns], str]:
    """What the sources of :func:`output_scatter` hold, in drawing order, and its title."""
    return _drawing(ds, predictor, width, seed, epoch, against, start).columns()


def _drawing(ds, predictor, width, seed, epoch, against, start) -> Drawing:
    predictor = predictor or str(np.concatenate([ds["compared"].values, ds["kernel"].values])[0])
    width = epochs.first(ds, width)
    when = epochs.kernel_epoch(ds, epoch, width, seed)
    xdim = hv.Dimension("across", label=said(ds, against, start))
    ydim = hv.Dimension("up", label=said(ds, predictor, start))
    xlim, ylim = (theme.padded(outputs(ds, who, width, seed, start)) for who in (against, predictor))
    ends, grey = np.array([min(xlim[0], ylim[0]), max(xlim[1], ylim[1])]), {"color": theme.GREY, "line_width": 2}
    across, up = (output(ds, who, width, seed, when, start) for who in (against, predictor))
    step = -(-across.size // MOST_POINTS)
    note = f", 1 in {step} drawn" if step > 1 else ""
    layers = [
        Layer(hv.Curve, (ends, ends), [xdim, ydim], "diagonal", EQUAL, grey),
        *_groups(ds, across[::step], up[::step], step, [xdim, ydim]),
    ]
    title = f"Outputs on {ds.sizes['test']} test examples\nwidth {width}, seed {seed}, epoch {when}{note}"
    square = {"logx": False, "logy": False, "xlim": xlim, "ylim": ylim, "responsive": False, "min_height": None}
    legend = {layer.label: layer.label for layer in layers if layer.label}
    frame = {"frame_width": SIDE, "frame_height": SIDE, "legend": legend, "legend_position": "top_left"}
    return Drawing(layers, title, square | frame)


def _groups(ds: xr.Dataset, across: np.ndarray, up: np.ndarray, step: int, dims: list) -> list[Layer]:
    """The outputs of other classes, under those of the true one."""
    labels, ids = ds["test_label"].values[::step], ds["test_ids"].values[::step]
    classes = captions.class_names(ds)
    which = np.arange(across.shape[1])
    true = labels[:, None] == which if classes else np.zeros(across.shape, bool)
    names_of = np.array(classes or ["" for _ in which], dtype=object)
    truth = names_of[labels.astype(int)] if classes else np.array([f"{label:.3g}" for label in labels], dtype=object)
    known = np.isfinite(across) & np.isfinite(up)
    rows = np.broadcast_to(np.arange(len(across))[:, None], across.shape)
    columns = np.broadcast_to(which, across.shape)
    tips = [("example", "@example"), ("target" if not classes else "class", "@truth"), ("output for", "@which")]
    hover = {
        "tools": ["hover"],
        "hover_tooltips": [*tips[: 3 if classes else 2], ("values", "(@across, @up)")],
        "hooks": [_few_tips],
    }
    styles = {OTHERS: (~true, "#56b4e9", 5, 0.5), TRUE: (true, "#d55e00", 7, 0.8)}
    layers = []
    for label, (chosen, color, size, alpha) in styles.items():
        here = known & chosen
        data = (across[here], up[here], ids[rows[here]], truth[rows[here]], names_of[columns[here] % len(names_of)])
        look = {"color": color, "size": size, "alpha": alpha} | hover
        name = label if classes else {OTHERS: "outputs", TRUE: ""}[label]
        layers.append(Layer(hv.Scatter, data, [*dims, EXAMPLE, CLASS, WHICH], f"o{size}", name, look))
    return layers


def _few_tips(plot, _element) -> None:
    for tool in plot.state.select({"type": HoverTool}):
        tool.limit = MOST_TIPS


def disagreements(
    ds: xr.Dataset,
    width: int | None = None,
    seed: int = 0,
    epoch: int | None = None,
    *,
    start: Start = "network",
    most: int = 20,
) -> list[dict[str, str | int]]:
    """The test examples for which not all predictors name the same class; of a regression, where they differ most.

    Args:
        ds: a trajectory, finished or not.
        width: a width of the trajectory; None for the first.
        seed: a seed of the trajectory.
        epoch: everything is that of the last kernel epoch up to here; None for the last at all.
        start: regression of what the network lacks (``"network"``), or of the targets alone (``"zero"``).
        most: rows at most.

    Returns:
        A dictionary per row: ``row`` among the test examples, ``example`` (its id), ``target``, and what each predictor
        says under its name, classes by name and numbers with three digits. First the rows on which the network is
        surest, or the predictors are furthest apart; predictors whose outputs are missing are left out.
    """
    width = epochs.first(ds, width)
    when = epochs.kernel_epoch(ds, epoch, width, seed)
    every = {who: output(ds, who, width, seed, when, start) for who in names(ds)}
    every = {who: values for who, values in every.items() if np.isfinite(values).all()}
    if not every:
        return []
    classes = captions.class_names(ds)
    if not classes:
        spread = np.ptp(np.stack([values[:, 0] for values in every.values()]), axis=0)
        return [_row(ds, i, every, lambda values: f"{values[0]:.3g}") for i in np.argsort(-spread)[:most]]
    votes = np.stack([values.argmax(axis=1) for values in every.values()])
    surest = np.sort(next(iter(every.values())), axis=1)
    order = np.argsort(surest[:, -2] - surest[:, -1], kind="stable")
    apart = [i for i in order if np.ptp(votes[:, i])]
    return [_row(ds, i, every, lambda values: classes[int(values.argmax())]) for i in apart[:most]]


def _row(ds: xr.Dataset, i: int, every: dict[str, np.ndarray], say) -> dict[str, str | int]:
    known = {"row": int(i), "example": int(ds["test_ids"].values[i]), "target": say(ds["test_target"].values[i])}
    return known | {who: say(values[i]) for who, values in every.items()}
