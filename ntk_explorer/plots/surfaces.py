"""Decision surfaces over two inputs: what each predictor says of every point of the plane, and its boundaries."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr
from contourpy import LineType, contour_generator

from ntk_explorer.errors import InvalidInput
from ntk_explorer.plots import FIGURES, captions, epochs, theme
from ntk_explorer.plots.drawing import Columns
from ntk_explorer.plots.examples import CLASSES
from ntk_explorer.plots.predictors import Start, names, output, outputs, said

SIDE = 300
FIRST, SECOND = hv.Dimension("first", label="feature 1"), hv.Dimension("second", label="feature 2")
ENDS = [FIRST, SECOND, "first_end", "second_end"]
# Beyond this share of all values colours are full: a regression may shoot up in a corner without examples.
WITHIN = 0.98
WHITE = np.array([255.0, 255.0, 255.0])


@FIGURES.register("decision_surface", label="Decision surface of one predictor", data="trajectory")
def decision_surface(
    ds: xr.Dataset,
    predictor: str = "network",
    width: int | None = None,
    seed: int = 0,
    epoch: int | None = None,
    *,
    start: Start = "network",
) -> hv.Overlay:
    """What one predictor says of every point of the plane, with the training examples on it.

    Of two classes the margin f_1 − f_0 is shown, of more the colour of the winning class, fuller the larger its margin
    over the next; of a regression the output. Black lines are the decision boundaries. Colours are shared by all
    predictors and epochs of a width and seed.

    Args:
        ds: a trajectory of data with two features, finished or not.
        predictor: ``"network"``, ``"linearised"`` or, for regression with it, a kernel.
        width: a width of the trajectory; None for the first.
        seed: a seed of the trajectory.
        epoch: everything is that of the last kernel epoch up to here; None for the last at all.
        start: regression of what the network lacks (``"network"``), or of the targets alone (``"zero"``).

    Returns:
        An overlay of picture, boundaries and examples.

    Raises:
        InvalidInput: the inputs do not have two features.
    """
    surface, limit, title = _surface(ds, predictor, width, seed, epoch, start)
    xlim, ylim = ((float(axis[0]), float(axis[-1])) for axis in _axes(ds))
    options = {"frame_width": SIDE, "frame_height": SIDE, "xlim": xlim, "ylim": ylim, "show_legend": False}
    layers = [_picture(ds, surface, limit), _boundaries(ds, surface), _examples(ds)]
    return theme.figure(layers, title=title, **options)


def decision_surface_columns(
    ds: xr.Dataset,
    predictor: str = "network",
    width: int | None = None,
    seed: int = 0,
    epoch: int | None = None,
    *,
    start: Start = "network",
) -> tuple[list[Columns], str]:
    """What the sources of :func:`decision_surface` hold, in drawing order, and its title; only the epoch may change."""
    surface, limit, title = _surface(ds, predictor, width, seed, epoch, start)
    x, y = _axes(ds)
    (left, right), (bottom, top) = _edges(x), _edges(y)
    frame = {"x": [left], "y": [bottom], "dw": [right - left], "dh": [top - bottom]}
    shown = _packed(_colours(surface, limit)) if surface.shape[2] > 2 else _values(surface)
    others = (_boundaries(ds, surface)[0], _examples(ds)[0])
    columns = [{str(d): element.dimension_values(d) for d in element.dimensions()} for element in others]
    return [frame | {"image": [shown]}, *columns], title


@FIGURES.register("decision_surfaces", label="Decision surfaces side by side", data="trajectory")
def decision_surfaces(
    ds: xr.Dataset, width: int | None = None, seed: int = 0, epoch: int | None = None, *, start: Start = "network"
) -> hv.Layout:
    """The decision surfaces of the network, its linearisation and regression with each kernel, in the same colours.

    Arguments as for :func:`decision_surface`.
    """
    return hv.Layout([decision_surface(ds, who, width, seed, epoch, start=start) for who in names(ds)])


def _surface(ds, predictor, width, seed, epoch, start) -> tuple[np.ndarray, float, str]:
    """Outputs [rows, columns, c], the value of full colour, and the title."""
    if ds.sizes.get("feature") != 2 or "grid_input" not in ds:
        raise InvalidInput("These inputs do not have two features", "Choose data such as rings.")
    width = epochs.first(ds, width)
    when, (x, y) = epochs.kernel_epoch(ds, epoch, width, seed), _axes(ds)
    every = [outputs(ds, who, width, seed, start, where="grid") for who in names(ds)]
    sizes = np.abs(np.concatenate([_margins(values).ravel() for values in every]))
    sizes = sizes[np.isfinite(sizes)]
    limit = float(np.quantile(sizes, WITHIN)) if sizes.size else 1.0
    shown = output(ds, predictor, width, seed, when, start, where="grid")
    # The grid runs through the second feature first.
    surface = np.moveaxis(shown.reshape(x.size, y.size, -1), 0, 1)
    title = f"{said(ds, predictor, start)}\nwidth {width}, seed {seed}, epoch {when}"
    named = predictor in ds["kernel"].values  # kernels' names begin as they begin
    return surface, limit or 1.0, title if named else title[0].upper() + title[1:]


def _axes(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    grid = ds["grid_input"].values
    return np.unique(grid[:, 0]), np.unique(grid[:, 1])


def _edges(axis: np.ndarray) -> tuple[float, float]:
    """Outer edges of the cells round the points of an axis."""
    half = (axis[-1] - axis[0]) / (axis.size - 1) / 2
    return float(axis[0] - half), float(axis[-1] + half)


def _margins(values: np.ndarray) -> np.ndarray:
    """What is drawn in colours, of outputs [..., c]: the output, f_1 − f_0, or the winner's lead over the next."""
    if values.shape[-1] <= 2:
        return values[..., -1] - (values[..., 0] if values.shape[-1] == 2 else 0)
    ordered = np.sort(values, axis=-1)
    return ordered[..., -1] - ordered[..., -2]


