"""Several sweeps in one picture: a colour for each sweep, a kind of line for each kernel."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.comparison import MEASURES
from ntk_explorer.errors import InvalidInput
from ntk_explorer.plots import theme
from ntk_explorer.plots.width import LIMIT_AXIS, REFERENCE, WIDTH, seed_band
from ntk_explorer.spectra import SUMMARIES

# Okabe & Ito (2008) without black, which is the eNTK's elsewhere, and yellow, which is hard to see on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LINES = ("solid", "dashed", "dotted", "dotdash", "dashdot")
BRIGHT = 30  # steps at the end of the colour map that are hard to see on white
HIGHEST = hv.Dimension("highest")
LIMIT = "distance_to_limit"
ROOM = 90  # characters side by side below a figure on a narrow page


def sweep_colours(count: int) -> list[str]:
    """A colour for each of so many sweeps; beyond six they are steps of one colour map."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    steps = np.linspace(0, len(theme.SEQUENTIAL) - BRIGHT, count).astype(int)
    return [theme.SEQUENTIAL[step] for step in steps]


def quantities() -> dict[str, str]:
    """Labels of the quantities that sweeps can be compared in: those with a value per kernel, width and seed."""
    summaries = {name: card.label for name, card in SUMMARIES.items() if name != "nonpositive"}
    labels = {name: card.label for name, card in MEASURES.items()} | {LIMIT: "distance to the infinite-width NTK"}
    return {name: label[0].upper() + label[1:] for name, label in (labels | summaries).items()}


def kernel_values(ds: xr.Dataset, quantity: str) -> dict[str, xr.DataArray]:
    """Values [width, seed] by kernel, of the kernels for which a sweep has the quantity."""
    if quantity not in ds:
        return {}
    axis = "compared" if "compared" in ds[quantity].dims else "kernel"
    tables = {str(name): ds[quantity].sel({axis: name}).transpose("width", "seed") for name in ds[axis].values}
    return {name: values for name, values in tables.items() if bool(values.notnull().any())}


def comparison(
    sweeps: Sequence[tuple[str, xr.Dataset]],
    quantity: str = "relative_frobenius",
    kernels: Sequence[str] | None = None,
) -> hv.Overlay:
    """One quantity of several sweeps against width, on log-log axes.

    A line is the geometric mean over seeds, a band spans the lowest and the highest seed. The grey line has slope
    −1/2 and passes through the first mean of the first sweep; it is a guide to the eye.

    Args:
        sweeps: pairs of a name for the legend and a sweep, finished or not.
        quantity: a name of :func:`quantities`.
        kernels: names of those to draw; None for all that the sweeps have.

    Returns:
        The overlay.

    Raises:
        InvalidInput: none of the sweeps has the quantity for these kernels.
    """
    tables = [kernel_values(ds, quantity) for _, ds in sweeps]
    names = [k for k in dict.fromkeys(k for table in tables for k in table) if kernels is None or k in kernels]
    drawn = [values for table in tables for kernel, values in table.items() if kernel in names]
    if not drawn:
        label = quantities().get(quantity, quantity)
        raise InvalidInput(f"These sweeps hold no values of: {label}", "Choose another quantity or kernel.")
    ydim, layers = hv.Dimension(quantity, label=_axis(quantity)), []
    for number, ((name, _), table, colour) in enumerate(zip(sweeps, tables, sweep_colours(len(sweeps)), strict=True)):
        for kernel, values in table.items():
            if kernel in names:
                look = {"color": colour, "name": f"s{number}_{kernel}", "label": theme.plain(name)}
                layers += _lines(ydim, values, kernel, LINES[names.index(kernel) % len(LINES)], look)
    if quantity in (*MEASURES, LIMIT):
        layers.append(_reference(ydim, drawn))
    widths = np.unique(np.concatenate([values["width"].values for values in drawn])).astype(float)
    return theme.line_figure(
        layers,
        **theme.width_axes(widths, np.concatenate([_drawable(values).ravel() for values in drawn])),
        title=f"{quantities()[quantity]}{_omitted(drawn)}\n{_key(names)}",
        legend={theme.plain(name): theme.plain(name) for name, _ in sweeps},
        legend_position="bottom",
        legend_cols=legend_columns([name for name, _ in sweeps]),
    )


def legend_columns(names: Sequence[str], room: int = ROOM) -> int:
    """How many names stand side by side below the figure, so that they fit a narrow page."""
    return max(1, min(4, room // (max(map(len, names)) + 6)))


def _axis(quantity: str) -> str:
    if quantity == LIMIT:
        return LIMIT_AXIS
    card = MEASURES[quantity] if quantity in MEASURES else SUMMARIES[quantity]
    return card.extras.get("axis", card.label)


def _drawable(values: xr.DataArray) -> np.ndarray:
    return np.where(np.isfinite(values.values) & (values.values > 0), values.values, np.nan)


def _lines(ydim: hv.Dimension, values: xr.DataArray, kernel: str, dash: str, look: dict) -> list[tuple]:
    mean, low, high = seed_band(_drawable(values))
    seen, marker = np.isfinite(mean), theme.kernel_style(kernel).marker
    x = values["width"].values.astype(float)[seen]
    line, dims = (x, mean[seen]), [WIDTH, ydim]
    return [
        theme.layer(hv.Area, (x, low[seen], high[seen]), [*dims, HIGHEST], **look, fill_alpha=0.1, line_alpha=0),
        theme.layer(hv.Curve, line, dims, **look, line_width=2.5, line_dash=dash),
        theme.layer(hv.Scatter, line, dims, **look, marker=marker, size=8, tools=["hover"]),
    ]


def _reference(ydim: hv.Dimension, drawn: list[xr.DataArray]) -> tuple:
    first, mean = drawn[0]["width"].values.astype(float), seed_band(_drawable(drawn[0]))[0]
    seen = np.flatnonzero(np.isfinite(mean))
    x = np.unique(np.concatenate([values["width"].values for values in drawn])).astype(float)
    x, y = (x, mean[seen[0]] * np.sqrt(first[seen[0]] / x)) if seen.size else (x[:0], x[:0])
    return theme.layer(hv.Curve, (x, y), [WIDTH, ydim], "reference", REFERENCE, color=theme.GREY, line_width=1)


def _key(kernels: list[str]) -> str:
    """Which kind of line is which kernel; a legend of every sweep and kernel would be longer than the figure."""
    labels = [theme.kernel_style(kernel).label for kernel in kernels]
    if len(labels) == 1:
        return labels[0]
    return " · ".join(f"{LINES[k % len(LINES)]}: {label}" for k, label in enumerate(labels))


def _omitted(drawn: list[xr.DataArray]) -> str:
    count = sum(int(np.isnan(_drawable(values)).sum() - values.isnull().sum()) for values in drawn)
    return f" ({count} infinite or not positive, not drawn)" if count else ""
