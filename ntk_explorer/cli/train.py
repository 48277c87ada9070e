"""``ntk-explorer train``: networks in training and their kernels along the way, as a table and a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ntk_explorer.cli import _engine
from ntk_explorer.cli._options import given, items, merged, network_options, numbers, one_or_list
from ntk_explorer.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntk_explorer.jobs import Backend
    from ntk_explorer.store import Store
    from ntk_explorer.trajectories.full_plan import FullRegression
    from ntk_explorer.trajectories.plan import TrajectoryPlan

SEVERAL = "; several make a grid"


def train(
    dataset: Annotated[str | None, typer.Option(help=f"Data set (see: list datasets){SEVERAL} [digits].")] = None,
    path: Annotated[str | None, typer.Option(help="File or folder of the data set.")] = None,
    n: Annotated[str | None, typer.Option(help=f"Number of training examples{SEVERAL} [the data set's].")] = None,
    test: Annotated[int | None, typer.Option(help="Number of test examples [the data set's].")] = None,
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
    width: Annotated[str | None, typer.Option("--width", "--widths", help="Hidden widths, e.g. 64,256 [256].")] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of initialisations per width [1].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed that all initialisations are drawn from [0].")] = None,
    epochs: Annotated[str | None, typer.Option(help=f"Passes over the training examples{SEVERAL} [100].")] = None,
    loss: Annotated[str | None, typer.Option(help="cross_entropy or squared [as the data ask for].")] = None,
    optimizer: Annotated[str | None, typer.Option(help=f"See: list optimizers{SEVERAL} [adam].")] = None,
    learning_rate: Annotated[str | None, typer.Option(help=f"Largest step size{SEVERAL} [the optimizer's].")] = None,
    schedule: Annotated[str | None, typer.Option(help=f"See: list schedules{SEVERAL} [constant].")] = None,
    batch_size: Annotated[str | None, typer.Option(help=f"Examples per step, or all{SEVERAL} [64].")] = None,
    weight_decay: Annotated[str | None, typer.Option(help=f"Shrinkage of parameters{SEVERAL} [0].")] = None,
    kernel_at: Annotated[
        str | None, typer.Option(help="Epochs whose kernels are computed, e.g. 0,1,10 [about ten].")
    ] = None,
    points: Annotated[int | None, typer.Option(help="Training examples that kernels are computed on [200].")] = None,
    kernels: Annotated[str | None, typer.Option(help="Kernels to follow [entk,pntk,trntk].")] = None,
    ridge: Annotated[
        float | None, typer.Option(help="Added to kernels' diagonals, in units of their mean [0].")
    ] = None,
    linearised: Annotated[
        bool | None, typer.Option("--linearised/--no-linearised", help="Train the linearised network too [yes].")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64, of the training [float32].")] = None,
    full: Annotated[
        str | None, typer.Option(metavar="KERNEL", help="Regress on all training examples as well, e.g. with pntk.")
    ] = None,
    full_dtype: Annotated[str, typer.Option(help="float32 or float64, of that kernel.")] = "float64",
    config: Annotated[Path | None, typer.Option(help="YAML file of a training; options given here win.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the results: .nc (everything) or .csv (curves).")] = None,
    store: _engine.StoreOption = None,
    workers: _engine.WorkersOption = 0,
    scheduler: _engine.SchedulerOption = None,
    allow_plain_tcp: _engine.PlainOption = False,
    yes: _engine.YesOption = False,
) -> None:
    """Train networks and follow their kernels, and what regression with these predicts.

    Checkpoints and kernels are kept: what was stopped, or is asked for again, goes on from there. With --full the
    kernel of all training examples goes through the store tile by tile, for one epoch after the other.
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
        training=given(
            loss=loss,
            optimizer=one_or_list(optimizer),
            learning_rate=one_or_list(learning_rate),
            schedule=one_or_list(schedule),
            weight_decay=one_or_list(weight_decay),
            epochs=one_or_list(epochs),
        )
        | _batches(batch_size),
        rest=given(
            test=test,
            widths=numbers(width),
            seeds=seeds,
            seed=seed,
            kernel_at=numbers(kernel_at),
            points=points,
            kernels=items(kernels),
            ridge=ridge,
            linearised=linearised,
            dtype=dtype,
        ),
    )
    if len(plans) > 1 and out is not None:
        raise InvalidInput(f"{str(out)!r} holds one training, and these are {len(plans)}", "Write each by itself.")
    kept = Store(store)
    with _engine.opened(kept, workers, scheduler, allow_plain_tcp=allow_plain_tcp) as backend:
        jobs = [Job(plan, _full(plan, full, full_dtype)) for plan in plans]
        _announce(jobs, kept, backend, sure=yes)
        for job in jobs:
            _run(job, kept, backend, out)


