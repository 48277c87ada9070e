"""Kernels at one epoch of a training: the Gram matrix, and the eigenvalues over those at initialisation."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.plots import FIGURES, epochs, matrices, spectrum, theme
from ntk_explorer.plots.drawing import Columns
from ntk_explorer.plots.epochs import Seed


@FIGURES.register("trained_kernel", label="Gram matrix at an epoch", data="trajectory")
def trained_kernel(
    ds: xr.Dataset,
    kernel: str,
    width: int,
    seed: int = 0,
    epoch: int | None = None,
    *,
    relative: bool = True,
    selected: tuple[int, int] | None = None,
) -> hv.Overlay:
    """A Gram matrix sorted by class, in colours that all kernels and epochs of its width and seed share.

    Args:
        ds: a trajectory, finished or not.
        kernel: a kernel of the trajectory, ``entk`` among them; of the eNTK ‖Θ_ij‖_F / √c is shown.
        width: a width of the trajectory.
        seed: a seed whose matrices have been kept.
        epoch: the kernels are those of the last kernel epoch up to here; None for the last at all.
        relative: divide by the mean of the diagonal, which leaves the pattern: a kernel may grow tenfold while the
            network learns, and at its own size the first would be all dark.
        selected: a pair of examples (i, j) to mark.

    Returns:
        An overlay of image, class separators and mark; hovering names the two examples and their classes.
    """
    shown, clim, texts = _matrix(ds, kernel, width, seed, epoch, relative)
    palette = theme.SEQUENTIAL if clim[0] >= 0 else theme.DIVERGING
    return matrices.heatmap(ds, shown, selected=selected, clim=clim, cmap=palette, **texts)


def trained_kernel_columns(
    ds: xr.Dataset,
    kernel: str,
    width: int,
    seed: int = 0,
    epoch: int | None = None,
    *,
    relative: bool = True,
    selected: tuple[int, int] | None = None,
) -> tuple[list[Columns], str]:
    """What the sources of :func:`trained_kernel` hold, in drawing order, and its title; only the epoch may change."""
    shown, _, texts = _matrix(ds, kernel, width, seed, epoch, relative)
    return matrices.heatmap_columns(ds, shown, selected=selected, **texts)


def _matrix(ds, kernel, width, seed, epoch, relative) -> tuple[np.ndarray, tuple[float, float], dict]:
    """The matrix, the range of colours, and what the title says."""
    every = matrices.at(ds["gram"], width, seed).transpose("kernel", "at", "x1", "x2")
    values, when = every.values, epochs.kernel_epoch(ds, epoch, width, seed)
    if relative:
        values = values / np.trace(values, axis1=2, axis2=3)[..., None, None] * values.shape[-1]
    shown = values[list(every["kernel"].values).index(kernel), list(every["at"].values).index(when)]
    label = theme.kernel_style(kernel).label
    what = "eNTK ‖Θ_ij‖ / √c" if kernel == "entk" else f"{label} K_ij"
    texts = {"what": what + " ÷ mean diagonal" * relative, "width": width, "seed": seed, "when": f", epoch {when}"}
    return shown, matrices.limits(values), texts


@FIGURES.register("trained_spectra", label="Eigenvalues at an epoch", data="trajectory")
def trained_spectra(ds: xr.Dataset, width: int, seed: Seed = 0, epoch: int | None = None) -> hv.Overlay:
    """Eigenvalues of all kernels at an epoch, with those at initialisation left behind as faint lines.

    Drawn as by :func:`ntk_explorer.plots.spectrum.spectra`; limits are those of all widths and epochs.

    Args:
        ds: a trajectory, finished or not.
        width: a width of the trajectory.
        seed: one seed, or ``"all"`` for geometric means with a band from the lowest to the highest seed.
        epoch: the kernels are those of the last kernel epoch up to here; None for the last at all.

    Returns:
        An overlay of the noise floor and a ghost, a band and a curve per kernel.
    """
    here, before, when = _spectra(ds, width, seed, epoch)
    return spectrum.draw(here, width, seed, (before, width), limits=spectrum.spectrum_limits(exact(ds)), when=when)


def trained_spectra_columns(
    ds: xr.Dataset, width: int, seed: Seed = 0, epoch: int | None = None
) -> tuple[list[Columns], str]:
    """What the sources of :func:`trained_spectra` hold, in drawing order, and its title."""
    here, before, when = _spectra(ds, width, seed, epoch)
    return spectrum.fill(here, width, seed, (before, width), when=when)


def _spectra(ds: xr.Dataset, width: int, seed: Seed, epoch: int | None) -> tuple[xr.Dataset, xr.Dataset, str]:
    spectra, when = exact(ds), epochs.kernel_epoch(ds, epoch, width, seed)
    return spectra.sel(at=when), spectra.isel(at=0), f", epoch {when}"


def exact(ds: xr.Dataset) -> xr.Dataset:
    """The spectra, with the precision of kernels: float64, whatever the network was trained in."""
    sizes = ds[["eigenvalues"]].assign_coords(x1=("x1", np.arange(ds.sizes["x1"])))
    return sizes.assign_attrs(ds.attrs, dtype="float64", precision="highest")
