"""Figures as PNG and SVG files, drawn by matplotlib without a browser.

What a figure looks like is decided once, in its Bokeh options; this module reads them. It draws on figure
objects of its own and never touches pyplot or HoloViews' choice of backend, which all sessions share.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import holoviews as hv
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ntk_explorer.errors import InvalidInput

INCHES = (9.0, 6.2)
SQUARE = (6.4, 5.6)
POINTS_PER_PIXEL = 0.75
_OUTSIDE = {
    "right": {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)},
    "bottom": {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12)},
}
_CORNERS = {
    f"{end}_{side}": f"{word} {side}"
    for end, word in (("top", "upper"), ("bottom", "lower"))
    for side in ("left", "right")
}


def figure_png(figure: hv.Overlay | hv.Layout, *, dpi: int = 150) -> bytes:
    """A figure of this package as a PNG picture.

    Args:
        figure: what one of the functions of this package returns; a layout is drawn side by side.
        dpi: dots per inch; a picture is 9 inches wide, that of a matrix 6.4.

    Returns:
        The bytes of the file.

    Raises:
        InvalidInput: the figure holds an element that none of ours has.
    """
    return _save(figure, "png", dpi=dpi)


def figure_svg(figure: hv.Overlay | hv.Layout) -> bytes:
    """A figure of this package as an SVG drawing; arguments and errors as for :func:`figure_png`."""
    return _save(figure, "svg", metadata={"Date": None})


def _save(figure: hv.Overlay | hv.Layout, format: str, **options) -> bytes:
    parts = list(figure) if isinstance(figure, hv.Layout) else [figure]
    width, height = SQUARE if _options(parts[0], "plot").get("frame_width") else INCHES
    canvas, file = Figure(figsize=(width * len(parts), height), layout="constrained"), io.BytesIO()
    for axes, part in zip(canvas.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        _draw(axes, part)
    with rc_context({"svg.hashsalt": "ntk-explorer"}):
        canvas.savefig(file, format=format, **options)
    return file.getvalue()


def _options(element: Any, group: str) -> dict:
    return hv.Store.lookup_options("bokeh", element, group).kwargs


def _draw(axes: Axes, overlay: hv.Overlay) -> None:
    options = _options(overlay, "plot")
    axes.set_xscale("log" if options.get("logx") else "linear")
    axes.set_yscale("log" if options.get("logy") else "linear")
    handles: dict[str, list] = {}
    for element in overlay:
        artist = _artist(element)(axes, element, _options(element, "style"))
        if _options(element, "plot").get("colorbar"):
            axes.figure.colorbar(artist, ax=axes, shrink=0.9)
        if element.label:
            handles.setdefault(element.label, []).append(artist)
    _frame(axes, overlay, options)
    if handles and options.get("show_legend", True):
        _legend(axes, handles, options)


def _frame(axes: Axes, overlay: hv.Overlay, options: dict) -> None:
    first = next(iter(overlay))
    axes.set_xlabel(first.dimensions()[0].label, fontsize=12, parse_math=False)
    axes.set_ylabel(first.dimensions()[1].label, fontsize=12, parse_math=False)
    axes.set_title(options.get("title", ""), loc="left", fontsize=12, fontweight="bold", parse_math=False)
    for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        getattr(axes, f"set_{name}lim")(options.get(f"{name}lim"))
        axis.set_tick_params(labelsize=11)
        if ticks := options.get(f"{name}ticks"):
            axis.set_ticks([tick for tick, _ in ticks], [text for _, text in ticks], parse_math=False)
            axis.set_minor_locator(NullLocator())
        if f"{name}axis" in options and options[f"{name}axis"] is None:
            axis.set_visible(False)
    if options.get("invert_yaxis"):
        axes.invert_yaxis()
    if options.get("frame_width"):
        axes.set_box_aspect(1)
    if options.get("show_grid"):
        axes.grid(color="#e5e5e5")
        axes.set_axisbelow(True)


def _legend(axes: Axes, handles: dict[str, list], options: dict) -> None:
    texts = options.get("legend_labels", {})
    place = options.get("legend_position", "top_right")
    where: dict[str, Any] = _OUTSIDE[place] if place in _OUTSIDE else {"loc": _CORNERS[place]}
    if place == "bottom":
        where["ncols"] = options.get("legend_cols", 1)
    # One entry per label, its band, line and marker drawn over one another.
    legend = axes.legend([tuple(h) for h in handles.values()], [texts.get(k, k) for k in handles], fontsize=11, **where)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _columns(element: hv.Element) -> list[np.ndarray]:
    return [element.dimension_values(dimension) for dimension in element.dimensions()]


def _curve(axes: Axes, element, style: dict):
    x, y = _columns(element)[:2]
    steps = _options(element, "plot").get("interpolation", "linear").replace("linear", "default")
    return axes.plot(
        x,
        y,
        color=style["color"],
        linewidth=style.get("line_width", 2),
        linestyle=style.get("line_dash", "solid"),
        alpha=style.get("line_alpha"),
        drawstyle=steps,
    )[0]


def _area(axes: Axes, element, style: dict):
    x, low, high = _columns(element)
    return axes.fill_between(x, low, high, color=style["color"], alpha=style["fill_alpha"], linewidth=0)


def _dots(axes: Axes, element, style: dict):
    columns = _columns(element)
    hollow = style.get("fill_alpha") == 0
    edge = style.get("line_color", "none")
    color = edge if hollow else style.get("color", edge)
    if color in [dimension.name for dimension in element.vdims]:
        color = list(element.dimension_values(color))
    return axes.scatter(
        *columns[:2],
        s=style["size"] ** 2,
        marker=style.get("marker", "o"),
        alpha=style.get("alpha"),
        facecolors="none" if hollow else color,
        edgecolors=edge,
        linewidths=style.get("line_width", 0),
    )


def _segments(axes: Axes, element, style: dict):
    x0, y0, x1, y1 = _columns(element)
    ends = np.stack([np.stack([x0, y0], axis=1), np.stack([x1, y1], axis=1)], axis=1)
    lines = LineCollection(list(ends), colors=style["color"], linewidths=style["line_width"], alpha=style["alpha"])
    return axes.add_collection(lines)


def _image(axes: Axes, element, style: dict):
    values = element.dimension_values(2, flat=False)
    low, high = _options(element, "plot")["clim"]
    left, bottom, right, top = element.bounds.lbrt()
    return axes.imshow(
        values,
        cmap=ListedColormap(style["cmap"]),
        vmin=low,
        vmax=high,
        origin="lower",
        extent=(left, right, bottom, top),
        interpolation="nearest",
        aspect="auto",  # the frame is square already
    )


def _rgb(axes: Axes, element, _style: dict):
    channels = np.stack([element.dimension_values(d, flat=False) for d in element.vdims[:3]], axis=-1)
    left, bottom, right, top = element.bounds.lbrt()
    return axes.imshow(
        channels, origin="lower", extent=(left, right, bottom, top), interpolation="nearest", aspect="auto"
    )


def _labels(axes: Axes, element, style: dict):
    size = float(str(style["text_font_size"]).removesuffix("px")) * POINTS_PER_PIXEL
    for x, y, text, color in zip(*_columns(element), strict=True):
        axes.text(x, y, text, color=color, fontsize=size, ha="center", va="center", parse_math=False)


_ARTISTS: dict[str, Callable] = {
    "Curve": _curve,
    "Area": _area,
    "Scatter": _dots,
    "Points": _dots,
    "Segments": _segments,
    "Image": _image,
    "RGB": _rgb,
    "Labels": _labels,
}


def _artist(element: Any) -> Callable:
    kind = type(element).__name__
    if kind not in _ARTISTS:
        raise InvalidInput(f"Cannot draw a {kind} as a file", "Use the figures of ntk_explorer.plots.")
    return _ARTISTS[kind]
