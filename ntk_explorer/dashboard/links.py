"""The state of the page as a short link, and back.

A link holds only what differs from the defaults, under readable keys, plus ``v=1``. It is read like any
other stranger's input: each value is checked by the configuration it belongs to; what does not fit is
replaced by the nearest bound or the default, and a notice names both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ntk_explorer.architectures import ARCHITECTURES, configure
from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.dashboard.queries import changed, checked
from ntk_explorer.dashboard.training_state import (
    OPTIONS,
    Options,
    TrainingOptions,
    TrainingSize,
    TrainingView,
    first_kernel,
    options_of,
    possible,
    sidebar_of,
    snapped,
)
from ntk_explorer.datasets import DATASETS, DataConfig
from ntk_explorer.errors import NTKExplorerError, explain_validation
from ntk_explorer.kernels import KERNELS, incomparable
from ntk_explorer.sweeps.plan import DERIVED, SweepPlan, plan_sweep
from ntk_explorer.training.config import TrainingConfig
from ntk_explorer.trajectories.plan import TrajectoryPlan

VERSION = "1"
GROUPS = ("data", "network", "kernel", "training")

# Keys of the link that are named differently from their field.
DATA_KEYS = {"name": "data", "n": "n", "classes": "classes", "seed": "data_seed"}
SWEEP_KEYS = {"widths": "widths", "seeds": "seeds", "seed": "seed", "kernels": "kernels", "dtype": "dtype"}
VIEW_KEYS = {"draw": "init"}
TRAINING_KEYS = {name: name for name in TrainingConfig.model_fields}
OPTION_KEYS = {name: name for name in OPTIONS} | {
    name: f"train_{name}" for name in ("n", "widths", "seeds", "kernels", "dtype")
}
MOMENT_KEYS = {
    "epoch": "epoch", "width": "train_width", "draw": "train_init", "kernel": "train_kernel", "start": "from",
}  # fmt: skip


class View(BaseModel):
    """What of a result is looked at; changing it computes no kernel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tab: str = Field(default="width", description="open tab", pattern="^[a-z_]{1,40}$")
    width: int | None = Field(default=None, ge=1, le=65536, description="width shown (none: the widest)")
    draw: int = Field(default=0, ge=0, le=63, description="initialisation shown, counted from 0")
    kernel: str | None = Field(default=None, description="kernel shown beside the eNTK (none: the first of the sweep)")
    i: int | None = Field(default=None, ge=0, le=100_000, description="row of the chosen cell")
    j: int | None = Field(default=None, ge=0, le=100_000, description="column of the chosen cell")
    explain: bool = Field(default=True, description="show the Explain card")
    text: bool = Field(default=True, description="show explaining text inside the tabs")
    hide: tuple[str, ...] = Field(
        default=(), description="groups of controls to leave out: data, network, kernel, training"
    )


