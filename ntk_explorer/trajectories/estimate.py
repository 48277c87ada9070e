"""What a trajectory will cost, said before it starts, and refused when memory cannot hold it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ntk_explorer.architectures import build
from ntk_explorer.errors import NTKExplorerError, TooLarge
from ntk_explorer.kernels.estimate import Estimate, estimate, human_bytes
from ntk_explorer.spectra.eigen import choose_solver
from ntk_explorer.store import Store
from ntk_explorer.sweeps.estimate import COMPILE_SECONDS, EIGENVALUE_COPIES, EIGENVALUE_COST, human_seconds
from ntk_explorer.trajectories.moments import HELD, PART
from ntk_explorer.trajectories.pace import Kind
from ntk_explorer.trajectories.parts import Parts, Place, Run
from ntk_explorer.trajectories.plan import TrajectoryPlan
from ntk_explorer.trajectories.setting import Facts

# Passes through the network as long as one forward pass: a step with its gradient, and that of the linearised network.
STEP, LINEARISED_STEP = 3, 8
EVALUATION, LINEARISED_EVALUATION = 1, 3
# The products of a step are small: they take so many times as long as at the machine's rate of large ones.
SMALL = 3.0
EPOCH_SECONDS = 0.02  # whatever the network
# Arrays of the parameters' size: initial, present and next ones, gradients, and two of the optimiser.
COPIES = 8
LOOKED_AT = 1024  # examples of a forward pass whose operations are counted


@dataclass(frozen=True)
class TrajectoryEstimate:
    """Peak memory, seconds, and how many trainings and kernels are still to compute; ``found`` are in the store."""

    bytes: int
    seconds: float
    parts: int
    found: int

    def text(self) -> str:
        """For instance ``about 40 s, 180 MB``."""
        return f"about {human_seconds(self.seconds)}, {human_bytes(self.bytes)}" if self.parts else "already computed"


class Costs:
    """Memory and operations of each kind of work of a plan, from shapes alone."""

    def __init__(self, parts: Parts):
        """Look at nothing yet."""
        self.parts, self._known = parts, {}

    def of(self, kind: Kind) -> Estimate:
        """One epoch of an ensemble, or the kernels of one network at one epoch."""
        if kind not in self._known:
            self._known |= self._at(kind.width)
        return self._known[kind]

    @cached_property
    def seconds(self) -> Mapping[Kind, float]:
        """What one piece of each kind takes."""
        from ntk_explorer.reading.machine import matmul_rate  # not above: it imports jax

        plan, found = self.parts.plan, {}
        for width in plan.widths:
            for kind in (Kind("epochs", width), Kind("linearised epochs", width)):
                found[kind] = EPOCH_SECONDS + self.of(kind).seconds(matmul_rate(plan.dtype)) * SMALL
            kernels = Kind("kernels", width)
            found[kernels] = self.of(kernels).seconds(matmul_rate("float64"))
        return found

    def _at(self, width: int) -> dict[Kind, Estimate]:
        import jax  # not above: plans and results are handled without jax

        plan, facts = self.parts.plan, self.parts.facts
        config = plan.network.replace(width=width, inputs=facts.inputs, outputs=facts.outputs)
        with jax.enable_x64(True):
            network = build(config)
            params = jax.eval_shape(network.init, jax.random.key(0))
            return self._trainings(network, params, width) | {Kind("kernels", width): self._kernels(network, params)}

    def _trainings(self, network: Any, params: Any, width: int) -> dict[Kind, Estimate]:
        from ntk_explorer.training._loop import PART as AT_A_TIME  # not above: it imports jax

        plan, facts = self.parts.plan, self.parts.facts
        itemsize = 8 if plan.dtype == "float64" else 4
        forward, numbers, largest = _one_example(network.apply, params, facts.inputs)
        size = sum(math.prod(leaf.shape) for leaf in _leaves(params))
        n, test, seeds = plan.data.n, plan.test, plan.seeds
        batch = min(plan.training.batch_size or n, n, AT_A_TIME)
        working = 2 * max(batch * numbers, min(max(n, test), AT_A_TIME) * largest) * itemsize
        # Examples are held as they were read, standardised, and in the dtype of the training.
        held = seeds * (COPIES * size * itemsize + working) + (n + test) * math.prod(facts.inputs) * (16 + itemsize)
        epoch, linear = (
            seeds * forward * (n * step + (n + test) * evaluation)
            for step, evaluation in ((STEP, EVALUATION), (LINEARISED_STEP, LINEARISED_EVALUATION))
        )
        what = f"Training {seeds} network{'s' * (seeds > 1)} of width {width}"
        return {
            Kind("epochs", width): Estimate(what, int(held), epoch),
            Kind("linearised epochs", width): Estimate(f"{what}, linearised", int(2 * held), linear),
        }

    def _kernels(self, network: Any, params: Any) -> Estimate:
        import jax  # not above: plans and results are handled without jax

        plan, facts = self.parts.plan, self.parts.facts
        n, c, rows = plan.points, facts.outputs, plan.test + len(facts.known.get("grid_input", ()))
        x, others = (
            jax.ShapeDtypeStruct((k, *facts.inputs), "float64") for k in (n, min(rows, PART // (n * c * c * 8)))
        )
        names = ("entk",) if "entk" in plan.kernels else plan.kernels
        own = [estimate(name, network.apply, params, x) for name in names]
        against = [estimate(name, network.apply, params, others, x) for name in names]
        size = n * c if "entk" in plan.kernels else n
        initial = size**2 * 8 * (1 if size**2 * 8 <= HELD else 2)
        flops = sum(cost.flops for cost in own) * 1.1 + sum(cost.flops for cost in against) * rows / others.shape[0]
        solving = EIGENVALUE_COST * (size**3 + len(plan.compared) * n**3) + size**3 / 3
        return Estimate(
            f"The kernels of {n} points ({size} × {size})",
            int(max(cost.bytes for cost in (*own, *against)) + EIGENVALUE_COPIES * size**2 * 8 + initial + PART),
            flops + solving,
        )


def _leaves(tree: Any) -> list:
    import jax  # not above: plans and results are handled without jax

    return jax.tree.leaves(tree)


def _one_example(f: Any, params: Any, inputs: tuple[int, ...]) -> tuple[float, int, int]:
    """Operations of a forward pass per example, numbers that it leaves behind, and the most of one layer."""
    import jax  # not above: plans and results are handled without jax

    x = jax.ShapeDtypeStruct((LOOKED_AT, *inputs), "float64")
    flops = (jax.jit(f).lower(params, x).cost_analysis() or {}).get("flops", 0.0)
    sizes = [math.prod(v.aval.shape) for eqn in jax.make_jaxpr(f)(params, x).eqns for v in eqn.outvars]
    return float(flops) / LOOKED_AT, sum(sizes) // LOOKED_AT, max(sizes, default=0) // LOOKED_AT


def estimate_trajectory(plan: TrajectoryPlan, *, store: Store | None = None, workers: int = 1) -> TrajectoryEstimate:
    """Memory and time of what a trajectory has still to compute.

    Args:
        plan: the trajectory.
        store: where finished parts are looked for; None for the user's own.
        workers: parts computed at a time, on this machine.

    Raises:
        InvalidInput: the data do not fit the network, or hold fewer examples than asked for, or equal ones.
    """
    return estimate_parts(Parts.of(plan, Facts.of(plan)), store or Store(), workers=workers)


def estimate_parts(parts: Parts, store: Store, *, workers: int = 1) -> TrajectoryEstimate:
    """The same, where the examples have been read."""
    present = store.keys()
    trainings = [run for run in parts.trainings if parts.missing_epochs(run, present)]
    moments = parts.missing_moments(present)
    missing = len(trainings) + len(moments)
    if not missing:
        return TrajectoryEstimate(0, 0.0, 0, len(parts.keys))
    costs, last = Costs(parts), parts.plan.training.epochs
    kinds = [kind_of(run) for run in trainings]
    seconds = sum(costs.seconds[kind] * last + COMPILE_SECONDS for kind in kinds)
    seconds += sum(costs.seconds[Kind("kernels", width)] for width, _, _ in moments)
    seconds += COMPILE_SECONDS * len({width for width, _, _ in moments})
    kinds += [Kind("kernels", width) for width, _, _ in moments]
    peak = max(costs.of(kind).bytes for kind in set(kinds))
    return TrajectoryEstimate(peak * workers, seconds / workers, missing, len(parts.keys) - missing)


def kind_of(run: Run) -> Kind:
    """The kind of work that an epoch of a training is."""
    return Kind("linearised epochs" if run[1] else "epochs", run[0])


def require_memory(costs: Costs, trainings: Collection[Run], moments: Collection[Place], *, workers: int = 1) -> None:
    """Refuse work that does not fit in memory, one piece per worker, or whose kernels have too many eigenvalues.

    Raises:
        TooLarge: with both figures and what to lower.
    """
    from ntk_explorer.reading.machine import available_bytes  # not above: it imports jax

    plan, outputs = costs.parts.plan, costs.parts.facts.outputs
    size = plan.points * (outputs if "entk" in plan.kernels else 1)
    if moments and choose_solver(size, "float64", "cpu") == "lanczos":
        raise TooLarge(
            f"All eigenvalues of a kernel of {size} rows are too many",
            "Lower the number of points or of classes, or leave the eNTK out of the kernels.",
        )
    kinds = {kind_of(run) for run in trainings} | {Kind("kernels", width) for width, _, _ in moments}
    largest = max((costs.of(kind) for kind in kinds), key=lambda cost: cost.bytes)
    remedy = "Lower the number of points, of classes, of examples or seeds, or the widths."
    if workers > 1:
        largest = replace(largest, what=f"{largest.what}, {workers} at a time", bytes=largest.bytes * workers)
        remedy = f"Take fewer workers. {remedy}"
    largest.require(available_bytes(), remedy)


def describe_trajectory(plan_json: str, store: str | None = None, workers: int = 1) -> dict:
    """The estimate as a dict, with ``refusal`` in words when the trajectory cannot be run; for the worker process."""
    plan = TrajectoryPlan.model_validate_json(plan_json)
    try:
        kept, parts = Store(store), Parts.of(plan, Facts.of(plan))
        cost, present = estimate_parts(parts, kept, workers=workers), kept.keys()
    except NTKExplorerError as error:
        return {"refusal": str(error)}
    said = {**vars(cost), "text": cost.text(), "refusal": ""}
    try:
        if cost.parts:
            runs = [run for run in parts.trainings if parts.missing_epochs(run, present)]
            require_memory(Costs(parts), runs, parts.missing_moments(present), workers=workers)
    except TooLarge as error:
        said["refusal"] = str(error)
    return said
