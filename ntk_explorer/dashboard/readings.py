"""Single numbers of a result, read out for formulas and tables."""

from __future__ import annotations

import math

import numpy as np

from ntk_explorer.comparison.scaling import fit_slope
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.errors import InvalidInput
from ntk_explorer.plots.theme import kernel_style
from ntk_explorer.spectra import SUMMARIES
from ntk_explorer.spectra.eigen import noise_floor


def reading(model: ExplorerModel, variable: str, *, kernel: str | None = None, width: int | None = None) -> float:
    """One number of the result, at the view's initialisation; NaN where it has not been computed."""
    shown = model.shown
    values = model.result[variable]
    axis = "kernel" if "kernel" in values.dims else "compared"
    where = {axis: kernel or shown.kernel, "width": width or shown.width, "seed": shown.view.draw}
    return float(values.sel(where))


def condition_number(model: ExplorerModel, kernel: str) -> str:
    """``= κ`` as LaTeX, or the bound ``≳ λ_max / noise floor`` where the smallest eigenvalue lies below the floor."""
    shown, attrs = model.shown, model.result.attrs
    largest = reading(model, "largest_eigenvalue", kernel=kernel)
    values = model.result["eigenvalues"].sel(kernel=kernel, width=shown.width, seed=shown.view.draw)
    floor = noise_floor(
        largest, int(values.notnull().sum()), attrs.get("dtype", "float64"), attrs.get("precision", "highest")
    )
    if reading(model, "smallest_eigenvalue", kernel=kernel) < floor:
        return rf"\gtrsim {latex(float(largest / floor))}"
    return f"= {latex(reading(model, 'condition_number', kernel=kernel))}"


def mean_reading(model: ExplorerModel, variable: str, *, width: int) -> float:
    """Geometric mean over the seeds that are in, for the kernel in view."""
    values = model.result[variable].sel(compared=model.shown.kernel, width=width).values.ravel()
    logs = [math.log(value) for value in values if value > 0]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def slope(model: ExplorerModel, variable: str = "relative_frobenius"):
    """The fitted slope of a measure against width for the kernel in view, or None with fewer than two widths."""
    values = model.result[variable].sel(compared=model.shown.kernel)
    try:
        return fit_slope(values["width"], values)
    except InvalidInput:
        return None


def block_lines(block: dict) -> list[str]:
    """The kernels' values at the chosen pair, and how far the block is from a multiple of the identity."""
    lines = [rf"\text{{{kernel_style(name).label}: }} {latex(value)}" for name, value in block["values"].items()]
    beside = block["block"][~np.eye(len(block["block"]), dtype=bool)]
    if beside.size:
        lines.append(rf"\text{{mean }} |\Theta^{{ab}}_{{ij}}|,\ a \ne b: \; {latex(float(np.abs(beside).mean()))}")
    return lines


def latex(value: float, digits: int = 3) -> str:
    """A number as LaTeX: 0.123, 4560 or 1.2 × 10⁻⁷."""
    if not math.isfinite(value):
        return r"\infty" if value > 0 else r"\text{–}"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:.0f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return rf"{mantissa} \times 10^{{{int(exponent)}}}"


def plain(value: float, digits: int = 4) -> str:
    """A number as text for a table."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "–"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}".replace(",", "\u2009")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}·10<sup>{int(exponent)}</sup>".replace("-", "−")


def summary_table(model: ExplorerModel) -> str:
    """HTML table: a column per kernel, a row per summary of its spectrum, for the view's width and seed."""
    shown, result = model.shown, model.result
    kernels = [str(name) for name in result["kernel"].values]
    # The eNTK is drawn in black, or in white on a dark page: the colour of the text.
    colours = {k: "inherit" if k == "entk" else kernel_style(k).color for k in kernels}
    head = "".join(f'<th style="color:{colours[k]}">{kernel_style(k).label}</th>' for k in kernels)
    rows, here = [], result[[*SUMMARIES]].sel(width=shown.width, seed=shown.view.draw)
    for name, card in SUMMARIES.items():
        cells = "".join(f"<td>{plain(value)}</td>" for value in here[name].values)
        rows.append(f"<tr><th>{card.label}</th>{cells}</tr>")
    caption = f"width {shown.width}, initialisation {shown.view.draw}"
    return f'<table class="summary"><caption>{caption}</caption><tr><th></th>{head}</tr>{"".join(rows)}</table>'