def _values(surface: np.ndarray) -> np.ndarray:
    return _margins(surface).astype(np.float32)


def _picture(ds: xr.Dataset, surface: np.ndarray, limit: float) -> tuple:
    if surface.shape[2] > 2:
        channels = np.moveaxis(_colours(surface, limit) / 255.0, 2, 0)
        return hv.RGB((*_axes(ds), *channels), [FIRST, SECOND]), {}
    what = hv.Dimension("value", label="output f(x)" if surface.shape[2] == 1 else "margin f₁ − f₀")
    image = hv.Image((*_axes(ds), _values(surface)), [FIRST, SECOND], what)
    tooltips = [("x", "($x, $y)"), (what.label, "@image")]
    look = {"cmap": theme.DIVERGING, "clim": (-limit, limit), "colorbar": True, "clabel": ""}
    return image, look | {"normalize": False, "tools": ["hover"], "hover_tooltips": tooltips}


def _colours(surface: np.ndarray, limit: float) -> np.ndarray:
    """RGB [rows, columns, 3] from 0 to 255: white where two classes are even, full colour from ``limit`` on."""
    palette = np.array([[int(name[i : i + 2], 16) for i in (1, 3, 5)] for name in CLASSES], float)
    missing = np.any(np.isnan(surface), axis=2, keepdims=True)
    winner = np.argmax(np.where(missing, 0.0, surface), axis=2) % len(CLASSES)
    share = np.where(missing, 0.0, np.clip(_margins(surface)[..., None] / limit, 0.0, 1.0))
    return np.rint(WHITE + share * (palette[winner] - WHITE)).astype(np.uint8)


def _packed(colours: np.ndarray) -> np.ndarray:
    """RGBA in 32 bits, as Bokeh takes pictures."""
    full = np.concatenate([colours, np.full((*colours.shape[:2], 1), 255, np.uint8)], axis=2)
    return np.ascontiguousarray(full).view(np.uint32)[..., 0]


def _boundaries(ds: xr.Dataset, surface: np.ndarray) -> tuple:
    """Where the largest output changes, as segments."""
    count, pieces = surface.shape[2], [np.empty((0, 4))]
    for k in range(count if count > 2 else count - 1):
        lead = surface[..., k] - np.delete(surface, k, axis=2).max(axis=2)
        lines = contour_generator(*_axes(ds), np.ma.masked_invalid(lead), line_type=LineType.Separate).lines(0.0)
        pieces += [np.concatenate([line[:-1], line[1:]], axis=1) for line in map(np.asarray, lines)]
    segments = hv.Segments(tuple(np.concatenate(pieces).T), ENDS)
    # Not the black of the eNTK, which dark pages turn into white: the picture below is light on any page.
    return segments, {"color": "#000000", "line_width": 2, "alpha": 1.0}


def _examples(ds: xr.Dataset) -> tuple:
    places, labels = ds["x1_input"].values, ds["label"].values
    classes = labels if captions.class_names(ds) else np.zeros(labels.size)
    colours = np.array([CLASSES[int(label) % len(CLASSES)] for label in classes])
    points = hv.Points((places[:, 0], places[:, 1], colours), [FIRST, SECOND], "color")
    return points, {"color": "color", "size": 7, "line_color": "white", "line_width": 1}
