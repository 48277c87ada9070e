"""One session: the state, the result as far as it has come, and the conversation with the worker."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import param

from ntk_explorer.dashboard.links import ExplorerState
from ntk_explorer.errors import NTKExplorerError
from ntk_explorer.jobs.worker import Job, WarmWorker
from ntk_explorer.store import Store
from ntk_explorer.sweeps.assembly import assemble
from ntk_explorer.sweeps.kept import title
from ntk_explorer.sweeps.plan import SweepPlan

if TYPE_CHECKING:
    from concurrent.futures import Future

    import xarray as xr

SWEEP = "ntk_explorer.sweeps.run:sweep_events"
BLOCK = "ntk_explorer.sweeps.run:block"
ESTIMATE = "ntk_explorer.sweeps.estimate:describe_sweep"
DATA = "ntk_explorer.datasets:load"
PAUSE = 0.25  # seconds between two pictures of a running sweep

Later = Callable[[Callable[[], None], float], None]


def at_once(action: Callable[[], None], seconds: float) -> None:
    """The simplest schedule: in the thread that asks."""
    if seconds > 0:
        time.sleep(seconds)
    action()


class ExplorerModel(param.Parameterized):
    """What the pages show and the controls change.

    ``later(action, seconds)`` runs an action on the thread that owns the page; the worker's events, which
    arrive on a thread of their own, touch nothing before that. Answers to superseded questions are dropped
    by the number of their turn.
    """

    # Annotated with what reading it gives: param's own types make every value optional.
    state: ExplorerState = param.ClassSelector(  # pyright: ignore[reportAssignmentType]
        class_=ExplorerState, doc="the sweep on the screen and what of it is looked at"
    )
    result = param.Parameter(default=None, doc="xarray Dataset of the sweep, NaN where it has not come yet")
    stale = param.Boolean(default=False, doc="the result belongs to the sweep before this one")
    status = param.Selector(
        default="idle", objects=["idle", "queued", "running", "done", "cancelled", "failed"], doc="of the sweep"
    )
    ahead = param.Integer(default=0, doc="sweeps that wait or run before this one")
    step = param.Integer(default=0, doc="cells finished")
    seconds_left = param.Number(default=None, allow_None=True, doc="estimate, once there is one")
    message = param.String(default="", doc="what went wrong, in words")
    data = param.Parameter(default=None, doc="LabelledData behind the result, once somebody asked to see examples")
    block = param.Dict(default=None, allow_None=True, doc="the chosen eNTK block and the kernels' values there")
    estimate = param.Dict(
        default=None, allow_None=True, doc="seconds and bytes of the sweep that the controls describe"
    )
    dark = param.Boolean(default=False, doc="the page is dark")
    refusal = param.String(default="", doc="why that sweep cannot be run, in words")

    def __init__(
        self,
        worker: WarmWorker,
        *,
        store: Store | None = None,
        engine: dict[str, Any] | None = None,
        state: ExplorerState | None = None,
        later: Later = at_once,
        **params,
    ):
        """Nothing is asked of the worker before :meth:`compute`.

        ``store`` keeps what is computed (None: the user's own); ``engine`` are arguments of
        :func:`ntk_explorer.jobs.backend` for the worker, None when it computes itself.
        """
        super().__init__(state=state or ExplorerState(), **params)
        self.worker, self.store, self._engine, self.later = worker, store or Store(), engine, later
        self._job: Job | None = None
        self._lock = threading.Lock()
        self._inbox: list[tuple[int, dict]] = []
        self._waiting = False
        self._turn = Counter()  # of the questions asked about the sweep, the data, the block and the estimate
        self._next = 0.0  # when the page may be drawn again
        self._data_of = None
        self._asked_place: tuple | None = None
        self._cells: list = []
        self._drawn: SweepPlan | None = None  # of the result
        self.figures: dict[str, Callable[[ExplorerModel], Any]] = {}  # tab -> its main figure, for export
        self.ghost: tuple[Any, int] | None = None  # the result and width seen before these

        self.param.watch(self._follow_cell, ["state", "result"])

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
        self._forget("sweep", "data", "block")
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
        turn, plan = self._turn["sweep"], self.state.plan
        try:
            self._job = self.worker.submit(
                SWEEP,
                {
                    "plan_json": plan.model_dump_json(),
                    "store": self.store.address,
                    "engine": self._engine,
                    "longest": longest,
                },
                key=plan.model_dump_json(),
                label=title(plan),
                on_event=lambda event: self._arrived(turn, event),
            )
        except NTKExplorerError as error:
            self.param.update(status="failed", message=str(error))

    def stop(self) -> None:
        """Leave the sweep at once; finished cells stay."""
        if self.active:
            self._leave()
            self._forget("sweep")
            self.param.update(status="cancelled", seconds_left=None)

    def close(self) -> None:
        """Leave all work; late answers find nobody."""
        self._leave()
        self._forget("sweep", "data", "block", "estimate")

    @property
    def shown(self) -> ExplorerState:
        """The state that the result belongs to: the present one, or its view of the sweep before."""
        drawn = self._drawn
        return self.state if drawn is None or drawn == self.state.plan else self.state.sweep(drawn)

    @property
    def active(self) -> bool:
        """Whether a sweep is under way."""
        return self.status in ("queued", "running")

    def run(self, plan: SweepPlan) -> None:
        """Take another plan and compute it."""
        self.state = self.state.sweep(plan)
        self.compute()

    def show(self, plan: SweepPlan, result: xr.Dataset) -> None:
        """Take a sweep that is at hand, finished or not, for instance from the store; nothing is computed."""
        self._leave()
        self._forget("sweep", "data", "block")
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
        self.param.update(estimate=None, refusal="")
        path = plan.data.path

        def told(estimate: dict | None, problem: str) -> None:
            # Who uploaded a file does not know where it is kept.
            self.param.update(estimate=estimate, refusal=problem.replace(path, "the file") if path else problem)

        self._ask(
            "estimate",
            ESTIMATE,
            {"plan_json": plan.model_dump_json(), "store": self.store.address, "workers": self._workers},
            lambda estimate: told(estimate, estimate.get("refusal", "")),
            lambda problem: told(None, problem),
        )

    @property
    def _workers(self) -> int:
        """Cells computed at a time on this machine."""
        return max(1, (self._engine or {}).get("workers", 1))

    def _complain(self, problem: str) -> None:
        self.message = problem

    def _forget(self, *subjects: str) -> None:
        """Answers that are still under way will find nobody."""
        self._turn.update(subjects)

    def _ask(self, subject: str, target: str, argument: dict, use: Callable, complain: Callable[[str], Any]) -> None:
        self._forget(subject)
        turn = self._turn[subject]

        def answered(future: Future) -> None:
            if not future.cancelled():
                self.later(lambda: deliver(future), 0)

        def deliver(future: Future) -> None:
            if turn != self._turn[subject]:
                return
            error = future.exception()
            if error is None:
                use(future.result())
            else:
                complain(str(error))

        try:
            self.worker.call(target, argument).add_done_callback(answered)
        except NTKExplorerError as error:
            complain(str(error))

    def _leave(self) -> None:
        job, self._job = self._job, None
        if job is not None and not job.over:
            job.cancel()

    def _arrived(self, turn: int, event: dict) -> None:
        """On the worker's thread: keep the event, and have the page look at it a little later."""
        with self._lock:
            self._inbox.append((turn, event))
            if self._waiting:
                return
            self._waiting = True
        self.later(self._take, max(0.0, self._next - time.monotonic()))

    def _take(self) -> None:
        """On the page's thread: all events since the last picture become one change."""
        with self._lock:
            self._waiting = False
            inbox, self._inbox = self._inbox, []
        start = time.monotonic()
        changes: dict[str, Any] = {}
        before = len(self._cells)
        for turn, event in inbox:
            if turn == self._turn["sweep"]:
                changes |= self._read(event)
        if len(self._cells) > before:
            self._drawn = self.state.plan
            changes |= {"result": assemble(self.state.plan, self._cells), "stale": False}
        if changes:
            self.param.update(**changes)
        # Where drawing is slow it takes half of the page's time at most, so that the reader is still heard.
        now = time.monotonic()
        self._next = now + max(PAUSE, now - start)

    def _read(self, event: dict) -> dict[str, Any]:
        match event["kind"]:
            case "queued":
                return {"status": "queued", "ahead": event["position"]}
            case "started":
                return {"status": "running", "ahead": 0}
            case "cells":
                self._cells += event["cells"]
                return {"step": event["step"], "seconds_left": event["seconds_left"], "status": "running"}
            case "done":
                return {"status": "done", "seconds_left": None}
            case "cancelled":
                return {"status": "cancelled", "seconds_left": None}
            case "failed":
                return {"status": "failed", "message": f"{event['problem']} {event['remedy']}".strip()}
        return {}
