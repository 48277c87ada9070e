"""One Gram matrix as a job of many tiles, which any number of processes fill together."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ntk_explorer.datasets import LabelledData, load
from ntk_explorer.errors import Cancelled, InvalidInput, explain_validation
from ntk_explorer.jobs import Backend, Inline, Task
from ntk_explorer.kernels import KERNELS
from ntk_explorer.kernels._destinations import CHUNK, KERNEL, LARGEST_CHUNK, OnDisk
from ntk_explorer.store import Attempt, Identity, Incomplete, Store, fingerprint
from ntk_explorer.sweeps.cells import examples as label_of
from ntk_explorer.sweeps.cells import initialise, network_at
from ntk_explorer.sweeps.estimate import SweepEstimate
from ntk_explorer.sweeps.plan import DERIVED, SweepPlan
from ntk_explorer.sweeps.progress import Clock, Progress, shown
from ntk_explorer.sweeps.tasks import failure, keep_within_cap, require_same

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr
    import zarr

    from ntk_explorer.kernels.estimate import Estimate
    from ntk_explorer.kernels.gram import TiledGram

PRODUCER = "gram"
REVISION = 1
TARGET = "ntk_explorer.sweeps.matrices:tile"


class GramPlan(BaseModel):
    """One kernel of one network on one data set, as a checked and hashable configuration.

    ``sweep`` says data, network, width, seed and dtype: a plan of one width and one initialisation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sweep: SweepPlan
    kernel: str = Field("pntk", description="a name of KERNELS")
    projected: int = Field(0, ge=0, description="random directions onto which gradients are projected; 0: none")
    cosine: bool = Field(False, description="gradients are brought to length one")
    precision: Literal["highest", "tensorfloat32", "bfloat16"] = Field("highest", description="of matrix products")
    # A part of the plan, since the last bits of sums depend on how they are cut.
    tile: int = Field(default=512, ge=1, le=LARGEST_CHUNK, description="examples along the side of a tile")

    def identity(self, examples: str) -> Identity:
        """What the matrix is in the store."""
        plan = self.sweep
        config = {
            "kernel": self.kernel,
            "projected": self.projected,
            "cosine": self.cosine,
            "tile": self.tile,
            "data": plan.data.model_dump(mode="json", exclude={"path"}),
            "network": plan.network.model_dump(mode="json", exclude=set(DERIVED)),
            "width": plan.widths[0],
            "seed": plan.seed,
        }
        return Identity(PRODUCER, REVISION, config, fingerprint=examples, dtype=plan.dtype, precision=self.precision)

    def transformed(self) -> Any:
        """The kernel that the transforms make of the registered one; a projection is drawn from the seed."""
        import jax  # not above: plans and results are handled without jax

        from ntk_explorer.kernels.transform import cosine, projected

        kernel: Any = self.kernel
        if self.projected:
            kernel = projected(kernel, self.projected, jax.random.fold_in(jax.random.key(self.sweep.seed), 2))
        return cosine(kernel) if self.cosine else kernel

    @property
    def title(self) -> str:
        """In a few words."""
        plan = self.sweep
        return f"{self.kernel} · {plan.data.name}, n = {plan.data.n} · {plan.network.architecture} {plan.widths[0]}"


def plan_gram(sweep: SweepPlan, **options: Any) -> GramPlan:
    """Check the configuration of a Gram matrix.

    Args:
        sweep: data, network, width, seed and dtype: a plan of one width and one initialisation.
        **options: other fields of :class:`GramPlan`.

    Raises:
        UnknownName: no such kernel.
        InvalidInput: any other value out of bounds, or a plan of several networks.
    """
    if len(sweep.cells) != 1:
        raise InvalidInput(
            f"A matrix is of one network, and the plan has {len(sweep.cells)}", "Give one width and seed."
        )
    try:
        plan = GramPlan(sweep=sweep, **options)
    except ValidationError as error:
        raise explain_validation(error) from None
    _ = KERNELS[plan.kernel]
    return plan


