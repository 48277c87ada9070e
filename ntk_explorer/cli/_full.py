"""``ntk-explorer train --full``: regression on all training examples beside the network's own accuracy, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from ntk_explorer.cli._table import aligned
from ntk_explorer.kernels import KERNELS

if TYPE_CHECKING:
    from ntk_explorer.trajectories.full_plan import FullRegression

STARTS = {"network": "from the network", "zero": "from zero"}


def report(work: FullRegression, results: xr.Dataset) -> str:
    """Caption, and a row per epoch for each width."""
    plan, classes = work.plan, bool(np.isfinite(results["network_accuracy"]).any())
    ridge = f", ridge {plan.ridge:g} (outside the guarantee)" if plan.ridge else ""
    lines = [f"{KERNELS[work.kernel].label} regression on all {plan.data.n} training examples{ridge}"]
    for width in plan.widths:
        rows = list(_rows(results.sel(width=width), "accuracy" if classes else "loss"))
        lines += ["", f"width {width}", *aligned(rows, left=())]
    return "\n".join(lines)


def _rows(results: xr.Dataset, measure: str) -> Iterator[tuple[str, ...]]:
    form = ".1%" if measure == "accuracy" else ".3g"
    yield ("epoch", f"network, test {measure}", *(f"regression {name}" for name in STARTS.values()))
    mean = results.mean("seed")
    for epoch in results["at"].values:
        now = mean.sel(at=epoch)
        regressions = (float(now[f"full_regression_{measure}"].sel(start=start)) for start in STARTS)
        yield str(epoch), *(format(value, form) for value in (float(now[f"network_{measure}"]), *regressions))
