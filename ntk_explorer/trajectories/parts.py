"""What the parts of a trajectory are in the store: its trainings with their checkpoints, and its moments."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ntk_explorer.store import Identity
from ntk_explorer.sweeps.plan import DERIVED
from ntk_explorer.training.checkpoints import StoredTraining
from ntk_explorer.trajectories.plan import TrajectoryPlan
from ntk_explorer.trajectories.setting import Facts

MOMENTS = "trajectory-moment"
REVISION = 2  # raise it when a moment's numbers or names change: stored ones are then computed again

Run = tuple[int, bool]  # of one width, of the networks or of the linearised ones
Place = tuple[int, int, int]  # width, number of the initialisation, epoch


@dataclass(frozen=True, eq=False)
class Parts:
    """Every training and every moment of a plan."""

    plan: TrajectoryPlan
    facts: Facts
    trainings: dict[Run, StoredTraining]
    moments: dict[Place, Identity]

    @classmethod
    def of(cls, plan: TrajectoryPlan, facts: Facts) -> Parts:
        """The parts of a plan, given what its examples are."""
        kinds = (False, True) if plan.linearised else (False,)
        runs = [(width, linearised) for width in plan.widths for linearised in kinds]
        trainings = {run: training_of(plan, facts, *run) for run in runs}
        moments = {
            (width, index, epoch): Identity(
                MOMENTS,
                REVISION,
                # Which network it is says its checkpoint.
                {"kernels": plan.kernels, "points": plan.points, "ridge": plan.ridge, "index": index},
                inputs=tuple(trainings[width, linearised].checkpoint(epoch).key for linearised in kinds),
                fingerprint=facts.examples,
                dtype="float64",
            )
            for width, index, epoch in plan.moments
        }
        return cls(plan, facts, trainings, moments)

    @property
    def keys(self) -> list[str]:
        """Of the last checkpoint of every training and of every moment: all there, the trajectory is whole."""
        last = self.plan.training.epochs
        return [training.checkpoint(last).key for training in self.trainings.values()] + [
            identity.key for identity in self.moments.values()
        ]

    @property
    def checkpoints(self) -> list[str]:
        """Keys of the other checkpoints, those that moments were computed from."""
        known = set(self.keys)
        return list(dict.fromkeys(k for moment in self.moments.values() for k in moment.inputs if k not in known))

    def missing_moments(self, present: Collection[str]) -> list[Place]:
        """Those that a store with these keys lacks."""
        return [place for place, identity in self.moments.items() if identity.key not in present]

    def missing_epochs(self, run: Run, present: Collection[str]) -> list[int]:
        """Epochs of a training whose checkpoints are needed and not there: the last, and those of missing moments."""
        wanted = {self.plan.training.epochs}
        wanted |= {epoch for width, _, epoch in self.missing_moments(present) if width == run[0]}
        training = self.trainings[run]
        return [epoch for epoch in sorted(wanted) if training.checkpoint(epoch).key not in present]


def training_of(plan: TrajectoryPlan, facts: Facts, width: int, linearised: bool) -> StoredTraining:
    """What a training is in the store."""
    shaped = {"width": width, "inputs": list(facts.inputs), "outputs": facts.outputs, "seed": plan.seed}
    network = plan.network.model_dump(mode="json", exclude=set(DERIVED)) | shaped
    sizes = plan.seeds, plan.seed, plan.dtype
    return StoredTraining(network, plan.training, facts.trained_on, *sizes, linearised=linearised)
