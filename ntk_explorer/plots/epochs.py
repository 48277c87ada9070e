"""The epoch axis that all figures of training share, and what is drawn along it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.errors import InvalidInput
from ntk_explorer.plots import theme
from ntk_explorer.plots.compare import legend_columns
from ntk_explorer.plots.drawing import Drawing, Layer

Scale = Literal["log", "linear"]
Seed = int | Literal["all"]

# Where epoch 0 stands on a logarithmic axis: left of 1, about as far as 1 is from 2.5.
UNTRAINED = 0.4
LABELS = {"log": "epoch (0: untrained; logarithmic from 1 on)", "linear": "epoch (0: untrained)"}
EPOCH, HIGHEST = hv.Dimension("epoch"), hv.Dimension("highest")
BEYOND = 1e30
PERCENT = 100.0
ROOM = 71  # characters of the legend side by side: figures share a row of the page, and glyphs are long
GLYPH = 44  # pixels in the legend: long enough to tell dashes from dots behind a marker


def place(epochs, scale: Scale = "log") -> np.ndarray:
    """Where epochs stand on the axis."""
    epochs = np.asarray(epochs, dtype=float)
    return np.where(epochs > 0, epochs, UNTRAINED) if scale == "log" else epochs


def place_dimension(scale: Scale) -> hv.Dimension:
    """The axis; its values are places, which differ from the epochs in that of epoch 0."""
    return hv.Dimension("place", label=LABELS[scale])


def epoch_axis(ds: xr.Dataset, scale: Scale = "log") -> dict:
    """Limits and ticks, those of the whole plan from the first epoch of a running training on."""
    last = float(ds["epoch"].values.max(initial=1))
    if scale == "linear":
        return {"logx": False, "xlim": (-0.03 * last, 1.03 * last)}
    xlim = theme.log_limits([UNTRAINED, last], pad=0.03)
    ticks = [tick for tick in theme.log_ticks((0.99, xlim[1])) if tick[0] == int(tick[0])]
    return {"logx": True, "xlim": xlim, "xticks": [(UNTRAINED, "0"), *ticks]}


def kernel_epoch(ds: xr.Dataset, epoch: int | None, width: int | None = None, seed: Seed = "all") -> int:
    """The last epoch not after this one at which the kernels of a run are there; of None the last at all.

    Before the first of them, the first epoch of the plan.
    """
    values = ds["eigenvalues"] if width is None else ds["eigenvalues"].sel(width=[width])
    values = values if seed == "all" else values.isel(seed=[min(seed, ds.sizes["seed"] - 1)])
    there = ds["at"].values[values.notnull().any([d for d in values.dims if d != "at"]).values]
    earlier = there if epoch is None else there[there <= epoch]
    return int(earlier.max()) if earlier.size else int(ds["at"].values.min())


def last_epoch(ds: xr.Dataset) -> int:
    """The last epoch whose loss is known."""
    loss = ds["train_loss"]
    known = ds["epoch"].values[loss.notnull().any([d for d in loss.dims if d != "epoch"]).values]
    return int(known.max(initial=0))


def of_seed(values: xr.DataArray, seed: Seed) -> np.ndarray:
    """[…, seed] with one seed or with all."""
    table = values.transpose(..., "seed").values
    return table if seed == "all" else table[..., [min(seed, table.shape[-1] - 1)]]


def spread(values: np.ndarray, *, logarithmic: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, lowest and highest over the last axis; a geometric mean, of what is positive, for logarithmic axes.

    NaN where nothing is there.
    """
    seen = np.isfinite(values) & ((values > 0) if logarithmic else True)
    count = seen.sum(axis=-1)
    shown = np.where(seen, values, 1.0)
    total = np.where(seen, np.log(shown) if logarithmic else shown, 0.0).sum(axis=-1) / np.maximum(count, 1)
    mean = np.exp(total) if logarithmic else total
    low, high = np.where(seen, values, np.inf).min(axis=-1), np.where(seen, values, -np.inf).max(axis=-1)
    return tuple(np.where(count > 0, line, np.nan) for line in (mean, low, high))  # pyright: ignore[reportReturnType]


def seeds(ds: xr.Dataset, seed: Seed) -> str:
    """``seed 3``, or what the line and the band are when all are drawn."""
    if seed != "all":
        return f"seed {min(seed, ds.sizes['seed'] - 1)}"
    return "seed 0" if ds.sizes["seed"] == 1 else f"mean and range of {ds.sizes['seed']} seeds"


@dataclass(frozen=True)
class Line:
    """How one quantity is drawn along the epochs; with a ``marker`` its points are shown."""

    name: str
    label: str
    color: str
    marker: str = ""
    dash: str = "solid"
    width: float = 2.5


