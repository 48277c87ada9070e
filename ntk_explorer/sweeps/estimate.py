"""What a sweep will cost, said before it starts, and refused when memory cannot hold it."""

from __future__ import annotations

from dataclasses import dataclass

from ntk_explorer.datasets import LabelledData, load
from ntk_explorer.errors import NTKExplorerError, TooLarge
from ntk_explorer.kernels.estimate import Estimate, estimate, human_bytes
from ntk_explorer.spectra.eigen import choose_solver
from ntk_explorer.store import CellStore
from ntk_explorer.sweeps.assembly import matrix_bytes, matrix_seeds
from ntk_explorer.sweeps.cells import cell_keys, network_at
from ntk_explorer.sweeps.limit import WidthLimit
from ntk_explorer.sweeps.plan import SweepPlan

# Eigenvalues of an N × N matrix take about as long as 9 N³ operations of a matrix product (two-core CPU, float64).
EIGENVALUE_COST = 9
# Copies of the (n c)² matrix beside the eNTK while its eigenvalues are taken.
EIGENVALUE_COPIES = 3
LIMIT_COPIES = 3  # of the n × n kernel at infinite width, in float64
COMPILE_SECONDS = 1.0  # per width, the first time


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


def estimate_sweep(plan: SweepPlan, *, store: CellStore | None = None) -> SweepEstimate:
    """Memory and time of what a sweep has still to compute.

    The time is that of the operations at this machine's own rate of matrix products, plus compilation.

    Args:
        plan: the sweep.
        store: where finished cells are looked for; None for the user's cache directory.

    Returns:
        The :class:`SweepEstimate`.

    Raises:
        InvalidInput: the data do not fit the network, or hold fewer examples than asked for.
    """
    from ntk_explorer.reading.machine import matmul_rate  # not above: it imports jax

    store, data = store or CellStore(), load(plan.data)
    missing = [width for (width, _), key in cell_keys(plan, data).items() if key not in store]
    if not missing:
        return SweepEstimate(0, 0.0, 0, plan.seeds * len(plan.widths))
    costs = {width: cell_estimate(plan, data, width) for width in set(missing)}
    rate = matmul_rate(plan.dtype)
    seconds = sum(costs[width].seconds(rate) for width in missing) + COMPILE_SECONDS * len(costs)
    seconds += WidthLimit(plan, data).seconds
    return SweepEstimate(
        max(cost.bytes for cost in costs.values()),
        seconds,
        len(missing),
        len(plan.cells) - len(missing),
        max(missing),
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


def require_memory(plan: SweepPlan, data: LabelledData, width: int) -> None:
    """Refuse a cell that does not fit in memory, or whose eNTK has too many eigenvalues to take all of them.

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
    cell_estimate(plan, data, width).require(available_bytes(), remedy)


def describe_sweep(plan_json: str) -> dict:
    """The estimate of a sweep as a dict, with ``refusal`` in words when it cannot be run; for the worker process."""
    plan = SweepPlan.model_validate_json(plan_json)
    try:
        cost = estimate_sweep(plan)
        if cost.cells:
            require_memory(plan, load(plan.data), cost.widest)
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
