"""The look of every figure: one colour and marker per kernel, large type, colour maps, limits that hold still."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import holoviews as hv
import holoviews.plotting.bokeh  # registers the backend whose options the figures set
import numpy as np
from holoviews.core.util import group_sanitizer
from holoviews.plotting.util import process_cmap

from ntk_explorer.kernels import KERNELS, incomparable

# Okabe & Ito (2008): distinct for all common forms of colour blindness; markers carry the same distinction.
_FIXED = {
    "entk": ("#1a1a1a", "o"),
    "pntk": ("#0072b2", "s"),
    "trntk": ("#d55e00", "^"),
    "single_logit": ("#009e73", "d"),
}
_SPARE = (("#cc79a7", "v"), ("#e69f00", "*"), ("#56b4e9", "x"))
# As far from those colours as the forms of colour blindness allow, and in sight on white and on dark pages.
_TRAINED = {"network": ("network", "#8c19ff", ">"), "linearised": ("linearised network", "#f40049", "<")}
LEAST_DECADES = 0.4
GREY = "#8a8a8a"
CHOSEN = "#ff2bd6"

# Lists, because a name means a different palette with and without matplotlib installed.
SEQUENTIAL = process_cmap("Viridis", 256, provider="bokeh")
ERROR = process_cmap("Inferno", 256, provider="bokeh")
DIVERGING = process_cmap("coolwarm", 256, provider="colorcet")
IMAGE = process_cmap("Greys_r", 256, provider="bokeh")

FONTS = {"title": "15px", "labels": "15px", "ticks": "13px", "legend": "13px", "cticks": "13px", "clabel": "14px"}

_FORMULA = re.compile(r"\$(?=\$)|\\(?=[()\[\]])")
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class KernelStyle:
    """How one kernel is called and drawn in all figures."""

    label: str
    color: str
    marker: str


def kernel_style(name: str) -> KernelStyle:
    """Label, colour and marker of a kernel; kernels added later take spare ones in the order of their registration."""
    if name in _FIXED:
        return KernelStyle(KERNELS[name].label, *_FIXED[name])
    others = [other for other, entry in KERNELS.items() if other not in _FIXED and not incomparable(entry)]
    if name not in others:
        return KernelStyle(KERNELS[name].label, GREY, "x")
    return KernelStyle(KERNELS[name].label, *_SPARE[others.index(name) % len(_SPARE)])


def predictor_style(name: str) -> KernelStyle:
    """Label, colour and marker of what predicts: ``network``, ``linearised``, or regression with a kernel."""
    if name in _TRAINED:
        return KernelStyle(*_TRAINED[name])
    style = kernel_style(name)
    return KernelStyle(f"{style.label} regression", style.color, style.marker)


def plain(text: object, longest: int = 60) -> str:
    """Text that a figure shows as it stands: printable, short, and never taken for a formula.

    Bokeh hands text between dollars or backslashed brackets to MathJax, which an offline report would have to fetch.
    """
    shown = "".join(c if c.isprintable() else " " for c in str(text))
    shown = _FORMULA.sub(lambda match: match[0] + " ", shown)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def layer(kind, data: tuple, dims: list, name: str, label: str = "", **style) -> tuple[hv.Element, dict]:
    """A curve, band or scatter and its style; ``name``, an identifier, tells elements of one kind apart."""
    # A dictionary of arrays: HoloViews' first choice, a data frame each, takes several times as long to make.
    return kind(data, dims[:1], dims[1:], group=name, label=label, datatype=["dictionary"]), style


def figure(layers: list[tuple[hv.Element, dict]], *, xlim, ylim, hooks=(), **options) -> hv.Overlay:
    """Overlay layers in a frame of fixed limits.

    All options are set at once, since each call of ``opts`` costs milliseconds, and no range is looked for in
    the data: figures are redrawn while a slider moves.
    """
    ends = ylim[::-1] if options.get("invert_yaxis") else ylim
    frame = {"xlim": xlim, "ylim": ylim, "hooks": [fit_frame, hold_limits(xlim, ends), *hooks], "normalize": False}
    look = {"fontsize": FONTS, "toolbar": "above", "active_tools": [], "bgcolor": "white"}
    styles = {
        f"{type(element).__name__}.{group_sanitizer(element.group)}": style | {"apply_ranges": False}
        for element, style in layers
    }
    overlay = hv.Overlay([element for element, _ in layers])
    overlay.opts(styles | {"Overlay": look | frame | options}, backend="bokeh")
    return overlay


def line_figure(layers: list, *, legend: Mapping[str, str], **options) -> hv.Overlay:
    """Curves as wide as the page, on logarithmic axes unless ``options`` say otherwise.

    ``legend`` maps labels to the texts shown for them.
    """
    look = {
        "logx": True,
        "logy": True,
        "legend_labels": dict(legend),
        "legend_opts": {"click_policy": "hide", "background_fill_alpha": 0.8},
        "legend_limit": 10_000,  # beyond its own limit of 25 layers HoloViews would show no legend at all
        "hooks": [hold_legend(legend)],
        "responsive": True,
        "min_height": 420,
        "show_grid": True,
    }
    return figure(layers, **(look | options))


def width_axes(widths, values) -> dict:
    """Limits and ticks of a figure against width on log-log axes, for all widths and values that it may show."""
    limits = log_limits(values)
    return {
        "xlim": log_limits(widths),
        "ylim": limits,
        "xticks": width_ticks(widths),
        "yticks": log_ticks(limits),
    }


def fit_frame(plot, _element) -> None:
    """Let a figure with a frame of given size take the room that its labels need.

    HoloViews calls such figures fixed, which for Bokeh needs an outer size; each would log a warning.
    """
    if plot.state.frame_width and plot.state.width is None:
        plot.state.sizing_mode = None


def hold_limits(xlim: tuple[float, float], ylim: tuple[float, float]) -> Callable:
    """Move the axes when the limits of the figure change, and only then: a reader's zoom survives an update."""

    def hook(plot, _element):
        if plot.handles.get("held_limits") == (xlim, ylim):
            return
        plot.handles["held_limits"] = (xlim, ylim)
        for axis, (low, high) in (("x_range", xlim), ("y_range", ylim)):
            plot.handles[axis].update(start=low, end=high, reset_start=low, reset_end=high)

    return hook


