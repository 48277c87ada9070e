"""The training on the screen: live curves while it runs, kernels as they come, and the epoch that is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import param

from ntk_explorer.dashboard.job_model import JOB, JobModel
from ntk_explorer.dashboard.training_state import first_kernel, nearest, snapped
from ntk_explorer.trajectories.assembly import Curves, Moment, assemble_trajectory
from ntk_explorer.trajectories.kept import title
from ntk_explorer.trajectories.plan import TrajectoryPlan

if TYPE_CHECKING:
    import xarray as xr

TRAJECTORY = "ntk_explorer.trajectories.run:trajectory_events"
ESTIMATE = "ntk_explorer.trajectories.estimate:describe_trajectory"


class TrainingModel(JobModel):
    """What the Training tab shows; its state is the session's."""

    history = param.Parameter(default=None, doc="the same Dataset, new whenever an epoch has been trained")

    def __init__(self, session: JobModel, **params):
        """Nothing is asked of the worker before :meth:`compute`."""
        super().__init__(
            session.worker, store=session.store, engine=session.engine, state=session.state, later=session.later,
            **params,
        )  # fmt: skip
        self._session = session
        self._parts: dict[tuple, Curves | Moment] = {}
        self._known: dict[str, Any] = {}
        self._drawn: TrajectoryPlan | None = None  # of the result
        self._running: TrajectoryPlan | None = None
        self._total, self._where = 0, ""
        self._there: tuple[Any, Any] = None, None  # of a result: which networks have kernels at which epochs
        session.param.watch(lambda event: self._take_over(event.new), "state")
        session.param.watch(lambda event: self.param.update(dark=event.new), "dark")

    def _take_over(self, state) -> None:
        self.param.update(state=state, stale=self._drawn is not None and state.trajectory != self._drawn)

    @property
    def plan(self) -> TrajectoryPlan | None:
        """The training of the state; None where its options do not fit its data."""
        return self.state.trajectory

    @property
    def drawn(self) -> TrajectoryPlan | None:
        """The training that the result belongs to."""
        return self._drawn

    @property
    def total(self) -> int:
        """Epochs and kernels of all networks."""
        return self._total

    @property
    def doing(self) -> str:
        """The epoch that has been trained last, or the kernel that has come last."""
        return self._where or "Preparing the training …"

    @property
    def done(self) -> str:
        """What there is now."""
        plan = self._drawn
        if plan is None:
            return "nothing"
        return f"{plan.training.epochs} epochs, kernels at {len(plan.kernel_at)} of them"

    @property
    def view(self):
        """What of the result is looked at."""
        return snapped(self._drawn, self.state.moment) if self._drawn else self.state.moment

    @property
    def epoch(self) -> int:
        """The kernel epoch shown: the chosen one, or the last whose kernels are there."""
        assert self._drawn is not None
        wanted = nearest(self.view.epoch, self._drawn.kernel_at)
        there = [epoch for epoch in self.epochs if epoch <= wanted]
        return there[-1] if there else self._drawn.kernel_at[0]

    @property
    def epochs(self) -> list[int]:
        """Kernel epochs of the network shown that are there."""
        if self.result is None or self._drawn is None:
            return []
        if self._there[0] is not self.result:
            largest = self.result["eigenvalues"].isel(rank=0).transpose("width", "seed", "at", "kernel")
            self._there = self.result, largest.notnull().any("kernel").values
        there = self._there[1][self._drawn.widths.index(self.width), self.view.draw]
        return [epoch for epoch, known in zip(self._drawn.kernel_at, there, strict=True) if known]

    @property
    def width(self) -> int:
        """The width shown."""
        assert self._drawn is not None
        return self.view.width or self._drawn.widths[-1]

    @property
    def kernel(self) -> str:
        """The kernel shown."""
        assert self._drawn is not None
        return self.view.kernel or first_kernel(self._drawn)

    @property
    def compared(self) -> str:
        """The kernel whose error is shown: of the eNTK there is none."""
        assert self._drawn is not None
        return self.kernel if self.kernel in self._drawn.compared else self._drawn.compared[0]

    def look(self, **changes) -> None:
        """Look at another epoch, width, initialisation or kernel."""
        state = self.state.look_at(**changes)
        if state != self.state:
            self._session.state = state

    def run(self, plan: TrajectoryPlan, *, longest: float | None = None) -> None:
        """Take another training, with its data and network, and compute it."""
        self._session.state = self.state.train(plan)
        self.compute(longest=longest)

    def compute(self, *, longest: float | None = None) -> None:
        """Train as the present state says; the last result stays until the first epoch is there."""
        self._leave()
        self._forget(JOB)
        plan = self.plan
        if plan is None:
            self.param.update(status="failed", message="These options do not fit the data.")
            return
        self._parts, self._known, self._running, self._where = {}, {}, plan, ""
        stale = self.result is not None and self._drawn != plan
        self.param.update(status="queued", step=0, seconds_left=None, message="", stale=stale)
        plan_json = plan.model_dump_json()
        self._submit(TRAJECTORY, {"plan_json": plan_json, "longest": longest}, key=plan_json, label=title(plan))

    def ask_estimate(self, plan: TrajectoryPlan) -> None:
        """Fetch what a training would cost; a refusal becomes text."""
        self._ask_estimate(ESTIMATE, {"plan_json": plan.model_dump_json()}, plan.data.path)

    def _absorb(self, events: list[dict]) -> dict[str, Any]:
        plan, kernels = self._running, False
        assert plan is not None
        for event in events:
            self._known |= event.get("known") or {}
            self._total = event.get("total", self._total)
            for part in event.get("parts", ()):
                kernels |= isinstance(part, Moment)
                self._parts[part.place] = part
                self._where = _words(part, plan)
        if not self._parts or not any(event.get("parts") for event in events):
            return {}
        first = self._drawn != plan
        self._drawn = plan
        dataset = assemble_trajectory(plan, self._known, self._parts.values())
        return {"history": dataset, "stale": False} | ({"result": dataset} if kernels or first else {})

    def show(self, plan: TrajectoryPlan, dataset: xr.Dataset, *, whole: bool) -> None:
        """Take a training that is at hand, for instance from the store; nothing is computed."""
        self._leave()
        self._forget(JOB)
        self._drawn = self._running = plan
        self._session.state = self.state.train(plan)
        status, self._total = "done" if whole else "cancelled", self._total or 1
        self.param.update(
            history=dataset, result=dataset, stale=False, status=status, seconds_left=None, message="", step=self.total
        )


def _words(part: Curves | Moment, plan: TrajectoryPlan) -> str:
    """Where a training is, for instance ``Epoch 12 of 100`` or ``Kernels at epoch 32``."""
    width = f"Width {part.width}: " if len(plan.widths) > 1 else ""
    if isinstance(part, Curves):
        of = ", linearised network" if part.linearised else ""
        text = f"epoch {part.epochs} of {plan.training.epochs}{of}"
    else:
        seed = f", initialisation {part.index}" if plan.seeds > 1 else ""
        text = f"kernels at epoch {part.epoch}{seed}"
    return width + text if width else text[0].upper() + text[1:]
