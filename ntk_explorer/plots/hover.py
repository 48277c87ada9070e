"""What hovering over a matrix says: the two examples, their classes and the value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from bokeh.models import CustomJSHover, HoverTool

# The names travel once per example, not once per cell: a picture of n² cells keeps to n² numbers.
_LOOK_UP = "const k = Math.round(value); return k >= 0 && k < names.length ? names[k] : '';"


def cell_names(order: np.ndarray, labels: np.ndarray, names: list[str], step: int = 1) -> list[str]:
    """What a row or column of the picture is called: its example and class, or the span of examples averaged."""
    starts = range(0, len(order), step)
    if step > 1:
        return [f"{len(order[s : s + step])} examples, {_classes(labels[s : s + step], names)}" for s in starts]
    return [f"{order[s]} ({_classes(labels[s : s + 1], names)})" for s in starts]


def _classes(labels: np.ndarray, names: list[str]) -> str:
    first, last = labels[0], labels[-1]
    if not names:
        return f"label {first:.3g}" if first == last else f"labels {first:.3g} to {last:.3g}"
    return f"class {names[first]}" if first == last else f"classes {names[first]} to {names[last]}"


def name_the_cell(order: np.ndarray, labels: np.ndarray, names: list[str], step: int = 1) -> Callable:
    """A hook that gives the picture its hover tool, and that tool the names of the present examples."""
    texts = cell_names(order, labels, names, step)

    def hook(plot, _element):
        held = plot.handles.get("cell_names")
        if held is None:
            held = plot.handles["cell_names"] = CustomJSHover(args={"names": texts}, code=_LOOK_UP)
            image = next(r for r in plot.state.renderers if "image" in r.data_source.data)
            plot.state.add_tools(_tool(held, image))
        elif held.args["names"] != texts:
            held.args = {"names": texts}

    return hook


def _tool(formatter: CustomJSHover, renderer) -> HoverTool:
    return HoverTool(
        renderers=[renderer],
        tooltips=[("i", "$y{custom}"), ("j", "$x{custom}"), ("value", "@image")],
        formatters={"$x": formatter, "$y": formatter},
    )
