"""``ntk-explorer kernel``: one kernel matrix of one network, into a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ntk_explorer.cli import _engine
from ntk_explorer.cli._options import given, network_options
from ntk_explorer.errors import InvalidInput

if TYPE_CHECKING:
    import xarray as xr

    from ntk_explorer.jobs import Backend
    from ntk_explorer.store import Store
    from ntk_explorer.sweeps.matrices import GramPlan
    from ntk_explorer.sweeps.plan import SweepPlan

INTERRUPTED = 130  # what shells report for a program ended by Ctrl-C


def kernel(
    arch: Annotated[str, typer.Option(help="Architecture (see: list architectures).")] = "mlp",
    width: Annotated[int | None, typer.Option(help="Hidden width [the architecture's].")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any other option of the architecture; repeatable.")
    ] = None,
    kernel: Annotated[str, typer.Option(help="Kernel (see: list kernels).")] = "pntk",
    dataset: Annotated[str | None, typer.Option(help="Data set (see: list datasets) [digits].")] = None,
    path: Annotated[str | None, typer.Option(help="File or folder of the data set (see: data).")] = None,
    n: Annotated[int, typer.Option(help="Number of examples.", min=1)] = 100,
    n2: Annotated[int, typer.Option(help="So many further examples as columns; 0: the same ones.", min=0)] = 0,
    classes: Annotated[int | None, typer.Option(help="Use only the first classes [all].")] = None,
    data_seed: Annotated[int | None, typer.Option(help="Seed of the subset of the data [0].")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the initialisation.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    precision: Annotated[str, typer.Option(help="Of matrix products: highest, tensorfloat32, bfloat16.")] = "highest",
    memory: Annotated[str | None, typer.Option(help="Bound on memory, e.g. 8GB [half of what is free].")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples in a tile [as many as fit].", min=1)] = None,
    by: Annotated[str | None, typer.Option(help="layer or parameter: the shares of each instead of their sum.")] = None,
    projected: Annotated[int, typer.Option(help="Project gradients onto so many random directions.", min=0)] = 0,
    cosine: Annotated[bool, typer.Option("--cosine", help="Bring gradients to length one.")] = False,
    centred: Annotated[bool, typer.Option("--centred", help="Subtract the columns' mean gradient.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the matrix: .zarr (tile by tile), .nc or .npz.")] = None,
    store: _engine.StoreOption = None,
    workers: _engine.WorkersOption = 0,
    scheduler: _engine.SchedulerOption = None,
    allow_plain_tcp: _engine.PlainOption = False,
    yes: _engine.YesOption = False,
) -> None:
    """Compute a kernel matrix and write it, after saying what that takes.

    With --store, --workers or --scheduler its tiles are tasks, and the matrix is kept in the store and found again.
    """
    from ntk_explorer.amounts import read_bytes
    from ntk_explorer.architectures import configure
    from ntk_explorer.cli._matrices import check_matrix
    from ntk_explorer.kernels import KERNELS
    from ntk_explorer.sweeps.plan import plan_sweep

    if out is not None:
        check_matrix(out)
    _ = KERNELS[kernel]
    network = network_options(arch, option or [])
    plan = plan_sweep(
        given(name=dataset, path=path, n=n + n2, classes=classes, seed=data_seed),
        network,
        widths=[configure(**network).width if width is None else width],
        seeds=1,
        seed=seed,
        dtype=dtype,
    )
    if store is not None or workers or scheduler is not None:
        no_place = given(n2=n2 or None, by=by, centred=centred or None, memory=memory, batch_size=batch_size)
        _check_kept(no_place, out)
        from ntk_explorer.store import Store
        from ntk_explorer.sweeps.matrices import plan_gram

        gram_plan = plan_gram(plan, kernel=kernel, projected=projected, cosine=cosine, precision=precision)
        kept = Store(store)
        with _engine.opened(kept, workers, scheduler, allow_plain_tcp=allow_plain_tcp) as backend:
            _compute_kept(gram_plan, kept, backend, out, sure=yes)
        return
    bounds = given(memory=None if memory is None else read_bytes(memory), batch_size=batch_size)
    _compute(plan, kernel, Transforms(projected, cosine, centred), n, Options(bounds, precision, by, out, yes))


class Transforms(NamedTuple):
    """What is done to the kernel, in this order."""

    projected: int
    cosine: bool
    centred: bool

    def of(self, kernel: str, seed: int) -> Any:
        """The kernel that they make of a registered one; the projection is drawn from the seed."""
        import jax

        from ntk_explorer.kernels import transform

        found: Any = kernel
        if self.projected:
            found = transform.projected(found, self.projected, jax.random.fold_in(jax.random.key(seed), 2))
        if self.cosine:
            found = transform.cosine(found)
        return transform.centred(found) if self.centred else found


class Problem(NamedTuple):
    """A kernel and what it is of; ``x2`` is None for the examples with themselves."""

    kernel: Any
    network: Any
    params: Any
    x: Any
    x2: Any
    labels: Any
    labels2: Any


class Options(NamedTuple):
    """How it is computed: bounds are ``memory`` and ``batch_size``, where given; ``sure`` of large work."""

    bounds: dict[str, int]
    precision: str
    by: str | None
    out: Path | None
    sure: bool

    @property
    def streamed(self) -> Path | None:
        """The folder into which tiles are written as they are finished."""
        from ntk_explorer.cli._matrices import ZARR  # not above: it brings numpy, which --help can do without

        return self.out if self.out is not None and self.out.suffix == ZARR else None


def _compute(plan: SweepPlan, kernel: str, transforms: Transforms, n: int, options: Options) -> None:
    import jax

    from ntk_explorer.cli._matrices import summary, write_matrix

    with jax.enable_x64(plan.dtype == "float64"):
        problem = _problem(plan, transforms.of(kernel, plan.seed), n)
        batch_size = _announce(problem, options, plan.dtype)
        begun = time.perf_counter()
        matrix = _gram(problem, options, batch_size)
        seconds = time.perf_counter() - begun
        if options.out is not None and options.streamed is None:
            write_matrix(matrix, options.out)
        lines = summary(matrix, of_itself=problem.x2 is None, precision=options.precision, by=options.by)
        typer.echo("\n".join(lines))
        typer.echo(f"{seconds:.1f} s" + (f", written to {options.out}" if options.out is not None else ""))


def _check_kept(no_place: dict, out: Path | None) -> None:
    """Refuse options that a matrix of the store does not have."""
    from ntk_explorer.cli._matrices import ZARR

    if no_place:
        option = next(iter(no_place)).replace("_", "-")
        raise InvalidInput(
            f"--{option} is not for matrices of the store", "Leave it out, or --store, --workers and --scheduler."
        )
    if out is not None and out.suffix == ZARR:
        raise InvalidInput(
            "The store keeps the matrix in Zarr format as it is", "Leave --out out, or name an .nc or .npz."
        )


def _compute_kept(plan: GramPlan, store: Store, backend: Backend, out: Path | None, *, sure: bool) -> None:
    from ntk_explorer.cli._matrices import summary, write_matrix
    from ntk_explorer.sweeps.matrices import compute_gram, estimate_gram

    begun = time.perf_counter()
    cost = estimate_gram(plan, store=store, workers=backend.workers)
    typer.echo(f"{plan.title}: {cost.text()}", err=True)
    _engine.confirm(cost.seconds, sure=sure)
    matrix = compute_gram(plan, store=store, backend=backend, progress=True)
    if out is not None:
        write_matrix(matrix, out)
    typer.echo("\n".join(summary(matrix, of_itself=True, precision=plan.precision)))
    seconds = time.perf_counter() - begun
    typer.echo(f"{seconds:.1f} s" + (f", written to {out}" if out is not None else "") + f", kept in {store.address}")


def _gram(problem: Problem, options: Options, batch_size: int) -> xr.DataArray:
    from ntk_explorer.jobs.interrupts import interruptible
    from ntk_explorer.jobs.progress import bar
    from ntk_explorer.kernels.gram import gram

    begun = time.perf_counter()

    def left(share: float) -> float | None:
        return (time.perf_counter() - begun) * (1 - share) / share if share else None

    try:
        with interruptible(), bar("per cent") as draw:
            return gram(
                *problem[:5],
                labels=problem.labels,
                labels2=problem.labels2,
                precision=options.precision,
                by=options.by,
                path=options.streamed,
                progress=lambda share: draw(round(100 * share), 100, left(share)),
                **(options.bounds | {"batch_size": batch_size}),
            )
    except KeyboardInterrupt:
        kept = f"tiles are kept in {options.out}, where the same command continues" if options.streamed else "no file"
        typer.echo(f"\nStopped; {kept}.", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _problem(plan: SweepPlan, kernel: Any, n: int) -> Problem:
    import jax

    from ntk_explorer.datasets import load
    from ntk_explorer.sweeps.cells import examples, initialise, network_at

    data = load(plan.data)
    network = network_at(plan, data, plan.widths[0])
    x, labels = jax.numpy.asarray(data.x, plan.dtype), examples(data)["label"]
    more, labels_of_more = (x[n:], labels[n:]) if len(x) > n else (None, None)
    return Problem(kernel, network, initialise(plan, network, 0), x[:n], more, labels[:n], labels_of_more)


def _announce(problem: Problem, options: Options, dtype: str) -> int:
    """Say what the computation takes at this machine's rate of products; ask where it is much. The size of tiles."""
    import jax

    from ntk_explorer.amounts import human_bytes
    from ntk_explorer.kernels.gram import plan_tiles
    from ntk_explorer.reading.machine import matmul_rate
    from ntk_explorer.sweeps.estimate import human_seconds

    given_to_all = problem.kernel, problem.network.apply, *problem[2:5]
    batch_size, cost = plan_tiles(*given_to_all, **options.bounds, in_memory=options.streamed is None, by=options.by)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(problem.params))
    seconds = cost.seconds(matmul_rate(dtype))
    typer.echo(
        f"{cost.what}, {parameters} parameters, {dtype}, in tiles of {batch_size}: about {human_bytes(cost.bytes)}, "
        f"{cost.flops:.2g} operations, {human_seconds(seconds)} and compilation",
        err=True,
    )
    _engine.confirm(seconds, sure=options.sure)
    return batch_size