def hold_legend(texts: Mapping[str, str]) -> Callable:
    """Rewrite the legend at each update; HoloViews itself does so for the first picture only."""

    def hook(plot, _element):
        labels = plot.handles.setdefault("held_labels", {})
        for item in plot.handles.get("legend_items", ()):
            label = labels.setdefault(item.id, _original(item.label["value"], texts))
            item.label = {"value": texts.get(label, label)}

    return hook


def _original(shown: str, texts: Mapping[str, str]) -> str:
    return next((label for label, text in texts.items() if text == shown), shown)


def log_limits(values, *, pad: float = 0.06, default: tuple[float, float] = (0.1, 1.0)) -> tuple[float, float]:
    """Limits round the positive finite values, padded on the logarithmic scale; ``default`` when there are none."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return default
    low, high = np.log10(values.min()), np.log10(values.max())
    # Over less than this span there may be no round number to put a tick at.
    margin = max(pad * (high - low), (LEAST_DECADES - (high - low)) / 2)
    return float(10 ** (low - margin)), float(10 ** (high + margin))


def padded(values) -> tuple[float, float]:
    """Limits round the finite values on a linear axis, with a margin."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def log_ticks(limits: tuple[float, float], most: int = 9) -> list[tuple[float, str]]:
    """Labelled ticks on a logarithmic axis: 1-2-5 steps over few decades, else every k-th power of ten."""
    first, last = int(np.floor(np.log10(limits[0]))), int(np.ceil(np.log10(limits[1])))
    decades = range(first, last + 1)
    for steps in (range(1, 10), (1, 2, 5), (1,)):
        ticks = [float(f"{step}e{e}") for e in decades for step in steps]
        if len(_inside(ticks, limits)) <= most:
            break
    else:
        stride = -(-len(decades) // most)
        ticks = [float(f"1e{e}") for e in decades if e % stride == 0]
    return [(tick, number(tick)) for tick in _inside(ticks, limits)]


def _inside(ticks: list[float], limits: tuple[float, float]) -> list[float]:
    return [tick for tick in ticks if limits[0] <= tick <= limits[1]]


def number(value: float) -> str:
    """A tick's text: 0.02, 1, 500 as they are, 10⁻⁶ and 2·10⁵ beyond three decades."""
    if 1e-3 <= abs(value) < 1e4 or value == 0:
        return f"{value:.10g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPT)
    return power if mantissa == "1" else f"{mantissa}·{power}"


def width_ticks(widths, most: int = 12) -> list[tuple[int, str]]:
    """A tick at each width of the sweep; every k-th one where they would not fit."""
    widths = [int(width) for width in widths]
    return [(width, str(width)) for width in widths[:: -(-len(widths) // most)]]
