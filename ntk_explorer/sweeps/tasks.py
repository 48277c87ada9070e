"""One cell as a task: a function by name, with arguments that reach any process, and its result in the store."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ntk_explorer.datasets import LabelledData, load
from ntk_explorer.errors import InvalidInput, NTKExplorerError
from ntk_explorer.jobs import Outcome, Task
from ntk_explorer.store import Identity, Store, fingerprint
from ntk_explorer.sweeps.cells import cell_identities, compute_cell
from ntk_explorer.sweeps.kept import keep_cell
from ntk_explorer.sweeps.limit import WidthLimit
from ntk_explorer.sweeps.plan import SweepPlan

TARGET = "ntk_explorer.sweeps.tasks:cell"


def cell_task(
    plan: SweepPlan, identities: dict[tuple[int, int], Identity], place: tuple[int, int], store: Store
) -> Task:
    """The task that computes one cell of a plan."""
    (width, index), identity = place, identities[place]
    return Task(
        identity.key,
        TARGET,
        {
            "plan_json": plan.model_dump_json(),
            "width": width,
            "index": index,
            "examples": identity.fingerprint,
            "store": store.address,
        },
        f"{plan.network.architecture} of width {width}, seed {index}",
    )


def cell(plan_json: str, width: int, index: int, examples: str, store: str) -> dict:
    """Compute a cell and keep it, unless the store has it.

    Args:
        plan_json: the sweep.
        width: one of its widths.
        index: number of the initialisation.
        examples: fingerprint of the examples that are meant.
        store: address of the store.

    Returns:
        ``found``: whether the cell was there.

    Raises:
        InvalidInput: a file of the data holds something else where this runs.
    """
    plan, data, identities, limit = _prepared(plan_json, examples)
    kept, identity = Store(store), identities[width, index]
    if identity.key in kept:
        return {"found": True}
    keep_cell(kept, identity, compute_cell(plan, data, width, index, limit))
    return {"found": False}


# The cells of a sweep come one after the other: their data and their limit are had once.
@lru_cache(maxsize=1)
def _prepared(plan_json: str, examples: str) -> tuple[SweepPlan, LabelledData, dict, WidthLimit]:
    plan = SweepPlan.model_validate_json(plan_json)
    data = load(plan.data)
    require_same(data, fingerprint(data.x), examples)
    return plan, data, cell_identities(plan, data), WidthLimit(plan, data)


def require_same(data: LabelledData, found: str, examples: str) -> None:
    """Refuse data whose fingerprint is ``found`` where a task was made for another.

    Raises:
        InvalidInput: they differ.
    """
    if found != examples:
        raise InvalidInput(
            f"The data set {data.name!r} holds other examples here than where the job was started",
            "Give all workers the same file under the same path.",
        )


def keep_within_cap(store: Store, *keys: str) -> None:
    """Make room where a run has brought the store beyond its size; what the run was about stays.

    A folder or bucket that several people may share is left alone, unless its size has been named.
    """
    used = store.usage()
    if used.enforced and used.bytes > used.cap:
        store.collect(keep=keys)


def failure(failed: Sequence[Outcome], total: int, what: str) -> NTKExplorerError:
    """The error of a run of which some tasks failed, in the words of the first.

    An outcome without an error is of a task that was done, and whose result could not be read back.
    """
    first = failed[0].error or InvalidInput("The store does not hold its result whole", "Run it again.")
    name = failed[0].task.name
    if len(failed) == total:  # most likely for the same reason
        return first
    return NTKExplorerError(
        f"{len(failed)} of {total} {what} could not be computed; the first is {name}: {first.problem}",
        f"{first.remedy} The others are kept.".strip(),
    )
