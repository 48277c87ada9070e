"""The epoch axis that all figures of training share, and what is drawn along it."""

from __future__ import annotations

from typing import Literal

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.plots import theme
from ntk_explorer.plots.drawing import Layer

Scale = Literal["log", "linear"]
Seed = int | Literal["all"]

# Where epoch 0 stands on a logarithmic axis: left of 1, about as far as 1 is from 2.5.
UNTRAINED = 0.4
LABELS = {"log": "epoch (0: untrained; logarithmic from 1 on)", "linear": "epoch (0: untrained)"}
EPOCH, HIGHEST = hv.Dimension("epoch"), hv.Dimension("highest")
BEYOND = 1e30


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


def kernel_epoch(ds: xr.Dataset, epoch: int | None) -> int:
    """The last epoch not after this one at which there are kernels; of None the last at all.

    While a training is running, an epoch whose kernels are not there yet gives the one before it.
    """
    at = ds["at"].values
    there = at[ds["eigenvalues"].notnull().any([d for d in ds["eigenvalues"].dims if d != "at"]).values]
    earlier = there if epoch is None else there[there <= epoch]
    return int(earlier.max()) if earlier.size else int(at.min())


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


def band_and_curve(
    epochs: np.ndarray, values: np.ndarray, ydim: hv.Dimension, scale: Scale, *,
    name: str, label: str, said: str, color: str, logarithmic: bool, marker: str = "", width: float = 2.5,
    dash: str = "solid",
) -> list[Layer]:  # fmt: skip
    """The band over seeds and the mean of values [epoch, seed]; with a ``marker`` the mean's points as well.

    ``said`` is what hovering calls the line.
    """
    mean, low, high = spread(values, logarithmic=logarithmic)
    seen = np.isfinite(mean)
    where, when = place(epochs[seen], scale), epochs[seen].astype(float)
    dims = [place_dimension(scale), ydim]
    hover = {"tools": ["hover"], "hover_tooltips": [("", said), ("epoch", "@epoch"), (ydim.label, f"@{ydim.name}")]}
    look, line = {"color": color}, (where, mean[seen], when)
    band = look | {"fill_alpha": 0.15, "line_alpha": 0}
    drawn = look | {"line_width": width, "line_dash": dash} | ({} if marker else hover)
    layers = [
        Layer(hv.Area, (where, low[seen], high[seen]), [*dims, HIGHEST], name, label, band),
        Layer(hv.Curve, line if not marker else line[:2], [*dims, *([] if marker else [EPOCH])], name, label, drawn),
    ]
    if marker:
        dots = look | {"marker": marker, "size": 8} | hover
        layers.append(Layer(hv.Scatter, line, [*dims, EPOCH], name, label, dots))
    return layers


def now_line(ydim: hv.Dimension, epoch: int | None, scale: Scale, *, logarithmic: bool) -> Layer:
    """A vertical line at the current epoch, through any zoom; empty without one."""
    x = place([epoch, epoch], scale) if epoch is not None else np.empty(0)
    ends = [1 / BEYOND if logarithmic else -BEYOND, BEYOND]
    y = np.array(ends if epoch is not None else [])
    look = {"color": theme.CHOSEN, "line_width": 2, "line_alpha": 0.8}
    return Layer(hv.Curve, (x, y), [place_dimension(scale), ydim], "now", "", look)