class Job(NamedTuple):
    """A training, and the regression on all of its examples, if there is to be one."""

    plan: TrajectoryPlan
    full: FullRegression | None


def _full(plan: TrajectoryPlan, kernel: str | None, dtype: str) -> FullRegression | None:
    from ntk_explorer.trajectories.full_plan import FullRegression

    return None if kernel is None else FullRegression(plan, kernel, dtype)


def _batches(text: str | None) -> dict:
    """``all`` is one batch of all examples."""
    values = [None if item == "all" else item for item in numbers(text) or []]
    return {"batch_size": values[0] if len(values) == 1 else values} if values else {}


def _plans(config: Path | None, *, data: dict, network: dict, training: dict, rest: dict) -> tuple[TrajectoryPlan, ...]:
    """The trainings of the file, where there is one, with what the command line says in its place."""
    from ntk_explorer.sweeps.files import read_options
    from ntk_explorer.trajectories.grid import plan_trajectories

    options = read_options(config) if config else {}
    options["data"] = merged(options.get("data", {}), data, "name")
    options["network"] = merged(options.get("network", {}), network, "architecture")
    options["network"].setdefault("architecture", "mlp")
    filed = options.get("training") or {}
    if not isinstance(filed, dict):
        raise InvalidInput(f"The file's training is {filed!r}", "Write its fields below it, for instance epochs: 20.")
    options["training"] = filed | training
    return plan_trajectories(**(options | rest))


def _announce(jobs: Sequence[Job], store: Store, backend: Backend, *, sure: bool) -> None:
    """Say what is there and what the rest will cost."""
    from ntk_explorer.trajectories.estimate import estimate_trajectory
    from ntk_explorer.trajectories.full_plan import estimate_full

    seconds = 0.0
    for plan, full in jobs:
        cost = estimate_trajectory(plan, store=store, workers=backend.workers)
        total = cost.parts + cost.found
        typer.echo(f"{total} trainings and kernels, {cost.found} of them in the store: {cost.text()}", err=True)
        seconds += cost.seconds
        if full is not None:
            more = estimate_full(full, store=store, workers=backend.workers)
            typer.echo(f"regression on all {plan.data.n} training examples: {more.text()}", err=True)
            seconds += more.seconds
    _engine.confirm(seconds, sure=sure)


def _run(job: Job, store: Store, backend: Backend, out: Path | None) -> None:
    from ntk_explorer.cli import _full as full_table
    from ntk_explorer.cli._training_table import report
    from ntk_explorer.trajectories.files import write_trajectory
    from ntk_explorer.trajectories.full import added, run_full
    from ntk_explorer.trajectories.run import run_trajectory

    results = run_trajectory(job.plan, store=store, backend=backend, progress=True)
    typer.echo(report(job.plan, results) + "\n")
    if job.full is not None:
        regressed = run_full(job.full, store=store, backend=backend, progress=True)
        typer.echo(full_table.report(job.full, regressed) + "\n")
        results = added(results, regressed)
    if out is not None:
        write_trajectory(results, out)
        typer.echo(f"Written to {out}", err=True)
