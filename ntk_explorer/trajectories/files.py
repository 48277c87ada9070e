"""A trajectory as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

PLACE = {"width", "seed"}
AXES = ("kernel", "compared", "start", "at")


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