def compute_gram(
    plan: GramPlan,
    *,
    store: Store | str | Path | None = None,
    backend: Backend | None = None,
    progress: Callable[[Progress], Any] | bool = False,
    cancel: Callable[[], bool] | None = None,
) -> xr.DataArray:
    """A Gram matrix in the store, found or computed tile by tile; it may be larger than memory.

    The matrix is one Zarr array that all workers fill with whole chunks. Tiles that an interrupted run left are not
    computed again, whichever machine it ran on.

    Args:
        plan: what to compute.
        store: where it is kept; an address, or None for the user's own.
        backend: what computes the tiles, from :func:`ntk_explorer.jobs.backend`; None for this process.
        progress: called with a :class:`Progress` before the first and after every tile; True for a bar in the terminal
            or notebook.
        cancel: asked from time to time whether to stop.

    Returns:
        DataArray with dims (x1, x2), or (x1, x2, c, d), as :func:`ntk_explorer.kernels.gram.gram` gives it, read from
        the store where it is used.

    Raises:
        Cancelled: ``cancel`` returned true; finished tiles are in the store.
        TooLarge: one tile per worker does not fit in memory.
        InvalidInput: what :func:`ntk_explorer.kernels.gram.gram` refuses.
        NTKExplorerError: some tiles could not be computed; the others are in the store.
    """
    store, backend = store if isinstance(store, Store) else Store(store), backend or Inline()
    data = load(plan.sweep.data)
    examples = _fingerprint(data)
    key = plan.identity(examples).key
    if (found := store.open(key)) is None:
        _require_memory(plan, data, backend)
        matrix = _prepared(plan.model_dump_json(), examples, store.address)
        with shown(progress, "tiles") as report:
            _finish(matrix, backend, report, cancel or (lambda: False))
        keep_within_cap(store, key)
        found = store.open(key)
    if found is None:
        raise InvalidInput("The matrix was computed, but the store does not hold it whole", "Run it again.")
    return found.dataset[KERNEL]


