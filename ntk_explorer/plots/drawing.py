"""A line figure before it is drawn: from the same parts come the figure and the columns that update it in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import holoviews as hv
import numpy as np

from ntk_explorer.plots import theme

Columns = dict[str, Any]


def outline(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> Columns:
    """What the source of a band holds: the corners of its outline."""
    return {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([high, low[::-1]])}


@dataclass(frozen=True)
class Layer:
    """A curve, band or scatter: its kind in HoloViews, an array per dimension, its name, legend label and look."""

    kind: type
    data: tuple
    dims: list
    name: str
    label: str = ""
    look: dict[str, Any] = field(default_factory=dict)

    def columns(self) -> Columns:
        """What the source of this layer holds in Bokeh."""
        if self.kind is hv.Area:
            return outline(*self.data)
        return {str(dimension): np.asarray(values) for dimension, values in zip(self.dims, self.data, strict=True)}

    def element(self) -> tuple:
        """The element and its style, as :func:`theme.figure` takes them."""
        return theme.layer(self.kind, self.data, self.dims, self.name, self.label, **self.look)


@dataclass(frozen=True)
class Drawing:
    """The layers of a figure in drawing order, its title and the options of its frame."""

    layers: list[Layer]
    title: str
    options: dict[str, Any]

    def figure(self) -> hv.Overlay:
        """The figure."""
        layers = [layer.element() for layer in self.layers]
        return theme.line_figure(layers, title=self.title, **self.options)

    def columns(self) -> tuple[list[Columns], str]:
        """What the sources of the figure hold, in drawing order, and its title.

        A figure that is on the screen already is brought up to date with these in a millisecond or two.
        """
        return [layer.columns() for layer in self.layers], self.title
