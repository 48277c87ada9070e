"""Runs a sweep cell by cell; what is in the store is not computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntk_explorer.datasets import LabelledData, load
from ntk_explorer.errors import Cancelled, InvalidInput
from ntk_explorer.store import CellStore
from ntk_explorer.sweeps.assembly import CellResult, assemble
from ntk_explorer.sweeps.cells import all_kernels, cell_keys, compute_cell, examples, initialise, network_at
from ntk_explorer.sweeps.estimate import require_memory
from ntk_explorer.sweeps.limit import WidthLimit
from ntk_explorer.sweeps.plan import SweepPlan
from ntk_explorer.sweeps.progress import Clock

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Step:
    """A cell that has been found or computed, and how far the sweep is: ``step`` of ``total``, times in seconds."""

    cell: CellResult = field(repr=False)
    step: int
    total: int
    seconds: float
    seconds_left: float | None


def iterate_steps(plan: SweepPlan, *, store: CellStore | str | Path | None = None) -> Iterator[Step]:
    """Yield all cells of a sweep, those in the store first, then the others as they are computed.

    Every computed cell is in the store before it is yielded, so that an interrupted sweep loses one cell at
    most.

    Args:
        plan: the sweep.
        store: where finished cells are kept; a folder, or None for the user's cache directory.

    Raises:
        TooLarge: what is missing does not fit in memory; raised before any of it is computed.
        InvalidInput: the data do not fit the network, or hold fewer examples than asked for.
    """
    store = store if isinstance(store, CellStore) else CellStore(store)
    clock, data = Clock(), load(plan.data)
    keys, missing, done = cell_keys(plan, data), [], 0
    for width, index in plan.cells:
        arrays = store.get(keys[width, index])
        if arrays is None:
            missing.append((width, index))
            continue
        done += 1
        yield Step(CellResult(width, index, arrays, examples(data), True), done, len(keys), clock.elapsed, None)
    if missing:
        require_memory(plan, data, max(width for width, _ in missing))
    limit = WidthLimit(plan, data)
    for number, (width, index) in enumerate(missing, 1):
        cell = compute_cell(plan, data, width, index, limit)
        store.put(keys[width, index], cell.arrays)
        clock.record(width, float(cell.arrays["seconds"]))
        left = clock.left(width for width, _ in missing[number:])
        yield Step(cell, done + number, len(keys), clock.elapsed, left)


def iterate_cells(plan: SweepPlan, *, store: CellStore | str | Path | None = None) -> Iterator[CellResult]:
    """The cells of :func:`iterate_steps` alone."""
    for step in iterate_steps(plan, store=store):
        yield step.cell


def run_sweep(
    plan: SweepPlan,
    *,
    store: CellStore | str | Path | None = None,
    progress: Callable[[Step], Any] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> xr.Dataset:
    """Compare kernels with the eNTK for every width and seed of a plan.

    Args:
        plan: the sweep, from :func:`ntk_explorer.sweeps.plan.plan_sweep`.
        store: where finished cells are kept; a folder, or None for the user's cache directory.
        progress: called with a :class:`Step` after every cell.
        cancel: asked after every cell whether to stop.

    Returns:
        The Dataset that :func:`ntk_explorer.sweeps.assembly.assemble` describes.

    Raises:
        Cancelled: ``cancel`` returned true; finished cells are in the store.
        TooLarge: a cell does not fit in memory; raised before any is computed.
        InvalidInput: the data do not fit the network, or hold fewer examples than asked for.
    """
    cells = []
    for step in iterate_steps(plan, store=store):
        cells.append(step.cell)
        if progress:
            progress(step)
        if cancel and step.step < step.total and cancel():
            raise Cancelled(
                f"The sweep was stopped after {step.step} of {step.total} cells", "Run it again to go on from there."
            )
    return assemble(plan, cells)


def sweep_events(plan_json: str, store: str | None = None) -> Iterator[dict]:
    """The steps of a sweep as events ``cell`` (cell, step, total, seconds, seconds_left), for the worker process."""
    for step in iterate_steps(SweepPlan.model_validate_json(plan_json), store=store):
        yield {"kind": "cell", **vars(step)}


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
