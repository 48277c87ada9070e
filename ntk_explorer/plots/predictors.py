"""What predicts along a training, and its outputs: the network, its linearisation, regression with each kernel."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from ntk_explorer.plots import epochs, theme

Start = Literal["network", "zero"]
OUTPUTS = {"test": "output", "grid": "output_on_grid"}


def names(ds: xr.Dataset) -> list[str]:
    """``network``, ``linearised`` where it was trained too, and the kernels that regression uses."""
    return [*epochs.predictors(ds), *map(str, ds["kernel"].values)]


def said(ds: xr.Dataset, who: str, start: Start = "network") -> str:
    """What a predictor is called, with what its regression starts from where that is not the network."""
    label = theme.predictor_style(who).label
    return f"{label} without f₀" if start == "zero" and who in ds["kernel"].values else label


def outputs(
    ds: xr.Dataset,
    who: str,
    width: int,
    seed: int,
    start: Start = "network",
    *,
    where: Literal["test", "grid"] = "test",
) -> np.ndarray:
    """Outputs [at, m, c] of a predictor on the test examples or on the grid, at all kernel epochs; else NaN."""
    kernel = who in ds["kernel"].values
    values = ds[f"{'regression' if kernel else who}_{OUTPUTS[where]}"]
    values = values.sel(kernel=who, start=start) if kernel else values
    here = values.sel(width=width).isel(seed=min(seed, ds.sizes["seed"] - 1))
    return here.transpose("at", where, "output").values


def output(
    ds: xr.Dataset, who: str, width: int, seed: int, when: int, start: Start = "network", *,
    where: Literal["test", "grid"] = "test",
) -> np.ndarray:  # fmt: skip
    """Outputs [m, c] of a predictor at one kernel epoch."""
    return outputs(ds, who, width, seed, start, where=where)[list(ds["at"].values).index(when)]
