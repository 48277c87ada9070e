"""One Gram matrix as a job of many tiles, which any number of processes fill together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from ntk_explorer.errors import Cancelled, InvalidInput
from ntk_explorer.jobs import Backend, Inline, Task
from ntk_explorer.kernels._destinations import CHUNK, KERNEL, OnDisk
from ntk_explorer.store import Attempt, Incomplete, Store
from ntk_explorer.sweeps.cells import network_at
from ntk_explorer.sweeps.estimate import SweepEstimate
from ntk_explorer.sweeps.gram_plan import GramExamples, GramPlan, plan_gram
from ntk_explorer.sweeps.progress import Clock, Progress, shown
from ntk_explorer.sweeps.tasks import failure, keep_within_cap, require_same

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr
    import zarr

    from ntk_explorer.kernels.estimate import Estimate
    from ntk_explorer.kernels.gram import TiledGram

__all__ = ["GramPlan", "compute_gram", "estimate_gram", "plan_gram"]

TARGET = "ntk_explorer.sweeps.matrices:tile"


def compute_gram(
    plan: GramPlan,
    *,
    store: Store | str | Path | None = None,
    backend: Backend | None = None,
    progress: Callable[[Progress], Any] | bool = False,
    cancel: Callable[[], bool] | None = None,
    keep: Collection[str] = (),
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
        keep: keys of what stays as well where the store has to make room for the matrix.

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
    data = plan.examples()
    examples = data.fingerprint
    key = plan.identity(examples).key
    if (found := store.open(key)) is None:
        _require_memory(plan, data, backend)
        matrix = _prepared(plan.model_dump_json(), examples, store.address)
        with shown(progress, "tiles") as report:
            _finish(matrix, backend, report, cancel or (lambda: False))
        keep_within_cap(store, key, *keep)
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

    store, data = store or Store(), plan.examples()
    identity, side = plan.identity(data.fingerprint), _side(plan, data)
    chunks = -(-len(data.x) // side) * -(-len(data.columns.x) // side)
    if identity.key in store:
        return SweepEstimate(0, 0.0, 0, chunks)
    found = sum(name.startswith(f"{KERNEL}/c/") for name in store.shared(identity).keys())  # noqa: SIM118, not a dict
    cost = tile_cost(plan, data)
    seconds = cost.seconds(matmul_rate(plan.sweep.dtype)) * (chunks - found) / chunks
    return SweepEstimate(cost.bytes * workers, seconds / workers, chunks - found, found)


def tile_cost(plan: GramPlan, data: GramExamples) -> Estimate:
    """Memory of one tile, and operations of all tiles."""
    import jax  # not above: plans and results are handled without jax

    from ntk_explorer.kernels.gram import plan_tiles

    sweep, options = plan.sweep, {"batch_size": _side(plan, data), "in_memory": False}
    with jax.enable_x64(sweep.dtype == "float64"):
        network = network_at(sweep, data.rows, sweep.widths[0])
        params = jax.eval_shape(network.init, jax.random.key(0))
        x, x2 = (None if x is None else jax.ShapeDtypeStruct(x.shape, sweep.dtype) for x in (data.x, data.x2))
        return plan_tiles(plan.transformed(), network.apply, params, x, x2, **options).cost


def _require_memory(plan: GramPlan, data: GramExamples, backend: Backend) -> None:
    from ntk_explorer.reading.machine import available_bytes  # not above: it imports jax

    if backend.here and backend.workers > 1:  # the memory of other machines is theirs to judge
        cost = tile_cost(plan, data)
        cost = replace(cost, what=f"{cost.what}, {backend.workers} tiles at a time", bytes=cost.bytes * backend.workers)
        cost.require(available_bytes(), "Take fewer workers or smaller tiles.")


def _side(plan: GramPlan, data: GramExamples) -> int:
    """Examples along the side of a tile."""
    return min(plan.tile, max(len(data.x), len(data.columns.x)))


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

    plan, kept = GramPlan.model_validate_json(plan_json), Store(store)
    sweep, data = plan.sweep, plan.examples()
    require_same(data.rows, data.fingerprint, examples)
    attempt = kept.shared(plan.identity(examples))
    with jax.enable_x64(sweep.dtype == "float64"):
        network = network_at(sweep, data.rows, sweep.widths[0])
        work = tiled_gram(
            plan.transformed(),
            network,
            plan.params(network, kept),
            jax.numpy.asarray(data.x, sweep.dtype),
            None if data.x2 is None else jax.numpy.asarray(data.x2, sweep.dtype),
            labels=data.labels,
            labels2=data.labels2,
            precision=plan.precision,
            bounds={"batch_size": _side(plan, data), "in_memory": False},
        )
        work.require_tiles()
        matrix = _Matrix(plan, examples, work, attempt, work.computer())
        matrix.array(attempt)  # here, where its type is that of the plan
        return matrix
