"""A job of the worker as a page sees it: how far it has come, what came of it, and questions asked beside it."""

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

if TYPE_CHECKING:
    from concurrent.futures import Future

PAUSE = 0.25  # seconds between two pictures of a running job
JOB = "job"  # the subject of a job's own events, among those of the questions

Later = Callable[[Callable[[], None], float], None]


def at_once(action: Callable[[], None], seconds: float) -> None:
    """The simplest schedule: in the thread that asks."""
    if seconds > 0:
        time.sleep(seconds)
    action()


class JobModel(param.Parameterized):
    """What a page shows of one kind of job, and the conversation with the worker about it.

    ``later(action, seconds)`` runs an action on the thread that owns the page; the worker's events, which
    arrive on a thread of their own, touch nothing before that. Answers to superseded questions are dropped
    by the number of their turn.
    """

    # Annotated with what reading it gives: param's own types make every value optional.
    state: ExplorerState = param.ClassSelector(  # pyright: ignore[reportAssignmentType]
        class_=ExplorerState, doc="what is on the screen and what of it is looked at"
    )
    result = param.Parameter(default=None, doc="xarray Dataset of the job, NaN where it has not come yet")
    stale = param.Boolean(default=False, doc="the result belongs to the job before this one")
    status = param.Selector(default="idle", objects=["idle", "queued", "running", "done", "cancelled", "failed"])
    ahead = param.Integer(default=0, doc="jobs that wait or run before this one")
    step = param.Integer(default=0, doc="parts finished")
    seconds_left = param.Number(default=None, allow_None=True, doc="estimate, once there is one")
    message = param.String(default="", doc="what went wrong, in words")
    estimate = param.Dict(default=None, allow_None=True, doc="seconds and bytes of what the controls describe")
    refusal = param.String(default="", doc="why that cannot be run, in words")
    dark = param.Boolean(default=False, doc="the page is dark")

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
        """Nothing is asked of the worker yet.

        ``store`` keeps what is computed (None: the user's own); ``engine`` are arguments of
        :func:`ntk_explorer.jobs.backend` for the worker, None when it computes itself.
        """
        super().__init__(state=state or ExplorerState(), **params)
        self.worker, self.store, self.engine, self.later = worker, store or Store(), engine, later
        self._job: Job | None = None
        self._lock = threading.Lock()
        self._inbox: list[tuple[int, dict]] = []
        self._waiting = False
        self._turn: Counter[str] = Counter()  # of the job and of each subject that is asked about
        self._next = 0.0  # when the page may be drawn again

    @property
    def active(self) -> bool:
        """Whether the job is under way."""
        return self.status in ("queued", "running")

    @property
    def plan(self) -> Any:
        """What the present state asks for; None where it asks for what cannot be."""
        raise NotImplementedError

    @property
    def total(self) -> int:
        """Parts of the job."""
        raise NotImplementedError

    @property
    def doing(self) -> str:
        """Where the running job is, in words."""
        raise NotImplementedError

    @property
    def done(self) -> str:
        """What a finished job has made, in words."""
        raise NotImplementedError

    def run(self, plan: Any) -> None:
        """Take another plan and compute it."""
        raise NotImplementedError

    def ask_estimate(self, plan: Any) -> None:
        """Fetch what a plan would cost; a refusal becomes text."""
        raise NotImplementedError

    def owns(self, key: str) -> bool:
        """Whether a job of the worker is the one under way here."""
        return self.active and self._job is not None and self._job.key == key

    def compute(self, *, longest: float | None = None) -> None:
        """Start the job of the present state.

        Work of more than ``longest`` seconds is refused: a link, for instance, is no agreement to half an hour.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Leave the job at once; what is finished stays."""
        if self.active:
            self._leave()
            self._forget(JOB)
            self.param.update(status="cancelled", seconds_left=None)

    def close(self) -> None:
        """Leave all work; late answers find nobody."""
        self._leave()
        self._forget(*self._turn)

    def _submit(self, target: str, argument: dict, *, key: str, label: str) -> None:
        """Start a job in place of the last one; :meth:`_absorb` gets what comes of it."""
        self._leave()
        self._forget(JOB)
        turn = self._turn[JOB]
        argument = argument | {"store": self.store.address, "engine": self.engine}
        try:
            self._job = self.worker.submit(
                target, argument, key=key, label=label, on_event=lambda event: self._arrived(turn, event)
            )
        except NTKExplorerError as error:
            self.param.update(status="failed", message=str(error))

    def _absorb(self, events: list[dict]) -> dict[str, Any]:
        """What changes on the page with what the job has brought since the last picture."""
        raise NotImplementedError

    def _ask_estimate(self, target: str, argument: dict, path: str | None) -> None:
        """Fetch what something would cost; a refusal becomes text."""
        self.param.update(estimate=None, refusal="")

        def told(estimate: dict | None, problem: str) -> None:
            # Who uploaded a file does not know where it is kept.
            self.param.update(estimate=estimate, refusal=problem.replace(path, "the file") if path else problem)

        self._ask(
            "estimate",
            target,
            argument | {"store": self.store.address, "workers": self._workers},
            lambda estimate: told(estimate, estimate.get("refusal", "")),
            lambda problem: told(None, problem),
        )

    @property
    def _workers(self) -> int:
        """Parts computed at a time on this machine."""
        return max(1, (self.engine or {}).get("workers", 1))

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
        events = [event for turn, event in inbox if turn == self._turn[JOB]]
        changes = {name: value for event in events for name, value in _progress(event).items()}
        changes |= self._absorb(events) if events else {}
        if changes:
            self.param.update(**changes)
        # Where drawing is slow it takes half of the page's time at most, so that the reader is still heard.
        now = time.monotonic()
        self._next = now + max(PAUSE, now - start)


def _progress(event: dict) -> dict[str, Any]:
    """What an event says of the job itself."""
    match event["kind"]:
        case "queued":
            return {"status": "queued", "ahead": event["position"]}
        case "started":
            return {"status": "running", "ahead": 0}
        case "done" | "cancelled" as end:
            return {"status": end, "seconds_left": None}
        case "failed":
            return {"status": "failed", "message": f"{event['problem']} {event['remedy']}".strip()}
    known = {name: event[name] for name in ("step", "seconds_left") if name in event}
    return known | {"status": "running"}
