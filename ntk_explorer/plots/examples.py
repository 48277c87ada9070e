"""What one example looks like: its image, its place among the others, or the curve of its features."""

from __future__ import annotations

import holoviews as hv
import numpy as np

from ntk_explorer.datasets import LabelledData
from ntk_explorer.plots import theme
from ntk_explorer.plots.theme import padded

SIDE = 220
# Okabe & Ito once more; classes beyond eight repeat, since colour alone cannot tell more apart.
CLASSES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1a1a1a", "#b5a800")


def example_picture(data: LabelledData, index: int) -> hv.Overlay:
    """One example as a person would look at it.

    Args:
        data: the data set.
        index: row of the example.

    Returns:
        The image of its raw values; for one or two features its place among all examples; else the curve of
        its standardised features.
    """
    if data.images is not None:
        return _image(data, index)
    return _place(data, index) if _varying(data).shape[1] <= 2 else _curve(data, index)


def _image(data: LabelledData, index: int) -> hv.Overlay:
    images = np.asarray(data.images)  # of bytes, where there are many: only one is converted
    pixels = images[index].astype(float)
    places = np.arange(pixels.shape[1]), np.arange(pixels.shape[0])
    # One range for all examples, so that a faint image looks faint.
    low, high = float(images.min()), float(images.max())
    span = high - low or 1.0
    shares = (pixels - low) / span
    if pixels.shape[2] == 3:
        picture = hv.RGB((*places, *np.moveaxis(shares, 2, 0)), ["column", "row"]), {}
    else:
        image = hv.Image((*places, shares.mean(axis=2).astype(np.float32)), ["column", "row"], "brightness")
        picture = image, {"cmap": theme.IMAGE, "clim": (0, 1), "normalize": False}
    limits = {"xlim": (-0.5, pixels.shape[1] - 0.5), "ylim": (-0.5, pixels.shape[0] - 0.5)}
    return _card(data, index, [picture], xaxis=None, yaxis=None, invert_yaxis=True, **limits)


def _place(data: LabelledData, index: int) -> hv.Overlay:
    features = _varying(data)
    plane = features.shape[1] == 2
    across, up = features[:, 0], features[:, 1] if plane else data.targets[:, 0]
    labels = data.y if data.task == "classification" else np.zeros(len(data.x), int)
    dims = ["feature 1", "feature 2"] if plane else ["input", "target"]
    colors = [CLASSES[int(label) % len(CLASSES)] for label in labels]
    everyone = hv.Points((across, up, colors), dims, "color", group="everyone")
    this = hv.Points(([across[index]], [up[index]]), dims, group="this")
    ring = {"size": 14, "fill_alpha": 0, "line_color": theme.CHOSEN, "line_width": 3}
    layers = [(everyone, {"color": "color", "size": 5, "alpha": 0.5}), (this, ring)]
    return _card(data, index, layers, xlim=padded(across), ylim=padded(up))


def _curve(data: LabelledData, index: int) -> hv.Overlay:
    values = np.ravel(data.x[index])
    numbers, dims = np.arange(1, values.size + 1), ["feature", hv.Dimension("value", label="standardised value")]
    look = {"color": theme.kernel_style("entk").color, "interpolation": "steps-mid"}
    curve = theme.layer(hv.Curve, (numbers, values), dims, "features", **look)
    ticks = [(int(k), str(k)) for k in numbers[:: -(-numbers.size // 8)]]
    return _card(data, index, [curve], xticks=ticks, xlim=(0.5, numbers.size + 0.5), ylim=padded(data.x))


def _varying(data: LabelledData) -> np.ndarray:
    """Features [n, d] that tell examples apart; a constant one only stands for a bias."""
    features = data.x.reshape(len(data.x), -1)
    varying = np.ptp(features, axis=0) > 0
    return features[:, varying] if varying.any() else features[:, :1]


def _card(data: LabelledData, index: int, layers: list, **options) -> hv.Overlay:
    return theme.figure(
        layers,
        title=f"Example {index}: {_label(data, index)}",
        frame_width=SIDE,
        frame_height=SIDE,
        show_legend=False,
        toolbar=None,
        **options,
    )


def _label(data: LabelledData, index: int) -> str:
    if data.task == "regression":
        return "target " + ", ".join(f"{value:.3g}" for value in np.ravel(data.targets[index])[:3])
    label = int(data.y[index])
    return "class " + (theme.plain(data.class_names[label], 20) if data.class_names else str(label))
