"""Trajectories as files: everything as NetCDF, or the curves as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ntk_explorer.sweeps.files import check_output, read_netcdf, to_netcdf

if TYPE_CHECKING:
    import xarray as xr

PLACE = {"width", "seed"}
AXES = ("kernel", "compared", "start", "at")


def write_trajectory(results: xr.Dataset, path: str | Path) -> None:
    """Write the results of a trajectory: everything as NetCDF (.nc), or the curves as a table (.csv)."""
    check_output(path)
    Path(path).write_bytes((to_netcdf if Path(path).suffix == ".nc" else to_csv)(results))


def load_trajectory(path: str | Path) -> xr.Dataset:
    """The results in a NetCDF file that :func:`write_trajectory` wrote.

    Args:
        path: a .nc file.

    Returns:
        The Dataset, as :func:`ntk_explorer.trajectories.run.run_trajectory` returned it.

    Raises:
        InvalidInput: the file cannot be read, is damaged, or holds something else than a trajectory.
    """
    return read_netcdf(path, "trajectory", "train_loss")


def to_csv(results: xr.Dataset) -> bytes:
    """Curves and measures of a trajectory as rows ``quantity, kernel, start, width, seed, epoch, value``.

    One number a row: curves have a number at every epoch, measures at kernel epochs and for a kernel.
    """
    import pandas as pd  # not above: it is slow to import

    tables = []
    for name, values in results.data_vars.items():
        if not PLACE <= set(values.dims) <= PLACE | {*AXES, "epoch"}:
            continue
        table = values.drop_vars(set(values.coords) - set(values.dims)).to_series().dropna().reset_index(name="value")
        table = table.rename(columns={"at": "epoch", "compared": "kernel"})
        tables.append(table.assign(quantity=name))
    columns = ["quantity", "kernel", "start", "width", "seed", "epoch", "value"]
    frame = pd.concat(tables).reindex(columns=columns)
    return frame.astype({"epoch": "Int64"}).to_csv(float_format="%.17g", index=False).encode()
