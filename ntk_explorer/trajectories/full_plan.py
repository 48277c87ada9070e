"""Kernel regression with all training examples at epochs of a training: what is to be computed, and what it takes.

For n training and m test examples a kernel of one number per pair, such as the pNTK, takes n (n + m) numbers: 24 GB for
the 50 000 + 10 000 images of CIFAR-10 in float64, half of it in float32, where blocks of 10 × 10 would take a hundred
times as much. Tiles are computed by any number of workers, one matrix after the other, and removed when their
predictions are known, so that the store needs room for one epoch only. The factorisation takes 8 n² bytes (20 GB) and
n³/3 operations (4·10¹³, seconds on a large GPU); see :func:`ntk_explorer.regression.solve.solve`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from ntk_explorer.amounts import human_bytes
from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels import KERNELS, incomparable
from ntk_explorer.kernels.estimate import Estimate
from ntk_explorer.store import Identity, Store
from ntk_explorer.sweeps.estimate import COMPILE_SECONDS, human_seconds
from ntk_explorer.sweeps.gram_plan import GramExamples, GramPlan, plan_gram
from ntk_explorer.sweeps.matrices import tile_cost
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.trajectories.estimate import Costs, kind_of
from ntk_explorer.trajectories.parts import Parts, Place, Run
from ntk_explorer.trajectories.plan import TrajectoryPlan
from ntk_explorer.trajectories.setting import Setting

PRODUCER = "full-regression"
REVISION = 1  # raise it when predictions change: stored ones are then computed again


@dataclass(frozen=True, eq=False)
class FullRegression:
    """Regression with one kernel of all training examples, for every network and kernel epoch of a trajectory.

    ``kernel`` has one number per pair of examples; ``dtype`` and ``precision`` are those of the kernel, while systems
    are solved in float64. ``solver`` is that of :func:`~ntk_explorer.regression.regression.kernel_regression`.
    """

    plan: TrajectoryPlan
    kernel: str = "pntk"
    dtype: str = "float64"
    precision: str = "highest"
    tile: int = 512
    solver: str = "auto"
    keep_matrices: bool = field(default=False, kw_only=True)

    def __post_init__(self):
        """Refuse kernels that have no place beside the network's outputs."""
        reason = "has blocks of n c rows" if self.kernel == "entk" else incomparable(KERNELS[self.kernel])
        if reason:
            raise InvalidInput(f"{self.kernel!r} {reason}", "Take pntk, trntk or single_logit.")
        self.matrices(self.plan.moments[0])

    @cached_property
    def setting(self) -> Setting:
        """The examples, all of which are points of the kernel."""
        return Setting.of(self.plan.model_copy(update={"points": self.plan.data.n}))

    @cached_property
    def parts(self) -> Parts:
        """What the trainings are in the store."""
        return Parts.of(self.plan.model_copy(update={"linearised": False}), self.setting.facts)

    @cached_property
    def examples(self) -> tuple[str, str]:
        """Fingerprints of the examples of both matrices."""
        train, test = self.setting.train, self.setting.test
        return GramExamples(train).fingerprint, GramExamples(test, train).fingerprint

    def matrices(self, place: Place, checkpoint: str | None = None) -> tuple[GramPlan, GramPlan]:
        """Of training examples with themselves, and of test with training examples."""
        (width, index, _), plan = place, self.plan
        sweep = plan_sweep(plan.data, plan.network, widths=[width], seeds=1, seed=plan.seed, dtype=self.dtype)
        options = {"kernel": self.kernel, "precision": self.precision, "tile": self.tile, "test": plan.test}
        options |= {"checkpoint": checkpoint, "member": index}
        return plan_gram(sweep, **options), plan_gram(sweep, rows="test", **options)

    def of(self, place: Place) -> tuple[tuple[GramPlan, GramPlan], Identity]:
        """The matrices of a network at an epoch, and what the predictions with them are in the store."""
        width, _, epoch = place
        both = self.matrices(place, self.parts.trainings[width, False].checkpoint(epoch).key)
        inputs = tuple(plan.identity(examples).key for plan, examples in zip(both, self.examples, strict=True))
        config = {"ridge": self.plan.ridge}
        return both, Identity(PRODUCER, REVISION, config, inputs, self.parts.facts.examples, "float64")

    def needed(self, places: Collection[Place]) -> set[str]:
        """Keys of predictions, and of the matrices and checkpoints that they are made from."""
        found = set()
        for place in places:
            (own, _), identity = self.of(place)
            found |= {identity.key, *identity.inputs, str(own.checkpoint)}
        return found

    @property
    def tiles(self) -> tuple[int, int]:
        """Tiles of both matrices of one network at one epoch; those below the diagonal come with those above."""
        side = -(-self.plan.data.n // self.tile)
        return side * (side + 1) // 2, side * -(-self.plan.test // self.tile)

    def tile_costs(self, width: int) -> tuple[Estimate, Estimate]:
        """Memory of one tile and operations of all, of both matrices.

        Raises:
            TooLarge: one tile does not fit in memory.
        """
        train, test = self.setting.train, self.setting.test
        own, across = self.matrices((width, 0, 0))
        return tile_cost(own, GramExamples(train)), tile_cost(across, GramExamples(test, train))

    def missing_epochs(self, places: Collection[Place], store: Store) -> dict[Run, list[int]]:
        """Epochs whose checkpoints these networks need and the store lacks, and the last, by training."""
        present, last, found = store.keys(), self.plan.training.epochs, {}
        for run, training in self.parts.trainings.items():
            wanted = {epoch for width, _, epoch in places if width == run[0]}
            if any(training.checkpoint(epoch).key not in present for epoch in wanted):
                found[run] = sorted(
                    {epoch for epoch in wanted if training.checkpoint(epoch).key not in present} | {last}
                )
        return found


@dataclass(frozen=True)
class FullEstimate:
    """Peak memory, room in the store, seconds, and networks still to regress with; ``found`` ones are in the store."""

    bytes: int
    stored: int
    seconds: float
    networks: int
    found: int

    def text(self) -> str:
        """For instance ``about 3 min, 180 MB of memory and 20 MB in the store``."""
        if not self.networks:
            return "already computed"
        memory, stored = human_bytes(self.bytes), human_bytes(self.stored)
        return f"about {human_seconds(self.seconds)}, {memory} of memory and {stored} in the store"


def estimate_full(work: FullRegression, *, store: Store | None = None, workers: int = 1) -> FullEstimate:
    """Memory, room and time of what is missing: trainings, tiles and factorisations.

    Args:
        work: what is to be computed.
        store: where finished parts are looked for; None for the user's own.
        workers: tiles computed at a time, on this machine.

    Raises:
        TooLarge: one tile does not fit in memory.
        InvalidInput: the data do not fit the network, or hold fewer examples than asked for, or equal ones.
    """
    from ntk_explorer.reading.machine import matmul_rate  # not above: it imports jax

    store = store or Store()
    present, plan = store.keys(), work.plan
    missing = [place for place in plan.moments if work.of(place)[1].key not in present]
    if not missing:
        return FullEstimate(0, 0, 0.0, 0, len(plan.moments))
    n, m, costs = plan.data.n, plan.test, Costs(work.parts)
    rate, peak, seconds = matmul_rate(work.dtype), 8 * n**2, 0.0
    for width in {width for width, _, _ in missing}:
        tiles = work.tile_costs(width)
        peak = max(peak, *(tile.bytes * workers for tile in tiles))
        count = sum(place[0] == width for place in missing)
        seconds += COMPILE_SECONDS + count * sum(tile.seconds(rate) for tile in tiles) / workers
    seconds += len(missing) * n**3 / 3 / matmul_rate("float64")
    trainings = work.missing_epochs(missing, store)
    seconds += sum(costs.seconds[kind_of(run)] * plan.training.epochs + COMPILE_SECONDS for run in trainings)
    stored = n * (n + m) * (8 if work.dtype == "float64" else 4) * (len(missing) if work.keep_matrices else 1)
    return FullEstimate(peak, stored, seconds, len(missing), len(plan.moments) - len(missing))
