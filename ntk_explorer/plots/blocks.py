"""The c×c block of the eNTK for one pair of examples, beside the one number that other kernels keep of it."""

from __future__ import annotations

from collections.abc import Mapping

import holoviews as hv
import numpy as np

from ntk_explorer.plots import theme

SIDE = 340
# Beyond this many outputs the numbers in the cells would overlap.
MOST_ANNOTATED = 12
ENTRY = hv.Dimension("entry", label="entry of the block")
PLACE = hv.Dimension("place", label="place in the block")
OUTPUTS = [hv.Dimension("column", label="output b"), hv.Dimension("row", label="output a")]


def block_heatmap(block: Mapping, i: int, j: int) -> hv.Overlay:
    """The block Θ(x_i, x_j), on colours symmetric about zero, with its entries written into the cells.

    Args:
        block: ``block`` [c, c] and ``values`` by kernel, as :func:`ntk_explorer.sweeps.run.block` returns.
        i: the first example.
        j: the second example.

    Returns:
        An overlay of image and numbers; the title gives the other kernels' values for this pair.
    """
    matrix, most = np.asarray(block["block"], dtype=float), _most(block)
    outputs, scale = np.arange(len(matrix)), _scale(most)
    values = [f"{theme.kernel_style(k).label} {_short(value / scale)}" for k, value in block["values"].items()]
    image = hv.Image((outputs, outputs, matrix.astype(np.float32)), OUTPUTS, ENTRY)
    colours = {"cmap": theme.DIVERGING, "clim": (-most, most), "colorbar": True, "clabel": ""}
    edge = (-0.5, outputs.size - 0.5)
    ticks = [(int(k), str(k)) for k in outputs[:: -(-outputs.size // MOST_ANNOTATED)]]
    return theme.figure(
        [(image, colours | {"normalize": False, "tools": ["hover"]}), _numbers(matrix / scale, most / scale)],
        title=f"eNTK block Θ of examples {i} and {j}{_unit(scale)}\n{', '.join(values)}",
        xlim=edge,
        ylim=edge,
        invert_yaxis=True,
        xticks=ticks,
        yticks=ticks,
        frame_width=SIDE,
        frame_height=SIDE,
    )


def block_entries(block: Mapping) -> hv.Overlay:
    """The entries of a block with a line at each kernel's value, where wide networks gather its diagonal.

    Args:
        block: as for :func:`block_heatmap`.

    Returns:
        An overlay of the entries, a line at zero and a line per kernel.
    """
    theta = np.asarray(block["block"], dtype=float)
    outputs, style = len(theta), theme.kernel_style("entk")
    diagonal = np.eye(outputs, dtype=bool)
    # In the order of the outputs rather than jittered: the picture of a block is always the same.
    spread = np.linspace(-0.35, 0.35, outputs) if outputs > 1 else np.zeros(1)
    places = np.where(diagonal, spread[:, None], 1 + spread[:, None])
    points, look = (
        (places.ravel(), theta.ravel()),
        {"marker": style.marker, "size": 7, "alpha": 0.6, "tools": ["hover"]},
    )
    entries = theme.layer(hv.Scatter, points, [PLACE, ENTRY], "entk", f"{style.label} block", color=style.color, **look)
    levels = {name: float(value) for name, value in block["values"].items()}
    lines = [_level("zero", 0.0, "zero", color=theme.GREY, line_dash="dashed")]
    for name, value in levels.items():
        style = theme.kernel_style(name)
        lines.append(_level(name, value, style.label, color=style.color))
    return theme.figure(
        [*lines, entries],
        title="Block entries and kernel values",
        xticks=[(0, "diagonal"), (1, "off diagonal")],
        xlim=(-0.5, 1.5),
        ylim=theme.padded(np.append(theta, [0.0, *levels.values()])),
        frame_width=SIDE,
        frame_height=SIDE,
        show_grid=True,
        legend_position="right",
    )


def _most(block: Mapping) -> float:
    values = np.append(block["block"], list(block["values"].values()))
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0


def _numbers(matrix: np.ndarray, most: float) -> tuple:
    rows, columns = np.indices(matrix.shape)
    digits = 2 if most < 10 else 1 if most < 100 else 0
    shown = len(matrix) <= MOST_ANNOTATED
    texts = [f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−") if shown else "" for value in matrix.ravel()]
    # White where the colour map is dark: near both of its ends.
    shades = np.where(np.abs(matrix.ravel()) > 0.7 * most, "#ffffff", "#000000")
    labels = hv.Labels((columns.ravel(), rows.ravel(), texts, shades), OUTPUTS, ["text", "shade"])
    size = int(np.clip(110 / len(matrix), 9, 16))
    return labels, {"text_font_size": f"{size}px", "text_color": "shade"}


def _scale(most: float) -> float:
    """A power of ten by which the numbers have one digit before the point; 1 when they are near that already."""
    exponent = int(np.floor(np.log10(most)))
    return 1.0 if -1 <= exponent <= 2 else 10.0**exponent


def _unit(scale: float) -> str:
    return "" if scale == 1 else f" (× {theme.number(scale)})"


def _level(name: str, value: float, label: str, **look) -> tuple:
    return theme.layer(hv.Curve, ([-0.5, 1.5], [value, value]), [PLACE, ENTRY], name, label, line_width=2, **look)


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
