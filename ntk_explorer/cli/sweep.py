"""``ntk-explorer sweep``: kernels against the eNTK over widths and seeds, as a table and a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ntk_explorer.cli._options import given, network_options

if TYPE_CHECKING:
    import xarray as xr

    from ntk_explorer.sweeps.plan import SweepPlan
    from ntk_explorer.sweeps.run import Step

CLEAR_LINE = "\r\x1b[K"


def sweep(
    dataset: Annotated[str | None, typer.Option(help="Data set (see: list datasets) [digits].")] = None,
    path: Annotated[str | None, typer.Option(help="File of the data set, for instance an .npz.")] = None,
    n: Annotated[int | None, typer.Option(help="Number of examples [100].")] = None,
    classes: Annotated[int | None, typer.Option(help="Use only the first classes [all].")] = None,
    data_seed: Annotated[int | None, typer.Option(help="Seed of the subset of the data [0].")] = None,
    arch: Annotated[str | None, typer.Option(help="Architecture (see: list architectures) [mlp].")] = None,
    depth: Annotated[int | None, typer.Option(help="Depth of the network [the architecture's].")] = None,
    activation: Annotated[str | None, typer.Option(help="Nonlinearity [relu].")] = None,
    parameterization: Annotated[str | None, typer.Option(help="standard or ntk [standard].")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any other option of the architecture; repeatable.")
    ] = None,
    widths: Annotated[str | None, typer.Option(help="Hidden widths, e.g. 32,128,512 [the architecture's].")] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of initialisations per width [5].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed that all initialisations are drawn from [0].")] = None,
    kernels: Annotated[str | None, typer.Option(help="Kernels to compare with the eNTK [pntk,trntk,...].")] = None,
    dtype: Annotated[str | None, typer.Option(help="float64 or float32 [float64].")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of a sweep; options given here win.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the results: .nc (everything) or .csv (curves).")] = None,
    store: Annotated[Path | None, typer.Option(help="Folder in which finished cells are kept and found.")] = None,
) -> None:
    """Compare kernels with the eNTK while the network widens."""
    from ntk_explorer.cli._table import report
    from ntk_explorer.sweeps.files import check_output, write_sweep

    if out is not None:
        check_output(out)
    network = network_options(arch, option or [], depth=depth, activation=activation, parameterization=parameterization)
    plan = _plan(
        config,
        data=given(name=dataset, path=path, n=n, classes=classes, seed=data_seed),
        network=network,
        sweep=given(widths=_numbers(widths), seeds=seeds, seed=seed, kernels=_items(kernels), dtype=dtype),
    )
    results = _run(plan, store)
    typer.echo(report(results))
    if out is not None:
        write_sweep(results, out)
        typer.echo(f"\nWritten to {out}", err=True)


def _items(text: str | None) -> list[str] | None:
    return None if text is None else [item.strip() for item in text.split(",") if item.strip()]


def _numbers(text: str | None) -> list | None:
    """Whole numbers where they are; the plan explains what is wrong with the others."""
    items = _items(text)
    return items and [int(item) if item.lstrip("-").isdecimal() else item for item in items]


def _plan(config: Path | None, *, data: dict, network: dict, sweep: dict) -> SweepPlan:
    """The plan of the file, where there is one, with what the command line says in its place."""
    from ntk_explorer.sweeps.files import read_options
    from ntk_explorer.sweeps.plan import plan_sweep

    options = read_options(config) if config else {}
    options["data"] = _merged(options.get("data", {}), data, "name")
    options["network"] = _merged(options.get("network", {}), network, "architecture")
    options["network"].setdefault("architecture", "mlp")
    return plan_sweep(**(options | sweep))


def _merged(filed: dict | str, given: dict, key: str) -> dict:
    """Options of another data set or architecture than the file's do not carry over."""
    filed = {key: filed} if not isinstance(filed, dict) else filed
    if key in given and given[key] != filed.get(key, given[key]):
        return given
    return filed | given


def _run(plan: SweepPlan, store: Path | None) -> xr.Dataset:
    """Say what it will cost, then compute; where nobody watches, without a running count."""
    from ntk_explorer.store import CellStore
    from ntk_explorer.sweeps.estimate import estimate_sweep
    from ntk_explorer.sweeps.run import run_sweep

    cells = CellStore(store)
    cost = estimate_sweep(plan, store=cells)
    typer.echo(f"{cost.cells + cost.found} cells, {cost.found} of them in the store: {cost.text()}", err=True)
    try:
        return run_sweep(plan, store=cells, progress=_count if sys.stderr.isatty() else None)
    finally:
        if sys.stderr.isatty():
            typer.echo(CLEAR_LINE, err=True, nl=False)


def _count(step: Step) -> None:
    from ntk_explorer.sweeps.estimate import human_seconds

    left = "" if step.seconds_left is None else f", {human_seconds(step.seconds_left)} left"
    typer.echo(f"{CLEAR_LINE}{step.step} of {step.total} cells{left}", err=True, nl=False)
