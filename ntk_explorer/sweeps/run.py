"""Runs sweeps as tasks; what is in the store is not computed again."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ntk_explorer.datasets import LabelledData, load
from ntk_explorer.errors import Cancelled, InvalidInput, TooLarge
from ntk_explorer.jobs import Backend, Inline, Outcome
from ntk_explorer.store import Identity, Store
from ntk_explorer.sweeps.assembly import CellResult, assemble
from ntk_explorer.sweeps.cells import all_kernels, cell_identities, examples, initialise, network_at
from ntk_explorer.sweeps.engines import engine_of
from ntk_explorer.sweeps.estimate import estimate_sweep, require_memory
from ntk_explorer.sweeps.kept import found_cell, keep_record, record_of
from ntk_explorer.sweeps.plan import SweepPlan
from ntk_explorer.sweeps.progress import Clock, Progress, shown
from ntk_explorer.sweeps.tasks import cell_task, failure, keep_within_cap

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr


@dataclass(frozen=True)
class Step(Progress):
    """A cell that has been found or computed, of which of the sweeps, and how far the run is."""

    plan: SweepPlan = field(repr=False)
    cell: CellResult = field(repr=False)


@dataclass(frozen=True)
class _Sweep:
    """A plan, its examples and what its cells are in the store."""

    plan: SweepPlan
    data: LabelledData
    identities: dict[tuple[int, int], Identity]
    record: Identity
    store: Store

    @classmethod
    def of(cls, plan: SweepPlan, data: LabelledData, store: Store) -> _Sweep:
        identities = cell_identities(plan, data)
        return cls(plan, data, identities, record_of(plan, data, identities.values()), store)

    def publish(self) -> None:
        """From now on the sweep is known, however far it comes."""
        keep_record(self.store, self.plan, self.data, self.record)

    def find(self, place: tuple[int, int], *, found: bool) -> CellResult | None:
        cell = found_cell(self.store, self.identities[place].key, place, examples(self.data))
        return cell and replace(cell, found=found)


def iterate_steps(
    plans: SweepPlan | Sequence[SweepPlan],
    *,
    store: Store | str | Path | None = None,
    backend: Backend | None = None,
) -> Generator[Step | None, None, None]:
    """Yield all cells of one sweep or several: those in the store first, then the others as they are computed.

    Every computed cell is in the store before it is yielded, so that an interrupted run loses the running cells at
    most; to resume is to run again. A cell that fails does not keep the others from being computed.

    Args:
        plans: the sweep, or several that are computed as one job.
        store: where finished cells are kept; an address, or None for the user's own.
        backend: what computes them; None for this process, one after the other.

    Yields:
        A :class:`Step` per cell, and None from time to time while none is finished, so that whoever iterates may stop.

    Raises:
        TooLarge: what is missing does not fit in memory; raised before any of it is computed.
        InvalidInput: the data do not fit the network, or hold fewer examples than asked for.
        NTKExplorerError: some cells could not be computed; raised after all others have been.
    """
    plans = (plans,) if isinstance(plans, SweepPlan) else tuple(plans)
    store, backend = store if isinstance(store, Store) else Store(store), backend or Inline()
    data = {config: load(config) for config in dict.fromkeys(plan.data for plan in plans)}
    sweeps = [_Sweep.of(plan, data[plan.data], store) for plan in plans]
    missing, clock, done = [], Clock(backend.workers), 0
    total, present = sum(len(plan.cells) for plan in plans), store.keys()
    for sweep in sweeps:
        for place, identity in sweep.identities.items():
            cell = sweep.find(place, found=True) if identity.key in present else None
            if cell is None:
                missing.append((sweep, place))
                continue
            done += 1
            yield Step(done, total, clock.elapsed, None, sweep.plan, cell)
    _require_memory(missing, backend)
    for sweep in sweeps:
        sweep.publish()
    if not missing:
        return
    yield None
    for item in _computed(missing, backend, clock):
        if item is not None:
            done += 1
            sweep, cell, left = item
            yield Step(done, total, clock.elapsed, left, sweep.plan, cell)
        else:
            yield None
    keep_within_cap(store, *(sweep.record.key for sweep in sweeps))


def _require_memory(missing: list[tuple[_Sweep, tuple[int, int]]], backend: Backend) -> None:
    if not backend.here:  # the memory of other machines is theirs to judge
        return
    for sweep, cells in groupby(missing, key=lambda item: item[0]):
        require_memory(sweep.plan, sweep.data, max(width for _, (width, _) in cells), workers=backend.workers)


def _computed(
    missing: list[tuple[_Sweep, tuple[int, int]]], backend: Backend, clock: Clock
) -> Iterator[tuple[_Sweep, CellResult, float | None] | None]:
    """Cells with the seconds that are left after each; raises at the end what went wrong on the way."""
    wanted: dict[str, list[tuple[_Sweep, tuple[int, int]]]] = {}
    for sweep, place in missing:  # several sweeps may share a cell
        wanted.setdefault(sweep.identities[place].key, []).append((sweep, place))
    tasks = [cell_task(sweep.plan, sweep.identities, place, sweep.store) for (sweep, place), *_ in wanted.values()]
    kinds = {key: _kind(*owners[0]) for key, owners in wanted.items()}
    failed: list[Outcome] = []
    with closing(backend.run(tasks)) as outcomes:
        for outcome in outcomes:
            if outcome is None:
                yield None
                continue
            owners = wanted.pop(outcome.task.key)
            found = [] if outcome.error else [(sweep, sweep.find(place, found=False)) for sweep, place in owners]
            cells = [(sweep, cell) for sweep, cell in found if cell is not None]
            kind = kinds.pop(outcome.task.key)
            if not cells:
                failed.append(outcome)
                continue
            clock.record(kind, float(cells[0][1].arrays["seconds"]))
            left = clock.left(kinds.values())
            yield from ((sweep, cell, left) for sweep, cell in cells)
    if failed:
        raise failure(failed, len(tasks), "cells")


def _kind(sweep: _Sweep, place: tuple[int, int]) -> tuple[str, int]:
    """What decides how long a cell takes: its network and its width."""
    return repr((sweep.plan.network, sweep.plan.data.n)), place[0]


def iterate_cells(plan: SweepPlan, **options) -> Iterator[CellResult]:
    """The cells of :func:`iterate_steps` alone."""
    return (step.cell for step in iterate_steps(plan, **options) if step is not None)


def run_sweep(plan: SweepPlan, **options) -> xr.Dataset:
    """Compare kernels with the eNTK for every width and seed of a plan.

    Args:
        plan: the sweep, from :func:`ntk_explorer.sweeps.plan.plan_sweep`.
        **options: those of :func:`run_sweeps`: store, backend, progress, cancel.

    Returns:
        The Dataset that :func:`ntk_explorer.sweeps.assembly.assemble` describes.

    Raises:
        Cancelled: ``cancel`` returned true; finished cells are in the store.
        TooLarge: a cell does not fit in memory; raised before any is computed.
        InvalidInput: the data do not fit the network, or hold fewer examples than asked for.
        NTKExplorerError: some cells could not be computed; the others are in the store.
    """
    return run_sweeps([plan], **options)[0]


def run_sweeps(
    plans: Sequence[SweepPlan],
    *,
    store: Store | str | Path | None = None,
    backend: Backend | None = None,
    progress: Callable[[Step], Any] | bool = False,
    cancel: Callable[[], bool] | None = None,
) -> list[xr.Dataset]:
    """Run several sweeps as one job, for instance those of :func:`ntk_explorer.sweeps.grid.plan_grid`.

    Args:
        plans: the sweeps.
        store: where finished cells are kept; an address, or None for the user's own.
        backend: what computes the cells, from :func:`ntk_explorer.jobs.backend`; None for this process.
        progress: called with a :class:`Step` after every cell; True for a bar in the terminal or notebook.
        cancel: asked after every cell, and from time to time in between, whether to stop.

    Returns:
        One Dataset per plan; see :func:`run_sweep`, also for what is raised.
    """
    cells: dict[SweepPlan, list[CellResult]] = {plan: [] for plan in plans}
    last = None
    with shown(progress, "cells") as report, closing(iterate_steps(plans, store=store, backend=backend)) as steps:
        for step in steps:
            if step is not None:
                last = step
                cells[step.plan].append(step.cell)
                report(step)
            if cancel and (last is None or last.step < last.total) and cancel():
                done = f"after {last.step} of {last.total} cells" if last else "before its first cell"
                raise Cancelled(f"The sweep was stopped {done}", "Run it again to go on from there.")
    return [assemble(plan, cells[plan]) for plan in plans]


def sweep_events(
    plan_json: str, store: str | None = None, engine: dict[str, Any] | None = None, longest: float | None = None
) -> Iterator[dict | None]:
    """The steps of a sweep as events ``cells``, for the worker process.

    Each holds ``cells``, ``step``, ``total``, ``seconds`` and ``seconds_left``; what the store has comes as one event,
    so that it makes one picture. None stands for a moment at which to ask whether to go on.

    Args:
        plan_json: the sweep.
        store: address of the store; None for the user's own.
        longest: seconds beyond which work is not begun, because nobody has agreed to it; None for any.
        engine: arguments of :func:`ntk_explorer.sweeps.engines.open_engine`; None for the worker process itself.
    """
    kept, plan = Store(store), SweepPlan.model_validate_json(plan_json)
    if longest is not None:
        _require_short(plan, kept, longest, workers=max(1, (engine or {}).get("workers", 1)))
    backend = engine_of(kept, **(engine or {}))
    found: list[Step] = []
    with closing(iterate_steps(plan, store=kept, backend=backend)) as steps:
        for step in steps:
            found += [step] if step else []
            if found and not (step and step.cell.found and step.step < step.total):
                yield _event(found)
                found = []
            else:
                yield None


def _require_short(plan: SweepPlan, store: Store, longest: float, *, workers: int) -> None:
    """Refuse what takes longer; what it takes is only looked at where something is missing."""
    cost = estimate_sweep(plan, store=store, workers=workers)
    if cost.seconds > longest:
        raise TooLarge(f"This sweep takes {cost.text()}, and nobody has agreed to that yet", "Press Retry to start it.")


def _event(steps: list[Step]) -> dict[str, Any]:
    last = steps[-1]
    return {
        "kind": "cells",
        "cells": [step.cell for step in steps],
        "step": last.step,
        "total": last.total,
        "seconds": last.seconds,
        "seconds_left": last.seconds_left,
    }


def block(plan_json: str, width: int, index: int, i: int, j: int) -> dict:
    """The c × c block of the eNTK for one pair of examples, and the value of every kernel there.

    Args:
        plan_json: the sweep, as JSON.
        width: one of its widths.
        index: number of the initialisation.
        i: row of the first example.
        j: row of the second example.

    Returns:
        ``block`` [c, c] float64, ``values`` by kernel, and for the two examples ``labels``, ``ids`` and
        ``images`` [2, height, width, channels] (None for data that are no images).

    Raises:
        InvalidInput: the sweep has no such width, initialisation or example.
    """
    import jax  # not above: plans and results are handled without jax
    import numpy as np

    plan = SweepPlan.model_validate_json(plan_json)
    data = load(plan.data)
    _check_place(plan, data, width, index, (i, j))
    with jax.enable_x64(plan.dtype == "float64"):
        network = network_at(plan, data, width)
        x = jax.numpy.asarray(data.x[[i, j]], plan.dtype)
        kernels = all_kernels(plan, network, initialise(plan, network, index), x[:1], x[1:])
    pair, known = [i, j], examples(data)
    return {
        "block": np.asarray(kernels["entk"][0, 0], dtype=float),
        "values": {name: float(kernels[name][0, 0]) for name in plan.kernels},
        "labels": known["label"][pair].tolist(),
        "ids": known["ids"][pair].tolist(),
        "images": None if data.images is None else np.asarray(data.images[pair]),
    }


def _check_place(plan: SweepPlan, data: LabelledData, width: int, index: int, pair: tuple[int, int]) -> None:
    if width not in plan.widths or not 0 <= index < plan.seeds:
        raise InvalidInput(f"The sweep has no width {width} with seed {index}", "Choose one of its own.")
    for row in pair:
        if not 0 <= row < len(data.x):
            raise InvalidInput(f"There is no example {row} among {len(data.x)}", "Choose another cell.")
