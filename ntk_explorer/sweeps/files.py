"""Plans and results as files: what the command line, the dashboard and notebooks hand to one another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from ntk_explorer.errors import InvalidInput
from ntk_explorer.sweeps.plan import DERIVED, NetworksPlan, SweepPlan, plan_sweep

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

LARGEST = 100_000  # characters; a plan has a few hundred


def plan_to_yaml(plan: NetworksPlan) -> str:
    """The whole plan, defaults included, so that the file means the same in later versions."""
    fields = plan.model_dump(mode="json", exclude={"network": set(DERIVED)})
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)


def read_options(path: str | Path) -> dict:
    """The fields of a plan that a YAML file names, not yet checked.

    Raises:
        InvalidInput: the file cannot be read, is no YAML, or holds something else than fields and values.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(LARGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InvalidInput(f"Cannot read {str(path)!r}: {reason}", "Give the path of a YAML file.") from None
    if len(text) > LARGEST:
        raise InvalidInput(f"{str(path)!r} is too long for a configuration", "Give the path of a YAML file.")
    try:
        options = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise InvalidInput(f"{str(path)!r} is not valid YAML{line}", "Write one `field: value` per line.") from None
    if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
        raise InvalidInput(f"{str(path)!r} holds no fields of a sweep", "Write one `field: value` per line.")
    return options


def read_plan(path: str | Path) -> SweepPlan:
    """The plan in a YAML file, checked; see :func:`read_options` and :func:`plan_sweep` for what can be wrong."""
    return plan_sweep(**read_options(path))


def check_output(path: str | Path, formats: Collection[str] = ()) -> None:
    """Refuse a file that results could not be written to, before they are computed.

    Raises:
        InvalidInput: the name ends in none of ``formats`` (those of a sweep when empty), or the file cannot be
            opened for writing.
    """
    path, formats = Path(path), formats or WRITERS
    if path.suffix not in formats:
        raise InvalidInput(f"Cannot tell the format of {str(path)!r}", f"End it in {' or '.join(formats)}.")
    existed = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise InvalidInput(f"Cannot write to {str(path)!r}: {error.strerror}", "Choose another file.") from None
    if not existed:
        path.unlink()


def write_sweep(results: xr.Dataset, path: str | Path) -> None:
    """Write the results of a sweep: everything as NetCDF (.nc), or the curves as a table (.csv)."""
    check_output(path)
    Path(path).write_bytes(WRITERS[Path(path).suffix](results))


def load_sweep(path: str | Path) -> xr.Dataset:
    """The results in a NetCDF file that :func:`write_sweep` wrote.

    Args:
        path: a .nc file.

    Returns:
        The Dataset, as :func:`ntk_explorer.sweeps.run.run_sweep` returned it.

    Raises:
        InvalidInput: the file cannot be read, is damaged, or holds something else than a sweep.
    """
    return read_netcdf(path, "sweep", "eigenvalues")


def read_netcdf(path: str | Path, what: str, variable: str) -> xr.Dataset:
    """The Dataset in a NetCDF file.

    Args:
        path: a .nc file.
        what: a name for what it should hold.
        variable: what every such Dataset has.

    Raises:
        InvalidInput: the file cannot be read, is damaged, or holds something else.
    """
    import xarray as xr  # not above: plans are read without it

    try:
        with xr.open_dataset(path, engine="h5netcdf") as file:
            results = file.load()
    except FileNotFoundError:
        raise InvalidInput(f"There is no file {str(path)!r}", "Give the path of a .nc file.") from None
    except Exception as error:  # h5py raises whatever a damaged file makes of itself
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InvalidInput(
            f"Cannot read {str(path)!r} as NetCDF: {reason}", "It may be damaged: write it again."
        ) from None
    if "plan" not in results.attrs or variable not in results:
        raise InvalidInput(f"{str(path)!r} holds no {what}", f"Give a .nc file that a {what} was written to.")
    return results


def to_netcdf(results: xr.Dataset) -> bytes:
    """Everything that a sweep computed, as the bytes of a NetCDF file; xarray opens it."""
    return bytes(results.to_netcdf(engine="h5netcdf"))


def to_csv(results: xr.Dataset) -> bytes:
    """One row per kernel, width and seed, one column per number; the eNTK has no error against itself."""
    return _csv(_curves(results).reset_index())


def write_table(plans: Sequence[SweepPlan], results: Sequence[xr.Dataset], path: str | Path) -> None:
    """Write the curves of several sweeps as one table; what differs between their plans stands in the first columns."""
    import pandas as pd  # not above: it is slow to import

    fields = [_fields(plan) for plan in plans]
    names = dict.fromkeys(name for each in fields for name in each)
    varied = [name for name in names if len({str(each.get(name)) for each in fields}) > 1]
    tables = []
    for each, result in zip(fields, results, strict=True):
        table = _curves(result).reset_index()
        for position, name in enumerate(varied):
            table.insert(position, name, str(each.get(name, "")))
        tables.append(table)
    Path(path).write_bytes(_csv(pd.concat(tables)))


def _fields(plan: SweepPlan) -> dict[str, object]:
    """What may differ between the sweeps of a grid, by name; widths, seeds and kernels are columns as it is."""
    fields = plan.model_dump(mode="json", exclude={"network": set(DERIVED)})
    data = {f"data.{name}": value for name, value in fields["data"].items()}
    return data | fields["network"] | {"dtype": fields["dtype"], "sweep.seed": fields["seed"]}


def _curves(results: xr.Dataset) -> pd.DataFrame:
    axes = {"kernel", "compared", "width", "seed"}
    curves = results[[name for name, values in results.data_vars.items() if set(values.dims) <= axes]]
    errors = [name for name in curves.data_vars if "compared" in curves[name].dims]
    compared = curves[errors].rename(compared="kernel").reindex(kernel=results["kernel"])
    table = curves.drop_vars(errors).drop_vars("compared").merge(compared)
    return table.to_dataframe(dim_order=["kernel", "width", "seed"])


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(float_format="%.17g", index=False).encode()


WRITERS = {".nc": to_netcdf, ".csv": to_csv}
