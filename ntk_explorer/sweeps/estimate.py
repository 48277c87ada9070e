"""What a sweep will cost, said before it starts, and refused when memory cannot hold it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ntk_explorer.datasets import LabelledData, load
from ntk_explorer.errors import NTKExplorerError, TooLarge
from ntk_explorer.kernels.estimate import Estimate, estimate, human_bytes
from ntk_explorer.spectra.eigen import choose_solver
from ntk_explorer.store import Store
from ntk_explorer.sweeps.assembly import matrix_bytes, matrix_seeds
from ntk_explorer.sweeps.cells import cell_identities, network_at
from ntk_explorer.sweeps.limit import WidthLimit
from ntk_explorer.sweeps.plan import SweepPlan

# Eigenvalues of an N × N matrix take about as long as 9 N³ operations of a matrix product (two-core CPU, float64).
EIGENVALUE_COST = 9
# Copies of the (n c)² matrix beside the eNTK while its eigenvalues are taken.
EIGENVALUE_COPIES = 3
LIMIT_COPIES = 3  # of the n × n kernel at infinite width, in float64
COMPILE_SECONDS = 1.0  # per width, the first time
LARGE = 600  # seconds; work that takes longer is started after a question, where there is somebody to ask


@dataclass(frozen=True)
class SweepEstimate:
    """Peak memory, seconds and cells still to compute, the widest of them; ``found`` cells are in the store already."""

    bytes: int
    seconds: float
    cells: int
    found: int
    widest: int = 0

    def text(self) -> str:
        """For instance ``about 12 s, 180 MB``."""
        if not self.cells:
            return "already computed"
        return f"about {human_seconds(self.seconds)}, {human_bytes(self.bytes)}"


def estimate_sweep(plan: SweepPlan, *, store: Store | None = None, workers: int = 1) -> SweepEstimate:
    """Memory and time of what a sweep has still to compute.

    The time is that of the operations at this machine's own rate of matrix products, plus compilation.

    Args:
        plan: the sweep.
        store: where finished cells are looked for; None for the user's own.
        workers: cells computed at a time, on this machine.

    Returns:
        The :class:`SweepEstimate`.

    Raises:
        InvalidInput: the data do not fit the network, or hold fewer examples than asked for.
    """
    from ntk_explorer.reading.machine import matmul_rate  # not above: it imports jax

    store, data = store or Store(), load(plan.data)
    keys = {identity.key: width for (width, _), identity in cell_identities(plan, data).items()}
    missing = [keys[key] for key in store.missing(keys)]
    if not missing:
        return SweepEstimate(0, 0.0, 0, plan.seeds * len(plan.widths))
    costs = {width: cell_estimate(plan, data, width) for width in set(missing)}
    rate = matmul_rate(plan.dtype)
    seconds = sum(costs[width].seconds(rate) for width in missing) + COMPILE_SECONDS * len(costs)
    seconds += WidthLimit(plan, data).seconds
    return SweepEstimate(
        max(cost.bytes for cost in costs.values()) * workers,
        seconds / workers,
        len(missing),
        len(plan.cells) - len(missing),
        max(missing),
    )


def estimate_sweeps(plans: Iterable[SweepPlan], *, store: Store | None = None, workers: int = 1) -> SweepEstimate:
    """The estimate of several sweeps that are run as one job; see :func:`estimate_sweep`."""
    store = store or Store()
    costs = [estimate_sweep(plan, store=store, workers=workers) for plan in plans]
    return SweepEstimate(
        max(cost.bytes for cost in costs),
        sum(cost.seconds for cost in costs),
        sum(cost.cells for cost in costs),
        sum(cost.found for cost in costs),
        max(cost.widest for cost in costs),
    )


def cell_estimate(plan: SweepPlan, data: LabelledData, width: int) -> Estimate:
    """Memory and operations of one cell: the eNTK, eigenvalues of all kernels, and the matrices that are kept."""
    import jax  # not above: plans and results are handled without jax

    with jax.enable_x64(plan.dtype == "float64"):
        network = network_at(plan, data, width)
        params = jax.eval_shape(network.init, jax.random.key(0))
        cost = estimate("entk", network.apply, params, jax.ShapeDtypeStruct(data.x.shape, plan.dtype))
    n, size = len(data.x), len(data.x) * data.outputs
    itemsize = 8 if plan.dtype == "float64" else 4
    kept = matrix_bytes(plan, n) * len(plan.widths) * matrix_seeds(plan, n) + LIMIT_COPIES * n**2 * 8
    flops = EIGENVALUE_COST * (size**3 + len(plan.kernels) * n**3)
    return Estimate(
        f"A cell of the sweep at width {width} (eNTK of {size} × {size})",
        int(cost.bytes + EIGENVALUE_COPIES * size**2 * itemsize + kept),
        cost.flops + flops,
    )


def require_memory(plan: SweepPlan, data: LabelledData, width: int, *, workers: int = 1) -> None:
    """Refuse cells that do not fit in memory, one per worker, or whose eNTK has too many eigenvalues.

    Raises:
        TooLarge: with both figures and what to lower.
    """
    from ntk_explorer.reading.machine import available_bytes  # not above: it imports jax

    size = len(data.x) * data.outputs
    if choose_solver(size, plan.dtype, "cpu") == "lanczos":
        raise TooLarge(
            f"A sweep takes all eigenvalues of the eNTK, and {size} are too many",
            "Lower the number of examples or classes; top_eigenvalues and spectral_density do without all of them.",
        )
    remedy = "Lower the number of examples, the number of classes or the widths, or use float32."
    cost = cell_estimate(plan, data, width)
    if workers > 1:
        cost, remedy = (
            replace(cost, what=f"{cost.what}, {workers} at a time", bytes=cost.bytes * workers),
            f"Take fewer workers. {remedy}",
        )
    cost.require(available_bytes(), remedy)


def describe_sweep(plan_json: str, store: str | None = None, workers: int = 1) -> dict:
    """The estimate of a sweep as a dict, with ``refusal`` in words when it cannot be run; for the worker process."""
    plan = SweepPlan.model_validate_json(plan_json)
    try:
        cost = estimate_sweep(plan, store=Store(store), workers=workers)
        if cost.cells:
            require_memory(plan, load(plan.data), cost.widest, workers=workers)
    except TooLarge as error:
        return {**vars(cost), "text": cost.text(), "refusal": str(error)}
    except NTKExplorerError as error:
        return {"refusal": str(error)}
    return {**vars(cost), "text": cost.text(), "refusal": ""}


def human_seconds(seconds: float) -> str:
    """Seconds in the unit a person reads: ``12 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
