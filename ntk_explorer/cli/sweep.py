"""``ntk-explorer sweep``: kernels against the eNTK over widths and seeds, as a table and a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ntk_explorer.cli import _engine
from ntk_explorer.cli._options import given, items, merged, network_options, numbers, one_or_list
from ntk_explorer.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from ntk_explorer.jobs import Backend
    from ntk_explorer.store import Store
    from ntk_explorer.sweeps.plan import SweepPlan

SEVERAL = "; several make a grid"


def sweep(
    dataset: Annotated[str | None, typer.Option(help=f"Data set (see: list datasets){SEVERAL} [digits].")] = None,
    path: Annotated[str | None, typer.Option(help="File or folder of the data set (see: data).")] = None,
    n: Annotated[str | None, typer.Option(help=f"Number of examples{SEVERAL} [100].")] = None,
    classes: Annotated[int | None, typer.Option(help="Use only the first classes [all].")] = None,
    data_seed: Annotated[int | None, typer.Option(help="Seed of the subset of the data [0].")] = None,
    arch: Annotated[str | None, typer.Option(help=f"Architecture (see: list architectures){SEVERAL} [mlp].")] = None,
    depth: Annotated[str | None, typer.Option(help=f"Depth of the network{SEVERAL} [the architecture's].")] = None,
    activation: Annotated[str | None, typer.Option(help=f"Nonlinearity{SEVERAL} [relu].")] = None,
    parameterization: Annotated[str | None, typer.Option(help=f"standard or ntk{SEVERAL} [standard].")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Any other option of the architecture; repeatable; [a, b] makes a grid."
        ),
    ] = None,
    widths: Annotated[str | None, typer.Option(help="Hidden widths, e.g. 32,128,512 [the architecture's].")] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of initialisations per width [5].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed that all initialisations are drawn from [0].")] = None,
    kernels: Annotated[str | None, typer.Option(help="Kernels to compare with the eNTK [pntk,trntk,...].")] = None,
    dtype: Annotated[str | None, typer.Option(help="float64 or float32 [float64].")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of a sweep or grid; options given here win.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the results: .nc (everything) or .csv (curves).")] = None,
    store: _engine.StoreOption = None,
    workers: _engine.WorkersOption = 0,
    scheduler: _engine.SchedulerOption = None,
    allow_plain_tcp: _engine.PlainOption = False,
    yes: _engine.YesOption = False,
) -> None:
    """Compare kernels with the eNTK while the network widens; lists of other values make a grid of sweeps.

    Finished cells are kept: what was stopped, or is asked for again, goes on from there.
    """
    from ntk_explorer.store import Store
    from ntk_explorer.sweeps.files import check_output

    if out is not None:
        check_output(out)
    plans = _plans(
        config,
        data=given(name=one_or_list(dataset), path=path, n=one_or_list(n), classes=classes, seed=data_seed),
        network=network_options(
            one_or_list(arch),
            option or [],
            depth=one_or_list(depth),
            activation=one_or_list(activation),
            parameterization=one_or_list(parameterization),
        ),
        sweep=given(widths=numbers(widths), seeds=seeds, seed=seed, kernels=items(kernels), dtype=dtype),
    )
    _check_grid(plans, out)
    kept = Store(store)
    with _engine.opened(kept, workers, scheduler, allow_plain_tcp=allow_plain_tcp) as backend:
        _announce(plans, kept, backend, sure=yes)
        _write(plans, _run(plans, kept, backend), out)


def _plans(config: Path | None, *, data: dict, network: dict, sweep: dict) -> tuple[SweepPlan, ...]:
    """The sweeps of the file, where there is one, with what the command line says in its place."""
    from ntk_explorer.sweeps.files import read_options
    from ntk_explorer.sweeps.grid import plan_grid

    options = read_options(config) if config else {}
    options["data"] = merged(options.get("data", {}), data, "name")
    options["network"] = merged(options.get("network", {}), network, "architecture")
    options["network"].setdefault("architecture", "mlp")
    return plan_grid(**(options | sweep))


def _check_grid(plans: Sequence[SweepPlan], out: Path | None) -> None:
    if len(plans) > 1 and out is not None and out.suffix != ".csv":
        raise InvalidInput(
            f"{str(out)!r} holds one sweep, and these are {len(plans)}",
            "Write a table (.csv), or each sweep with a command of its own; all are kept in the store.",
        )


def _announce(plans: Sequence[SweepPlan], store: Store, backend: Backend, *, sure: bool) -> None:
    """Say what is there and what the rest will cost."""
    from ntk_explorer.sweeps.estimate import estimate_sweeps

    cost = estimate_sweeps(plans, store=store, workers=backend.workers)
    sweeps = f"{len(plans)} sweeps, " if len(plans) > 1 else ""
    typer.echo(f"{sweeps}{cost.cells + cost.found} cells, {cost.found} of them in the store: {cost.text()}", err=True)
    _engine.confirm(cost.seconds, sure=sure)


def _run(plans: Sequence[SweepPlan], store: Store, backend: Backend) -> list[xr.Dataset]:
    from ntk_explorer.sweeps.run import run_sweeps

    return run_sweeps(plans, store=store, backend=backend, progress=True)


def _write(plans: Sequence[SweepPlan], results: list[xr.Dataset], out: Path | None) -> None:
    from ntk_explorer.cli._table import report
    from ntk_explorer.sweeps.files import write_sweep, write_table

    typer.echo("\n\n".join(report(result) for result in results))
    if out is None:
        return
    if len(plans) > 1:
        write_table(plans, results, out)
    else:
        write_sweep(results[0], out)
    typer.echo(f"\nWritten to {out}", err=True)
