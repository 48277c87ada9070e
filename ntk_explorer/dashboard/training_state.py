"""What a link says of training: options beside the sidebar's data and network, and what of it is looked at."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from ntk_explorer.errors import NTKExplorerError
from ntk_explorer.sweeps.plan import SweepPlan
from ntk_explorer.training.config import TrainingConfig
from ntk_explorer.trajectories.plan import TrajectoryPlan, plan_trajectory

# Of these a plan knows its own: by the data set, or by the number of examples.
SIZES: dict[str, Any] = {
    "n": (int | None, Field(None, ge=2, le=100_000, description="examples to train on (none: the data set's own)")),
    "test": (int | None, Field(None, ge=1, le=100_000, description="examples to test on (none: the data set's own)")),
    "points": (int | None, Field(None, ge=2, le=20_000, description="training examples that kernels are computed on")),
}
# Of these the sidebar's groups on data and network decide.
ELSEWHERE = ("schema_version", "data", "network", "seed", "training")


class Options(BaseModel):
    """How to train: the part of :data:`TrainingOptions` that is a configuration of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: TrainingConfig = TrainingConfig()  # pyright: ignore[reportCallIssue]


_OWN = {
    name: (field.annotation, field)
    for name, field in TrajectoryPlan.model_fields.items()
    if name not in (*ELSEWHERE, *SIZES)
}
# The fields of a trajectory that are chosen on the Training tab: bounds, words and defaults are the plan's own.
TrainingOptions: Any = create_model("TrainingOptions", __base__=Options, **SIZES, **_OWN)  # pyright: ignore
TrainingSize: Any = create_model("TrainingSize", n=SIZES["n"])
OPTIONS = tuple(name for name in TrainingOptions.model_fields if name != "training")


class TrainingView(BaseModel):
    """What of a training is looked at; changing it computes nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int | None = Field(default=None, ge=0, le=1_000_000, description="kernel epoch shown (none: the last)")
    width: int | None = Field(default=None, ge=1, le=65536, description="width shown (none: the widest)")
    draw: int = Field(default=0, ge=0, le=63, description="initialisation shown, counted from 0")
    kernel: str | None = Field(default=None, description="kernel shown beside the eNTK (none: the first)")
    start: Literal["network", "zero"] = Field(
        default="network", description="what kernel regression starts from: the network at the epoch shown, or zero"
    )


def trajectory_of(plan: SweepPlan, options: Any) -> TrajectoryPlan:
    """The training of the sidebar's data and network.

    Raises:
        InvalidInput: the options do not fit one another, or the data.
    """
    sizes = {} if options.n is None else {"n": options.n}
    given = {name: value for name in OPTIONS if name != "n" and (value := getattr(options, name)) not in (None, ())}
    return plan_trajectory(
        plan.data.model_dump(exclude={"n"}) | sizes, plan.network, seed=plan.seed, training=options.training, **given
    )


def options_of(trajectory: TrajectoryPlan) -> Any:
    """What has to be said of a training beside data and network: what a plan would not choose by itself."""
    data, network, training = trajectory.data.model_dump(), trajectory.network, trajectory.training
    own = plan_trajectory(data, network, training=training)
    given = {name: getattr(trajectory, name) for name in OPTIONS if name != "n"}
    given = {name: value for name, value in given.items() if value != getattr(own, name)}
    usual = plan_trajectory({name: value for name, value in data.items() if name != "n"}, network).data.n
    return TrainingOptions(training=training, n=None if data["n"] == usual else data["n"], **given)


def sidebar_of(trajectory: TrajectoryPlan, plan: SweepPlan) -> SweepPlan:
    """The sweep with the data, network and seed of a training; how many examples it looks at stays."""
    data = trajectory.data.model_copy(update={"n": plan.data.n})
    return plan.model_copy(update={"data": data, "network": trajectory.network, "seed": trajectory.seed})


def snapped(trajectory: TrajectoryPlan, view: TrainingView) -> TrainingView:
    """The view with its epoch, width, initialisation and kernel among those of the training."""
    epoch = nearest(view.epoch, trajectory.kernel_at)
    width = nearest(view.width, trajectory.widths)
    return view.model_copy(
        update={
            "epoch": None if epoch == trajectory.kernel_at[-1] else epoch,
            "width": None if width == trajectory.widths[-1] else width,
            "draw": min(view.draw, trajectory.seeds - 1),
            "kernel": None if view.kernel in (None, first_kernel(trajectory)) else _known(view.kernel, trajectory),
        }
    )


def first_kernel(trajectory: TrajectoryPlan) -> str:
    """The kernel that is shown unless another is chosen: the first beside the eNTK, where there is one."""
    return (*trajectory.compared, "entk")[0]


def nearest(wanted: int | None, known: tuple[int, ...]) -> int:
    """The known number closest to a wanted one; the last where none is wanted."""
    return known[-1] if wanted is None else min(known, key=lambda value: abs(value - wanted))


def _known(kernel: str | None, trajectory: TrajectoryPlan) -> str | None:
    return kernel if kernel in trajectory.kernels else None


def possible(plan: SweepPlan, options: Any) -> TrajectoryPlan | None:
    """The training, or None where the options do not fit."""
    try:
        return trajectory_of(plan, options)
    except NTKExplorerError:
        return None
