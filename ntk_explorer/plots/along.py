"""What becomes of the kernels along a training: how far they move, how they fit the labels, their eigenvalues."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.plots import FIGURES, captions, epochs, theme
from ntk_explorer.plots.drawing import Columns, Drawing
from ntk_explorer.plots.epochs import Line, Scale, Seed
from ntk_explorer.plots.spectrum import above_rounding
from ntk_explorer.plots.trained import exact
from ntk_explorer.spectra import SUMMARIES

# What is drawn on a linear axis: title, axis.
CHANGES = {
    "drift": ("Drift of the kernels", "drift ‖K_t − K_0‖ / ‖K_0‖"),
    "alignment": ("Alignment of the kernels with the labels", "centred alignment, 0 to 1"),
}
RANKS = (1, 2, 3, 5)
DARKEST, BRIGHTEST = 70, 226  # steps of the colour map between which lines are seen on white and on dark pages


def changes() -> dict[str, str]:
    """Labels of the quantities that :func:`kernel_changes` can draw."""
    summaries = {name: card.label for name, card in SUMMARIES.items() if name != "nonpositive"}
    return {name: title for name, (title, _) in CHANGES.items()} | summaries


@FIGURES.register("kernel_changes", label="Drift, alignment and summaries by epoch", data="trajectory")
def kernel_changes(
    ds: xr.Dataset,
    quantity: str = "drift",
    width: int | None = None,
    seed: Seed = "all",
    epoch: int | None = None,
    *,
    scale: Scale = "log",
) -> hv.Overlay:
    """A number of each kernel at the kernel epochs: drift, alignment, or a summary of its spectrum.

    Args:
        ds: a trajectory, finished or not.
        quantity: a name of :func:`changes`; drift and alignment have linear axes, summaries logarithmic ones.
        width: a width of the trajectory; None for the first.
        seed: one seed, or ``"all"`` for means with a band from the lowest to the highest.
        epoch: where to draw the marker line; None for nowhere.
        scale: of the epoch axis.

    Returns:
        An overlay with a band, a line and its points per kernel, and the marker line.
    """
    return _changes(ds, quantity, width, seed, epoch, scale).figure()


def kernel_changes_columns(
    ds: xr.Dataset,
    quantity: str = "drift",
    width: int | None = None,
    seed: Seed = "all",
    epoch: int | None = None,
    *,
    scale: Scale = "log",
) -> tuple[list[Columns], str]:
    """What the sources of :func:`kernel_changes` hold, in drawing order, and its title."""
    return _changes(ds, quantity, width, seed, epoch, scale).columns()


@FIGURES.register("eigenvalues_along", label="Eigenvalues by epoch", data="trajectory")
def eigenvalues_along(
    ds: xr.Dataset,
    kernel: str | None = None,
    width: int | None = None,
    seed: Seed = 0,
    epoch: int | None = None,
    *,
    scale: Scale = "log",
) -> hv.Overlay:
    """The paths of single eigenvalues λ_k, k = 1, 2, 3, 5, 10 …, through the kernel epochs.

    The rank k is that in the lifted kernel K ⊗ I_c, so that paths of all kernels can be compared; what lies below
    rounding is left out. Arguments and result as for :func:`kernel_changes`, with a path per rank; of no kernel, the
    first of the trajectory is drawn.
    """
    return _paths(ds, kernel, width, seed, epoch, scale).figure()


def eigenvalues_along_columns(
    ds: xr.Dataset,
    kernel: str | None = None,
    width: int | None = None,
    seed: Seed = 0,
    epoch: int | None = None,
    *,
    scale: Scale = "log",
) -> tuple[list[Columns], str]:
    """What the sources of :func:`eigenvalues_along` hold, in drawing order, and its title."""
    return _paths(ds, kernel, width, seed, epoch, scale).columns()


def shades(count: int) -> list[str]:
    """So many steps of the colour map for an ordered family of lines."""
    return [theme.SEQUENTIAL[int(step)] for step in np.linspace(DARKEST, BRIGHTEST, count)]


def _changes(ds, quantity, width, seed, epoch, scale) -> Drawing:
    width, logarithmic = epochs.first(ds, width), quantity not in CHANGES
    said, axis = CHANGES.get(quantity) or _summary(quantity)
    lines = []
    for name in map(str, ds["kernel"].values):
        style = theme.kernel_style(name)
        lines.append((Line(name, style.label, style.color, style.marker), ds[quantity].sel(kernel=name)))
    title = f"{said} at width {width}, {epochs.seeds(ds, seed)}\n{captions.setup(ds)}"
    where = {"width": width, "seed": seed, "epoch": epoch, "scale": scale}
    ydim = hv.Dimension(quantity, label=axis)
    return epochs.drawing(ds, lines, ydim, title, **where, logarithmic=logarithmic)


def _summary(quantity: str) -> tuple[str, str]:
    card = SUMMARIES[quantity]
    return card.label[0].upper() + card.label[1:], card.extras.get("axis", card.label)


def _paths(ds, kernel, width, seed, epoch, scale) -> Drawing:
    kernel = kernel or str(ds["kernel"].values[0])
    width, values, ydim = epochs.first(ds, width), _shown(ds), hv.Dimension("eigenvalue", label="eigenvalue λ_k")
    paths = values.sel(kernel=kernel)
    ranks = zip(values["rank"].values, shades(values.sizes["rank"]), strict=True)
    lines = [
        (Line(f"rank{rank}", f"k = {rank}", color, "o"), paths.isel(rank=k)) for k, (rank, color) in enumerate(ranks)
    ]
    lifted = theme.kernel_style(kernel).label + ("" if kernel == "entk" else " ⊗ I")
    title = f"Eigenvalues λ_k of the {lifted} at width {width}, {epochs.seeds(ds, seed)}\n{captions.setup(ds)}"
    where = {"width": width, "seed": seed, "epoch": epoch, "scale": scale}
    return epochs.drawing(ds, lines, ydim, title, **where, logarithmic=True, beside=True)


def _shown(ds: xr.Dataset) -> xr.DataArray:
    """The eigenvalues above rounding at ranks 1, 2, 3, 5, 10 … and the last of the lifted kernels."""
    values, outputs, last = ds["eigenvalues"], captions.counts(ds)[1], ds.sizes["rank"]
    above, _ = above_rounding(exact(ds), values.values, axis=values.get_axis_num("rank"))
    powers = range(len(str(last)))
    ranks = np.array([*(k for p in powers for step in RANKS if (k := step * 10**p) < last), last])
    own = values.copy(data=above).isel(rank=ranks - 1)
    lifted = values.copy(data=above).isel(rank=(ranks - 1) // outputs).assign_coords(rank=ranks)
    return own.assign_coords(rank=ranks).where(ds["kernel"] == "entk", lifted)