def band_and_curve(
    line: Line, epochs: np.ndarray, values: np.ndarray, ydim: hv.Dimension, scale: Scale, *, logarithmic: bool
) -> list[Layer]:
    """The band over seeds and the mean of values [epoch, seed], and the mean's points where the line has a marker."""
    mean, low, high = spread(values, logarithmic=logarithmic)
    seen = np.isfinite(mean)
    where, dims, look = place(epochs[seen], scale), [place_dimension(scale), ydim], {"color": line.color}
    points, names = (where, mean[seen], epochs[seen].astype(float)), (line.name, line.label)
    hover = {"tools": ["hover"], "hover_tooltips": [("", line.label), ("epoch", "@epoch"), (ydim.label, f"@{ydim}")]}
    band, drawn = (
        look | {"fill_alpha": 0.15, "line_alpha": 0},
        look | {"line_width": line.width, "line_dash": line.dash},
    )
    layers = [Layer(hv.Area, (where, low[seen], high[seen]), [*dims, HIGHEST], *names, band)]
    if not line.marker:
        return [*layers, Layer(hv.Curve, points, [*dims, EPOCH], *names, drawn | hover)]
    dots = look | {"marker": line.marker, "size": 8} | hover
    return [
        *layers,
        Layer(hv.Curve, points[:2], dims, *names, drawn),
        Layer(hv.Scatter, points, [*dims, EPOCH], *names, dots),
    ]


def now_line(ydim: hv.Dimension, epoch: int | None, scale: Scale, ylim: tuple[float, float], logy: bool) -> Layer:
    """A vertical line at the current epoch, longer than the axis, so that it reaches through a zoom; else empty."""
    low, high = ylim
    # Browsers draw nothing at all of a line whose ends are too many screens away.
    ends = [low / BEYOND, high * BEYOND] if logy else [low - 100 * (high - low), high + 100 * (high - low)]
    x = place([epoch, epoch], scale) if epoch is not None else np.empty(0)
    look = {"color": theme.CHOSEN, "line_width": 2, "line_alpha": 0.8}
    return Layer(hv.Curve, (x, np.array(ends)[: x.size]), [place_dimension(scale), ydim], "now", "", look)


def drawing(
    ds: xr.Dataset,
    lines: list[tuple[Line, xr.DataArray]],
    ydim: hv.Dimension,
    title: str,
    *,
    width: int,
    seed: Seed,
    epoch: int | None,
    scale: Scale,
    logarithmic: bool,
    beside: bool = False,
    behind: list[Layer] | None = None,
) -> Drawing:
    """A figure along the epochs: a band and a curve per line, the marker line, the legend below or beside.

    Values have dimensions seed and either ``at`` or ``epoch``; of those with all widths one is drawn, but the limits
    hold for all of them, so that nothing but the curves moves from width to width.
    """
    layers = list(behind or [])
    for line, values in lines:
        here = values.sel(width=width) if "width" in values.dims else values
        axis = "at" if "at" in here.dims else "epoch"
        table = of_seed(here.transpose(axis, "seed"), seed)
        layers += band_and_curve(line, ds[axis].values, table, ydim, scale, logarithmic=logarithmic)
    everything = np.concatenate([values.values.ravel() for _, values in lines])
    ylim = theme.log_limits(everything) if logarithmic else theme.padded(everything)
    layers.append(now_line(ydim, epoch, scale, ylim, logarithmic))
    ticks = {"yticks": theme.log_ticks(ylim)} if logarithmic else {}
    legend = {layer.label: layer.label for layer in layers if layer.label}
    options = {"ylim": ylim, "logy": logarithmic, "legend": legend}
    where = {"legend_position": "right"} if beside else below(legend)
    return Drawing(layers, title, options | where | ticks | epoch_axis(ds, scale))


def below(legend: Iterable[str]) -> dict:
    """A legend under the figure, where it hides nothing, in as many columns as fit a narrow page."""
    look = {"click_policy": "hide", "glyph_width": GLYPH, "margin": 0, "padding": 2, "spacing": 8}
    return {"legend_position": "bottom", "legend_cols": legend_columns(list(legend), ROOM), "legend_opts": look}


def require_entk(ds: xr.Dataset, variable: str) -> None:
    """Refuse a figure of distances from the eNTK where that, or any kernel beside it, was not followed."""
    if variable not in ds or not ds.sizes["compared"]:
        raise InvalidInput("This training did not follow the eNTK and a kernel to compare with it", "Add both kernels.")


def first(ds: xr.Dataset, width: int | None) -> int:
    """The width, or the first of the trajectory where none is given."""
    return int(ds["width"].values[0]) if width is None else width


def predictors(ds: xr.Dataset) -> list[str]:
    """``network`` and, where it was trained too, ``linearised``."""
    planned = json.loads(ds.attrs.get("plan", "{}")).get("linearised", True)
    return ["network", "linearised"] if planned and "linearised_train_loss" in ds else ["network"]
