"""Tasks in several warm worker processes of this machine."""

from __future__ import annotations

import queue
from collections import Counter, deque
from collections.abc import Sequence
from functools import partial

from ntk_explorer.errors import Cancelled, InvalidInput, NTKExplorerError
from ntk_explorer.jobs.environment import worker_environments
from ntk_explorer.jobs.tasks import Outcome, Outcomes, Task, distinct, outcome
from ntk_explorer.jobs.worker import CRASH_REMEDY, Job, WarmWorker

TRIES = 4  # deaths of a worker after which its task is given up
TICK = 0.2  # seconds between two signs of life to whoever iterates


class WorkerPool:
    """``n`` warm processes; each computes one task at a time.

    A task whose worker dies or freezes is given to another one; after four deaths the task is taken for their
    cause and given up. Every process ends with this one.
    """

    here = True

    def __init__(self, n: int, *, warm_up: str | None = None, grace: float = 0.3, ttl: float = 60.0):
        """Start the processes.

        Args:
            n: how many, at least 1.
            warm_up: ``module:function`` called in each of them before it takes work.
            grace: seconds that a task has to end after its cancellation before its process is ended.
            ttl: seconds after which a process that neither speaks nor computes is replaced.

        Raises:
            InvalidInput: n is less than 1.
        """
        if n < 1:
            raise InvalidInput(f"A pool of {n} workers computes nothing", "Ask for at least one.")
        self._members = [
            WarmWorker(warm_up=warm_up, grace=grace, ttl=ttl, environment=environment)
            for environment in worker_environments(n)
        ]

    @property
    def workers(self) -> int:
        """How many tasks run at the same time."""
        return len(self._members)

    def run(self, tasks: Sequence[Task]) -> Outcomes:
        """Yield outcomes as they come, None five times a second while none comes.

        Closing the iterator returns at once; what runs is ended after the grace and its process replaced.

        Raises:
            NTKExplorerError: worker processes do not start, four times in a row.
            Cancelled: the pool was closed meanwhile.
        """
        return _Run(self._members, tasks).outcomes()

    def close(self) -> None:
        """End all processes."""
        for member in self._members:
            member.shutdown()

    def __enter__(self) -> WorkerPool:
        """Use the pool in a ``with`` block."""
        return self

    def __exit__(self, *_) -> None:
        """End the processes."""
        self.close()


class _Run:
    """The tasks of one run: waiting, running on a worker, or over."""

    def __init__(self, workers: Sequence[WarmWorker], tasks: Sequence[Task]):
        self._waiting, self._free = deque(distinct(tasks)), list(workers)
        self._running: dict[WarmWorker, tuple[Task, Job]] = {}
        self._answers: dict[WarmWorker, dict] = {}
        self._events: queue.SimpleQueue[tuple[WarmWorker, dict]] = queue.SimpleQueue()
        self._deaths: Counter[str] = Counter()
        self._failed_starts = 0

    def outcomes(self) -> Outcomes:
        try:
            while self._waiting or self._running:
                self._fill()
                try:
                    worker, event = self._events.get(timeout=TICK)
                except queue.Empty:
                    yield None
                    continue
                if result := self._hear(worker, event):
                    yield result
        finally:
            for _, job in self._running.values():
                job.cancel()

    def _fill(self) -> None:
        """Give every free worker a task, those first that are warm."""
        self._free.sort(key=lambda worker: worker.hello is None)
        while self._free and self._waiting:
            worker, task = self._free.pop(0), self._waiting.popleft()
            work = {"target": task.target, "arguments": dict(task.arguments)}
            hear = partial(self._report, worker)
            job = worker.submit("ntk_explorer.jobs.tasks:steps", work, task.key, hear, label=task.label)
            self._running[worker] = task, job

    def _report(self, worker: WarmWorker, event: dict) -> None:
        self._events.put((worker, event))

    def _hear(self, worker: WarmWorker, event: dict) -> Outcome | None:
        kind = event["kind"]
        if kind == "task":
            self._answers[worker] = event
        if kind not in ("done", "failed", "cancelled"):
            return None
        task, _ = self._running.pop(worker)
        answer = self._answers.pop(worker, None)
        self._free.append(worker)
        if kind == "cancelled":
            raise Cancelled("The pool of workers was closed", "What was finished by then is in the store.")
        if kind == "done" and answer:
            self._failed_starts = 0
            return outcome(task, answer)
        if event.get("crashed"):
            return self._bury(task, event)
        return Outcome(task, error=NTKExplorerError(event["problem"], event["remedy"]))

    def _bury(self, task: Task, event: dict) -> Outcome | None:
        """The task once more on another worker, unless it is the cause of too many deaths."""
        failure = NTKExplorerError(event["problem"], event["remedy"])
        if event["ready"]:
            self._deaths[task.key] += 1
            self._failed_starts = 0
        else:
            self._failed_starts += 1
        if self._failed_starts >= TRIES:
            raise failure
        if self._deaths[task.key] >= TRIES:
            return Outcome(task, error=fatal(task, TRIES))
        self._waiting.appendleft(task)
        return None


def fatal(task: Task, tries: int) -> NTKExplorerError:
    """What to say of a task that ends whichever process computes it."""
    return NTKExplorerError(
        f"This task ends its worker process, given up after {tries} tries: {task.name}", CRASH_REMEDY
    )
