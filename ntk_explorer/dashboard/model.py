"""One session: the sweep on the screen, the result as far as it has come, and what is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import param

from ntk_explorer.dashboard.job_model import JOB, JobModel
from ntk_explorer.dashboard.links import ExplorerState
from ntk_explorer.dashboard.training_model import TrainingModel
from ntk_explorer.jobs.worker import WarmWorker
from ntk_explorer.sweeps.assembly import assemble
from ntk_explorer.sweeps.kept import title
from ntk_explorer.sweeps.plan import SweepPlan

if TYPE_CHECKING:
    import xarray as xr

SWEEP = "ntk_explorer.sweeps.run:sweep_events"
BLOCK = "ntk_explorer.sweeps.run:block"
ESTIMATE = "ntk_explorer.sweeps.estimate:describe_sweep"
DATA = "ntk_explorer.datasets:load"


class ExplorerModel(JobModel):
    """What the pages show and the controls change; the state of the whole page is here."""

    data = param.Parameter(default=None, doc="LabelledData behind the result, once somebody asked to see examples")
    block = param.Dict(default=None, allow_None=True, doc="the chosen eNTK block and the kernels' values there")

    def __init__(self, worker: WarmWorker, **params):
        """Nothing is asked of the worker before :meth:`compute`; arguments are those of :class:`JobModel`."""
        super().__init__(worker, **params)
        self._data_of = None
        self._asked_place: tuple | None = None
        self._cells: list = []
        self._drawn: SweepPlan | None = None  # of the result
        self.figures: dict[str, Callable[[ExplorerModel], Any]] = {}  # tab -> its main figure, for export
        self.ghost: tuple[Any, int] | None = None  # the result and width seen before these
        self.training = TrainingModel(self)

        self.param.watch(self._follow_plan, "state")
        self.param.watch(self._follow_cell, ["state", "result"])

    @property
    def plan(self) -> SweepPlan:
        """The sweep of the state."""
        return self.state.plan

    @property
    def total(self) -> int:
        """Networks of the sweep."""
        return len(self.state.plan.cells)

    @property
    def doing(self) -> str:
        """The network that has come last."""
        return f"Network {self.step} of {self.total}" if self.step else "Preparing the first network …"

    @property
    def done(self) -> str:
        """How many networks there are."""
        return f"{self.total} networks"

    def _follow_plan(self, event) -> None:
        """A training may bring other data or another network; their sweep is computed when somebody looks at it."""
        if event.new.plan != event.old.plan and event.new.plan != self._drawn:
            self.stop()
            self.param.update(status="idle", message="", step=0, stale=self.result is not None)

    def _follow_cell(self, *_) -> None:
        """A chosen pair brings its block, once the result it was chosen in is there."""
        if self.result is None or self.stale:
            return
        place = (self.state.plan, self.state.width, self.state.view.draw, self.cell)
        if place != self._asked_place:
            self._asked_place = place
            if self.cell is None:
                self.block = None
            else:
                self.ask_block()

    def compute(self, *, longest: float | None = None) -> None:
        """Start the sweep of the present state; the last result stays until the first new cell is there.

        Work of more than ``longest`` seconds is refused: a link, for instance, is no agreement to half an hour.
        """
        self._leave()
        self._forget(JOB, "data", "block")
        self._cells = []
        self.param.update(
            status="queued",
            step=0,
            seconds_left=None,
            message="",
            stale=self.result is not None and self._drawn != self.state.plan,
            block=None,
            data=None,
        )
        self._data_of = self._asked_place = None
        plan_json = self.state.plan.model_dump_json()
        argument = {"plan_json": plan_json, "longest": longest}
        self._submit(SWEEP, argument, key=plan_json, label=title(self.state.plan))

    @property
    def shown(self) -> ExplorerState:
        """The state that the result belongs to: the present one, or its view of the sweep before."""
        drawn = self._drawn
        return self.state if drawn is None or drawn == self.state.plan else self.state.sweep(drawn)

    def run(self, plan: SweepPlan) -> None:
        """Take another plan and compute it."""
        self.state = self.state.sweep(plan)
        self.compute()

    def show(self, plan: SweepPlan, result: xr.Dataset) -> None:
        """Take a sweep that is at hand, finished or not, for instance from the store; nothing is computed."""
        self._leave()
        self._forget(JOB, "data", "block")
        self._cells, self._drawn = [], plan
        self._data_of = self._asked_place = None
        step = int(result["seconds"].notnull().sum())
        self.param.update(
            state=self.state.sweep(plan),
            result=result,
            stale=False,
            status="done" if step == len(plan.cells) else "cancelled",
            step=step,
            seconds_left=None,
            message="",
            block=None,
            data=None,
        )

    def look(self, **changes) -> None:
        """Look at something else in the present result."""
        state = self.state.look(**changes)
        if state != self.state:
            if state.width != self.state.width and self.result is not None and not self.stale:
                self.ghost = (self.result, self.state.width)
            self.state = state

    @property
    def cell(self) -> tuple[int, int] | None:
        """The chosen pair of examples (i, j)."""
        view = self.shown.view
        return None if view.i is None or view.j is None else (view.i, view.j)

    def choose(self, cell: tuple[int, int] | None) -> None:
        """Choose a pair of examples (i, j); None is a click beside the matrix and changes nothing."""
        if cell is not None and not self.stale:
            self.look(i=cell[0], j=cell[1])

    def ask_block(self) -> None:
        """Fetch the eNTK block of the chosen pair, and the data where they are not here yet."""
        view = self.state.view
        argument = {
            "plan_json": self.state.plan.model_dump_json(),
            "width": self.state.width,
            "index": view.draw,
            "i": view.i,
            "j": view.j,
        }
        self._ask("block", BLOCK, argument, lambda block: self.param.update(block=block), self._complain)
        if self._data_of != self.state.plan.data:
            self._data_of = self.state.plan.data
            argument = {"config": self._data_of}
            self._ask("data", DATA, argument, lambda data: self.param.update(data=data), self._complain)

    def ask_estimate(self, plan: SweepPlan) -> None:
        """Fetch what a sweep would cost; a refusal becomes text."""
        self._ask_estimate(ESTIMATE, {"plan_json": plan.model_dump_json()}, plan.data.path)

    def _absorb(self, events: list[dict]) -> dict[str, Any]:
        cells = [cell for event in events if event["kind"] == "cells" for cell in event["cells"]]
        if not cells:
            return {}
        self._cells += cells
        self._drawn = self.state.plan
        return {"result": assemble(self.state.plan, self._cells), "stale": False}