def estimate_gram(plan: GramPlan, *, store: Store | None = None, workers: int = 1) -> SweepEstimate:
    """Memory and time of the tiles that the store does not have, at this machine's own rate of matrix products.

    Raises:
        TooLarge: one tile does not fit in memory.
    """
    from ntk_explorer.reading.machine import matmul_rate  # not above: it imports jax

    store, data = store or Store(), load(plan.sweep.data)
    identity = plan.identity(_fingerprint(data))
    chunks = (-(-len(data.x) // _side(plan, data))) ** 2
    if identity.key in store:
        return SweepEstimate(0, 0.0, 0, chunks)
    found = sum(name.startswith(f"{KERNEL}/c/") for name in store.shared(identity).keys())  # noqa: SIM118, not a dict
    cost = _tile_cost(plan, data)
    seconds = cost.seconds(matmul_rate(plan.sweep.dtype)) * (chunks - found) / chunks
    return SweepEstimate(cost.bytes * workers, seconds / workers, chunks - found, found)


def _tile_cost(plan: GramPlan, data: LabelledData) -> Estimate:
    """Memory of one tile, and operations of all."""
    import jax  # not above: plans and results are handled without jax

    from ntk_explorer.kernels.gram import plan_tiles

    sweep, options = plan.sweep, {"batch_size": _side(plan, data), "in_memory": False}
    with jax.enable_x64(sweep.dtype == "float64"):
        network = network_at(sweep, data, sweep.widths[0])
        params = jax.eval_shape(network.init, jax.random.key(0))
        x = jax.ShapeDtypeStruct(data.x.shape, sweep.dtype)
        return plan_tiles(plan.transformed(), network.apply, params, x, **options).cost


def _require_memory(plan: GramPlan, data: LabelledData, backend: Backend) -> None:
    from ntk_explorer.reading.machine import available_bytes  # not above: it imports jax

    if backend.here and backend.workers > 1:  # the memory of other machines is theirs to judge
        cost = _tile_cost(plan, data)
        cost = replace(cost, what=f"{cost.what}, {backend.workers} tiles at a time", bytes=cost.bytes * backend.workers)
        cost.require(available_bytes(), "Take fewer workers or smaller tiles.")


def _side(plan: GramPlan, data: LabelledData) -> int:
    """Examples along the side of a tile."""
    return min(plan.tile, len(data.x))


def _fingerprint(data: LabelledData) -> str:
    """Of the examples with their labels: these stand beside the matrix, and some kernels use them."""
    return fingerprint(data.x, label_of(data)["label"])


def _finish(matrix: _Matrix, *running: Any) -> None:
    """Fill and seal; chunks that turn out to be damaged have been removed by then, and are computed once more."""
    seconds = _fill(matrix, *running)
    try:
        matrix.attempt.seal(title=matrix.plan.title, seconds=seconds)
    except Incomplete:
        seconds += _fill(matrix, *running)
        matrix.attempt.seal(title=matrix.plan.title, seconds=seconds)


def _fill(matrix: _Matrix, backend: Backend, report: Callable[[Progress], Any], cancel: Callable[[], bool]) -> float:
    """Have every missing tile computed; the seconds that they took."""
    tasks, clock, kind = matrix.tasks(), Clock(backend.workers), ("tile", matrix.work.size)
    total = len(matrix.work.tiled.grid(matrix.work.size))
    step, spent, failed = total - len(tasks), 0.0, []
    report(Progress(step, total, 0.0, None))
    with closing(backend.run(tasks)) as outcomes:  # pyright: ignore[reportArgumentType]
        for outcome in outcomes:
            if outcome is not None and outcome.error is not None:
                failed.append(outcome)
            elif outcome is not None:
                step, spent = step + 1, spent + outcome.seconds
                clock.record(kind, outcome.seconds)
                report(Progress(step, total, clock.elapsed, clock.left([kind] * (total - step))))
            if step < total and cancel():
                raise Cancelled(f"Stopped after {step} of {total} tiles", "Run it again to go on from there.")
    if failed:
        raise failure(failed, len(tasks), "tiles")
    return spent


def tile(plan_json: str, examples: str, store: str, row: int, column: int) -> dict:
    """Compute the tile that begins at (row, column), and its mirror image, unless the array has them.

    Args:
        plan_json: the :class:`GramPlan`.
        examples: fingerprint of the examples that are meant.
        store: address of the store.
        row: its first example of the rows.
        column: its first example of the columns.

    Returns:
        ``found``: whether it was there.
    """
    matrix = _prepared(plan_json, examples, store)
    work, array = matrix.work, matrix.array(matrix.attempt)
    place = next(p for p in work.tiled.grid(work.size) if (p[0].start, p[1].start) == (row, column))
    if work.there(array, *place):
        return {"found": True}
    with matrix.settings():
        computed = matrix.compute(*place)
        # Another may have been faster, and the matrix sealed: devices differ in last bits, sealed chunks must not.
        if not work.there(array, *place):
            work.put(array, computed)
    return {"found": False}


@dataclass(frozen=True)
class _Matrix:
    """A matrix under way: its tiles, and where they are written to."""

    plan: GramPlan
    examples: str
    work: TiledGram
    attempt: Attempt
    compute: Callable[[slice, slice], Any]

    def settings(self):
        """Double precision where the plan asks for it."""
        import jax  # not above: plans and results are handled without jax

        return jax.enable_x64(self.plan.sweep.dtype == "float64")

    def array(self, present: Container[str]) -> OnDisk:
        """The array, given what chunks there are; made by whoever comes first, and again when it was deleted."""
        labelled, array = self.work.labelled, self._zarr
        if not all(f"{name}/c/0" in present for name in labelled.coords):
            array = self._made()
        return OnDisk(array, labelled.lead, present.__contains__)

    def tasks(self) -> list[Task]:
        """The tasks that compute the missing tiles, panel by panel."""
        common = {
            "plan_json": self.plan.model_dump_json(),
            "examples": self.examples,
            "store": self.attempt.store.address,
        }
        return [
            Task(
                f"{self.attempt.identity.key}.{rows.start}.{columns.start}",
                TARGET,
                common | {"row": rows.start, "column": columns.start},
                f"tile ({rows.start}, {columns.start}) of {self.plan.title}",
            )
            for rows, columns in self.work.missing(self.array(self.attempt.keys()), self.work.size)
        ]

    @cached_property
    def _zarr(self) -> zarr.Array:
        return self._made()

    def _made(self) -> zarr.Array:
        """The artefact's arrays."""
        attempt, labelled, side = self.attempt, self.work.labelled, self.work.size
        attempt.group({"coordinates": " ".join(labelled.coords)})
        for name, (dim, values) in labelled.coords.items():
            attempt.create(name, values.shape, values.dtype, (dim,))[...] = values
        chunks = tuple(
            side if dim in ("x1", "x2") else length for dim, length in zip(labelled.dims, labelled.shape, strict=True)
        )
        attributes = self.work.attrs | {CHUNK: side}
        return attempt.create(
            KERNEL, labelled.shape, labelled.dtype, labelled.dims, chunks=chunks, attributes=attributes
        )


# The tiles of a matrix come one after the other: network and data are had once, and the rows read last are held.
@lru_cache(maxsize=1)
def _prepared(plan_json: str, examples: str, store: str) -> _Matrix:
    import jax  # not above: plans and results are handled without jax

    from ntk_explorer.kernels.gram import tiled_gram

    plan = GramPlan.model_validate_json(plan_json)
    sweep, data = plan.sweep, load(plan.sweep.data)
    require_same(data, _fingerprint(data), examples)
    attempt = Store(store).shared(plan.identity(examples))
    with jax.enable_x64(sweep.dtype == "float64"):
        network = network_at(sweep, data, sweep.widths[0])
        work = tiled_gram(
            plan.transformed(),
            network,
            initialise(sweep, network, 0),
            jax.numpy.asarray(data.x, sweep.dtype),
            labels=label_of(data)["label"],
            precision=plan.precision,
            bounds={"batch_size": _side(plan, data), "in_memory": False},
        )
        work.require_tiles()
        matrix = _Matrix(plan, examples, work, attempt, work.computer())
        matrix.array(attempt)  # here, where its type is that of the plan
        return matrix
