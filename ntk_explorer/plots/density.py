"""The density of eigenvalues of a kernel whose matrix was never formed."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.kernels import KERNELS
from ntk_explorer.plots import theme

EIGENVALUE = hv.Dimension("eigenvalue", label="eigenvalue λ")
DENSITY = hv.Dimension("density", label="share of eigenvalues per decade")
HIGHEST = hv.Dimension("highest")


def density(ds: xr.Dataset, *, top: Sequence[float] | np.ndarray = (), caption: str = "") -> hv.Overlay:
    """Share of eigenvalues per decade, both axes logarithmic, with a band of two standard errors.

    Args:
        ds: what :func:`ntk_explorer.spectra.density.spectral_density` returns.
        top: largest eigenvalues, drawn as dots at the density of a single eigenvalue.
        caption: a second line of the title, for instance the network and the data.

    Returns:
        An overlay of noise floor, band, curve and dots; the title gives the share below the noise floor.
    """
    name = ds.attrs.get("kernel", "")
    style = theme.kernel_style(name if name in KERNELS else "entk")
    x, y, error = ds["eigenvalue"].values, ds["density"].values, np.nan_to_num(ds["standard_error"].values)
    ylim = theme.log_limits([_single(ds) / 10, y.max()], pad=0.03)
    low, high = np.clip(y - 2 * error, *ylim), np.clip(y + 2 * error, *ylim)
    floor, single, seen = ds.attrs["noise_floor"], _single(ds), ds.attrs["below_floor"] > 0
    xlim = _limits(x[y > ylim[0]], floor, seen=seen)
    below = np.array([xlim[0], max(floor, xlim[0])])
    dots = np.asarray(top, dtype=float)
    band, look = [EIGENVALUE, DENSITY, HIGHEST], {"color": style.color}
    layers = [
        theme.layer(
            hv.Area,
            (below, np.full(2, ylim[0]), np.full(2, ylim[1])),
            band,
            "floor",
            "rounding" if seen else "",
            color=theme.GREY,
            fill_alpha=0.2,
            line_alpha=0,
        ),
        theme.layer(hv.Area, (x, low, high), band, "band", "density", **look, fill_alpha=0.2, line_alpha=0),
        theme.layer(
            hv.Curve, (x, np.maximum(y, ylim[0])), band[:2], "curve", "density", **look, line_width=3, tools=["hover"]
        ),
        theme.layer(
            hv.Scatter,
            (dots, np.clip(np.full(dots.size, single), *ylim)),
            band[:2],
            "top",
            "top",
            color="#d55e00",
            size=7,
            tools=["hover"],
        ),
    ]
    return theme.line_figure(
        layers,
        xlim=xlim,
        ylim=ylim,
        xticks=theme.log_ticks(xlim),
        yticks=theme.log_ticks(ylim),
        title=_title(ds, style.label, caption),
        legend={
            "rounding": f"below the noise floor {theme.number(float(f'{floor:.1g}'))}: rounding",
            "density": f"density, ± 2 standard errors over {ds.attrs['samples']} random vectors",
            "top": f"the {dots.size} largest eigenvalues",
        },
        legend_position="bottom_left",
    )


def _single(ds: xr.Dataset) -> float:
    """Height of the bump that one eigenvalue makes."""
    return 1 / (ds.attrs["size"] * ds.attrs["smoothing"] * (2 * np.pi) ** 0.5)


def _limits(x: np.ndarray, floor: float, *, seen: bool) -> tuple[float, float]:
    """Limits round the density; with the noise floor in view when eigenvalues lie below it."""
    return theme.log_limits([floor / 3, x[-1]] if seen else [x[0], x[-1]], pad=0.02)


def _title(ds: xr.Dataset, label: str, caption: str) -> str:
    below = ds.attrs["below_floor"]
    share = f", {100 * below:.3g} % of them below the noise floor" if below > 0 else ""
    head = f"Density of the {ds.attrs['size']} eigenvalues of the {label}{share}"
    return f"{head}\n{theme.plain(caption, 100)}" if caption else head
