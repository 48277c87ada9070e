"""One pair of examples: what they look like, and the c×c block of the eNTK that the other kernels sum up."""

from __future__ import annotations

from collections.abc import Mapping

import holoviews as hv
import numpy as np

from ntk_explorer.datasets import LabelledData
from ntk_explorer.plots import theme

SIDE = 300
# Beyond this many outputs the numbers in the cells would overlap.
MOST_ANNOTATED = 12
OUTPUT_A = hv.Dimension("column", label="output b")
OUTPUT_B = hv.Dimension("row", label="output a")


def block_heatmap(theta, kernels: Mapping[str, float], *, i: int, j: int) -> hv.Overlay:
    """The block Θ(x_i, x_j) of the eNTK, on colours symmetric about zero, its entries written into the cells.

    Args:
        theta: [c, c] block.
        kernels: value of each other kernel at this pair; the title gives them.
        i: the first example.
        j: the second example.

    Returns:
        An overlay of image and numbers.
    """
    values = ", ".join(f"{theme.kernel_style(name).label} {value:.4g}" for name, value in kernels.items())
    return _block(np.asarray(theta), f"eNTK block Θ(x_{i}, x_{j})\n{values}", _block_limit(theta, kernels))


def lifted_heatmap(theta, kernels: Mapping[str, float], kernel: str = "pntk") -> hv.Overlay:
    """What a kernel puts in the place of the block: K_ij I, on the colours of :func:`block_heatmap`."""
    value = float(kernels[kernel])
    lifted = value * np.eye(np.asarray(theta).shape[0])
    label = theme.kernel_style(kernel).label
    return _block(lifted, f"{label} ⊗ I: K_ij on the diagonal\n{label} {value:.4g}", _block_limit(theta, kernels))


def _block_limit(theta, kernels: Mapping[str, float]) -> float:
    values = np.concatenate([np.ravel(theta), list(kernels.values())])
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0


def _block(block: np.ndarray, title: str, most: float) -> hv.Overlay:
    outputs = np.arange(block.shape[0])
    image = hv.Image((outputs, outputs, block.astype(np.float32)), [OUTPUT_A, OUTPUT_B], "value")
    image.opts(cmap=theme.DIVERGING, clim=(-most, most), colorbar=True, tools=["hover"], backend="bokeh")
    columns, rows = np.meshgrid(outputs, outputs)
    annotated = block.shape[0] <= MOST_ANNOTATED
    texts = [f"{value:.3g}" if annotated else "" for value in block.ravel()]
    numbers = hv.Labels((columns.ravel(), rows.ravel(), texts), [OUTPUT_A, OUTPUT_B], "text")
    numbers.opts(text_font_size="9px", text_color="black", backend="bokeh")
    edge = (-0.5, block.shape[0] - 0.5)
    ticks = [(k, str(k)) for k in outputs[:: -(-outputs.size // MOST_ANNOTATED)]]
    return (image * numbers).opts(
        backend="bokeh",
        title=title,
        frame_width=SIDE,
        frame_height=SIDE,
        xlim=edge,
        ylim=edge,
        invert_yaxis=True,
        xticks=ticks,
        yticks=ticks,
        fontsize=theme.FONTS,
        toolbar="above",
        active_tools=[],
    )


def block_entries(theta, kernels: Mapping[str, float]) -> hv.Overlay:
    """Entries of a block beside the kernels' values: the diagonal gathers at them, the rest round zero, as width grows.

    Args:
        theta: [c, c] block.
        kernels: value of each other kernel at this pair.

    Returns:
        An overlay of the entries, a line at zero and a line per kernel.
    """
    theta = np.asarray(theta)
    outputs = theta.shape[0]
    diagonal = np.eye(outputs, dtype=bool)
    # Side by side in the order of the outputs rather than jittered: the picture of a block is always the same.
    spread = np.linspace(-0.3, 0.3, outputs)
    rest = np.repeat(spread, outputs).reshape(outputs, outputs)[~diagonal]
    x = np.concatenate([spread, 1 + rest])
    y = np.concatenate([theta[diagonal], theta[~diagonal]])
    dims = hv.Dimension("place", label="place in the block"), hv.Dimension("entry", label="entry of the block")
    entries = hv.Scatter((x, y), *dims, label=theme.kernel_style("entk").label)
    style = theme.kernel_style("entk")
    entries.opts(color=style.color, marker=style.marker, size=7, alpha=0.6, backend="bokeh")
    lines = [_level(0.0, theme.GREY, "zero", dims, "dashed")]
    for name, value in kernels.items():
        style = theme.kernel_style(name)
        lines.append(_level(float(value), style.color, style.label, dims, "solid"))
    return hv.Overlay([entries, *lines]).opts(
        backend="bokeh",
        title="Entries of the block and the kernels' values",
        xticks=[(0, "diagonal"), (1, "off the diagonal")],
        xlim=(-0.5, 1.5),
        ylim=_padded(np.append(y, [0.0, *kernels.values()])),
        frame_width=SIDE,
        frame_height=SIDE,
        show_grid=True,
        legend_position="top_right",
        fontsize=theme.FONTS,
        toolbar="above",
        active_tools=[],
    )


def _level(value: float, color: str, label: str, dims, dash: str) -> hv.Curve:
    line = hv.Curve(([-0.5, 1.5], [value, value]), *dims, label=label)
    return line.opts(color=color, line_dash=dash, line_width=2, backend="bokeh")


def _padded(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def example_picture(data: LabelledData, index: int) -> hv.Element:
    """One example as a person would look at it: its image, or the curve of its standardised features.

    Args:
        data: a data set.
        index: the row of the example.

    Returns:
        An image of the raw values, or a curve of values against the feature's number.
    """
    title = f"example {index}: {_label(data, index)}"
    if data.images is None:
        features = np.ravel(data.x[index])
        numbers = np.arange(1, features.size + 1)
        curve = hv.Curve((numbers, features), hv.Dimension("feature", label="feature"), "standardised value")
        return curve.opts(
            backend="bokeh",
            color=theme.kernel_style("entk").color,
            interpolation="steps-mid",
            xticks=[(int(k), str(k)) for k in numbers[:: -(-numbers.size // 10)]],
            **_card(title),
        )
    pixels = np.asarray(data.images[index], dtype=float)
    rows, columns = np.arange(pixels.shape[0]), np.arange(pixels.shape[1])
    hidden = {"xaxis": None, "yaxis": None, "invert_yaxis": True}
    if pixels.shape[2] == 3:
        top = max(float(pixels.max()), 1e-12)
        return hv.RGB((columns, rows, *np.moveaxis(pixels / top, 2, 0))).opts(backend="bokeh", **hidden, **_card(title))
    image = hv.Image((columns, rows, pixels.mean(axis=2).astype(np.float32)), ["column", "row"], "brightness")
    return image.opts(backend="bokeh", cmap=theme.IMAGE, **hidden, **_card(title))


def pair_images(data: LabelledData, i: int, j: int) -> hv.Layout:
    """Two examples side by side, with their labels."""
    return (example_picture(data, i) + example_picture(data, j)).opts(backend="bokeh", shared_axes=False, toolbar=None)


def _label(data: LabelledData, index: int) -> str:
    if data.task == "regression":
        return "target " + ", ".join(f"{value:.3g}" for value in np.ravel(data.targets[index])[:3])
    label = int(data.y[index])
    return "class " + (theme.plain(data.class_names[label], 24) if data.class_names else str(label))


def _card(title: str) -> dict:
    side = SIDE * 2 // 3
    return {"title": title, "frame_width": side, "frame_height": side, "fontsize": theme.FONTS, "toolbar": None}
