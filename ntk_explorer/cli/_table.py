"""The results of a sweep as text: one row per width and kernel, then the fitted slopes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence

import xarray as xr

from ntk_explorer.comparison import MEASURES
from ntk_explorer.comparison.scaling import fit_slope
from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels import shares_limit

COLUMNS = ("width", "kernel", "rel. Frobenius error", "λmax error", "λmax", "condition number")
ENTK = "entk"


def report(results: xr.Dataset) -> str:
    """The table of a sweep, its caption and the slope of every measure that is fitted."""
    rows = [row for width in results["width"].values for row in _rows(results.sel(width=width), int(width))]
    return "\n".join([_caption(results), "", *aligned([COLUMNS, *rows]), "", *_slopes(results)])


def _caption(results: xr.Dataset) -> str:
    plan = json.loads(results.attrs["plan"])
    data, network, seeds = plan["data"], plan["network"], results.sizes["seed"]
    options = ", ".join(f"{k} {network[k]}" for k in ("depth", "activation", "parameterization") if k in network)
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    return (
        f"{data['name']}, n = {data['n']} · {network['architecture']} ({options}) · {plan['dtype']}\n"
        f"Errors against the eNTK, {spread}; condition numbers: median."
    )


def _rows(at_width: xr.Dataset, width: int) -> Iterator[tuple[str, ...]]:
    for kernel in at_width["kernel"].values:
        own = at_width.sel(kernel=kernel)
        if kernel == ENTK:
            errors = ("–", "–")
        else:
            against = at_width.sel(compared=kernel)
            errors = (_spread(against["relative_frobenius"]), _spread(against["largest_eigenvalue_error"]))
        condition = float(own["condition_number"].median())
        yield str(width), str(kernel), *errors, f"{float(own['largest_eigenvalue'].mean()):.3g}", f"{condition:.2e}"


def _spread(values: xr.DataArray) -> str:
    mean, count = float(values.mean()), int(values.notnull().sum())
    return f"{mean:.4f} ± {float(values.std(ddof=1)):.4f}" if count > 1 else f"{mean:.4f}"


def aligned(rows: Sequence[tuple[str, ...]], *, left: Collection[int] = (1,)) -> Iterator[str]:
    """Lines in columns; those whose numbers are in ``left`` begin on the left."""
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(
            cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, wide, strict=True))
        )


def _slopes(results: xr.Dataset) -> Iterator[str]:
    """Fitted exponents in width, with their 95 % intervals over seeds."""
    if results.sizes["width"] < 2:
        yield "One width has no slope: give two or more."
        return
    yield "Slope in width (log-log) [95 % interval over seeds]"
    for measure in ("relative_frobenius", "largest_eigenvalue_error"):
        for kernel in results["compared"].values:
            yield f"  {MEASURES[measure].label:28}{kernel:14}{_slope(results[measure].sel(compared=kernel))}"
    if reason := results.attrs.get("no_limit"):
        yield f"No distance to the infinite-width NTK: {reason}."
        return
    for kernel in filter(shares_limit, results["kernel"].values):
        yield f"  {'distance to infinite width':28}{kernel:14}{_slope(results['distance_to_limit'].sel(kernel=kernel))}"


def _slope(values: xr.DataArray) -> str:
    try:
        return str(fit_slope(values["width"], values))
    except InvalidInput as error:  # an error of exactly zero, say with one output, has no logarithm
        return f"none ({error.problem.rstrip('.')})"