class ExplorerState(BaseModel):
    """Everything a link carries: the sweep, the training of its networks, and what of both is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: SweepPlan = Field(default_factory=lambda: plan_sweep())
    view: View = Field(default_factory=lambda: View())
    training: Options = Field(default_factory=lambda: TrainingOptions())
    moment: TrainingView = Field(default_factory=lambda: TrainingView())

    def look(self, **changes) -> ExplorerState:
        """The same sweep seen differently, snapped to what it holds."""
        return self.model_copy(update={"view": _snapped(self.plan, View(**(self.view.model_dump() | changes)))})

    def sweep(self, plan: SweepPlan) -> ExplorerState:
        """Another sweep, seen as this one was where that is possible."""
        changed = plan.data != self.plan.data
        view = self.view.model_copy(update={"i": None, "j": None}) if changed else self.view
        return self.model_copy(update={"plan": plan, "view": _snapped(plan, view)})

    @property
    def trajectory(self) -> TrajectoryPlan | None:
        """The training of this data and network; None where the options do not fit them."""
        return possible(self.plan, self.training)

    def train(self, trajectory: TrajectoryPlan) -> ExplorerState:
        """Another training, with its data and network on the left, seen as this one was where that is possible."""
        moved = self.sweep(sidebar_of(trajectory, self.plan))
        options, moment = options_of(trajectory), snapped(trajectory, self.moment)
        return moved.model_copy(update={"training": options, "moment": moment})

    def look_at(self, **changes) -> ExplorerState:
        """The same training seen differently, snapped to what it holds."""
        moment, trajectory = TrainingView(**(self.moment.model_dump() | changes)), self.trajectory
        return self.model_copy(update={"moment": snapped(trajectory, moment) if trajectory else moment})

    @property
    def width(self) -> int:
        """The width shown."""
        return self.view.width or self.plan.widths[-1]

    @property
    def kernel(self) -> str:
        """The kernel shown beside the eNTK."""
        return self.view.kernel or self.plan.kernels[0]


def _snapped(plan: SweepPlan, view: View) -> View:
    """The view with its width, initialisation and kernel among those of the plan."""
    wanted = view.width or plan.widths[-1]
    width = min(plan.widths, key=lambda known: abs(known - wanted))
    kernel = view.kernel if view.kernel in plan.kernels else None
    n = plan.data.n
    cell = (None if index is None or index >= n else index for index in (view.i, view.j))
    i, j = cell
    return view.model_copy(
        update={
            "width": None if width == plan.widths[-1] else width,
            "draw": min(view.draw, plan.seeds - 1),
            "kernel": None if kernel == plan.kernels[0] else kernel,
            "i": i if j is not None else None,
            "j": j if i is not None else None,
            "hide": tuple(group for group in GROUPS if group in view.hide),
        }
    )


def to_query(state: ExplorerState) -> str:
    """The link's query, ``?v=1&…``, with the values that differ from the defaults.

    The path of an uploaded file stays out: a link must not name files of the machine that opens it.
    """
    plan, view = state.plan, state.view
    network = plan.network.model_dump(exclude={"architecture", *DERIVED})
    sweep = {name: getattr(plan, name) for name in SWEEP_KEYS}
    pairs = {"v": VERSION}
    pairs |= changed({name: getattr(plan.data, name) for name in DATA_KEYS}, plan_sweep().data, DATA_KEYS)
    if plan.network.architecture != plan_sweep().network.architecture:
        pairs["arch"] = plan.network.architecture
    pairs |= changed(network, configure(plan.network.architecture), _network_keys(plan.network))
    pairs |= changed(sweep, plan_sweep(network=plan.network), SWEEP_KEYS)
    pairs |= changed(view.model_dump(), View(), VIEW_KEYS)
    pairs |= changed(state.training.training.model_dump(), TrainingConfig(), TRAINING_KEYS)  # pyright: ignore[reportCallIssue]
    pairs |= changed({name: getattr(state.training, name) for name in OPTIONS}, TrainingOptions(), OPTION_KEYS)
    pairs |= changed(state.moment.model_dump(), TrainingView(), MOMENT_KEYS)
    return "?" + urlencode(pairs, safe=",")


def _network_keys(config: BaseModel | type[BaseModel]) -> dict[str, str]:
    """Key of each option of an architecture; an option that is called like another key gets a prefix."""
    taken = {"v", "arch", *(VIEW_KEYS.get(k, k) for k in View.model_fields)}
    taken |= {key for keys in (DATA_KEYS, SWEEP_KEYS, TRAINING_KEYS, OPTION_KEYS, MOMENT_KEYS) for key in keys.values()}
    model = config if isinstance(config, type) else type(config)
    options = [name for name in model.model_fields if name not in ("architecture", *DERIVED)]
    return {name: f"net_{name}" if name in taken else name for name in options}


def from_query(arguments: Mapping[str, str]) -> tuple[ExplorerState, list[str]]:
    """The state that a link describes, and one sentence for each value that had to be replaced.

    Args:
        arguments: the link's keys and values, as text.

    Returns:
        A state that is always valid, and the notices (not yet escaped for display).
    """
    given = {key: value for key, value in arguments.items() if key != "v"}
    notices = []
    if arguments.get("v", VERSION) != VERSION:
        notices.append(f"This link is of version {arguments['v'][:20]!r}; it was read as version {VERSION}.")
    if given.get("data") == "npz":
        notices.append("This link was made with an uploaded file, which links do not carry. Please upload it again.")

    architecture = _known(given.pop("arch", "mlp"), ARCHITECTURES, "mlp", notices)
    if "data" in given:
        given["data"] = _known(given["data"], DATASETS, "digits", notices)
    if "kernels" in given:
        given["kernels"] = ",".join(_comparable(given["kernels"].split(","), notices))

    config = ARCHITECTURES[architecture].config
    data = checked(DataConfig, given, DATA_KEYS, notices)
    network = checked(config, given, _network_keys(config), notices, architecture=architecture)
    sweep = checked(SweepPlan, given, SWEEP_KEYS, notices, data=data, network=network)
    view = checked(View, given, {name: VIEW_KEYS.get(name, name) for name in View.model_fields}, notices)
    trajectory = _trajectory(sweep, given, notices)
    moment = checked(TrainingView, given, MOMENT_KEYS, notices)
    notices += [f"The link's {key[:40]!r} is not known and was left out." for key in list(given)[:5]]
    state = ExplorerState(plan=sweep, view=_fitting(sweep, view, notices), training=options_of(trajectory))
    return state.model_copy(update={"moment": _fitting_moment(trajectory, moment, notices)}), notices


def _trajectory(sweep: SweepPlan, given: dict[str, str], notices: list[str]) -> TrajectoryPlan:
    """The training that a link describes, of the network and the data of its sweep."""
    training = checked(TrainingConfig, given, TRAINING_KEYS, notices)
    size = checked(TrainingSize, given, {"n": OPTION_KEYS["n"]}, notices).n
    data = sweep.data.model_dump(exclude={"n"}) | ({} if size is None else {"n": size})
    keys = {name: key for name, key in OPTION_KEYS.items() if name != "n"}
    fixed = {"data": data, "network": sweep.network, "seed": sweep.seed}
    try:
        TrajectoryPlan(training=training, **fixed)
    except ValidationError as error:  # the training does not fit the number of examples
        notices.append(f"{explain_validation(error)} Using all examples at every step.")
        training = training.model_copy(update={"batch_size": None})
    return checked(TrajectoryPlan, given, keys, notices, training=training, **fixed)


def _known(name: str, registry: Mapping[str, Any], default: str, notices: list[str]) -> str:
    try:
        _ = registry[name]
    except NTKExplorerError as error:
        notices.append(f"{error} Using {default}.")
        return default
    return name


def _comparable(names: list[str], notices: list[str]) -> list[str]:
    known = []
    for name in names[:50]:
        try:
            if not incomparable(KERNELS[name]):
                known.append(name)
        except NTKExplorerError as error:
            notices.append(f"{error} It was left out.")
    return known or list(plan_sweep().kernels)


def _fitting(plan: SweepPlan, view: View, notices: list[str]) -> View:
    snapped = _snapped(plan, view)
    if view.tab not in PAGES:
        notices.append(f"There is no tab {view.tab!r}. Showing {View().tab}.")
        snapped = snapped.model_copy(update={"tab": View().tab})
    if view.width is not None and view.width not in plan.widths:
        notices.append(f"Width {view.width} is not in this sweep. Showing {snapped.width or plan.widths[-1]}.")
    if view.draw > snapped.draw:
        notices.append(f"Initialisation {view.draw} is not in this sweep. Showing {snapped.draw}.")
    if view.kernel is not None and view.kernel not in plan.kernels:
        notices.append(f"Kernel {view.kernel[:40]!r} is not in this sweep. Showing {plan.kernels[0]}.")
    return snapped


def _fitting_moment(trajectory: TrajectoryPlan, view: TrainingView, notices: list[str]) -> TrainingView:
    fitting = snapped(trajectory, view)
    for name, shown in (("epoch", trajectory.kernel_at), ("width", trajectory.widths), ("kernel", trajectory.kernels)):
        wanted = getattr(view, name)
        if wanted is not None and wanted not in shown:
            used = getattr(fitting, name) or {"kernel": first_kernel(trajectory)}.get(name, shown[-1])
            notices.append(f"The training has no {name} {str(wanted)[:40]!r} to show. Showing {used}.")
    if view.draw > fitting.draw:
        notices.append(f"Initialisation {view.draw} is not in this training. Showing {fitting.draw}.")
    return fitting
