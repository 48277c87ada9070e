"""One warm worker process, seen from the process that asks; this side never imports jax."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from ntk_explorer.errors import InvalidInput
from ntk_explorer.jobs.process import ChildProcess
from ntk_explorer.jobs.requests import Call, Job, JobState, OnEvent, Work

log = logging.getLogger(__name__)

CRASH_REMEDY = "Most often memory ran out: lower the number of examples or the widths, then try again."


class WarmWorker:
    """A process that has imported jax and waits for work, one job at a time.

    It ends when this process ends, however that happens. One that dies or freezes is replaced.

    Events are dictionaries with a ``kind``: ``queued`` (``position``: jobs ahead), ``started``, whatever the
    generator yields, and finally one of ``done``, ``cancelled`` or ``failed`` (``problem``, ``remedy``; where
    the process died, ``crashed``: True, and ``ready``: whether it had said hello before).
    All callbacks run on one thread of the worker's, in order; they should return soon.
    """

    def __init__(
        self,
        *,
        warm_up: str | None = None,
        trusted: tuple[str, ...] = ("ntk_explorer.",),
        grace: float = 0.3,
        ttl: float = 60.0,
        environment: Mapping[str, str] | None = None,
    ):
        """Start the process.

        Args:
            warm_up: ``module:function`` called in the new process before it takes work; what the function
                returns (a dict) becomes part of ``hello``.
            trusted: prefixes of the modules whose functions may be asked for.
            grace: seconds a cancelled job has to reach its next step before its process is ended.
            ttl: seconds after which a process that neither speaks nor computes is ended.
            environment: variables of the process, besides those of this one.
        """
        self._warm_up, self._trusted, self._grace = warm_up, trusted, grace
        self._ttl, self._environment = ttl, dict(environment or {})
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._queue: deque[Work] = deque()
        self._running: Work | None = None
        self._calls: dict[int, Call] = {}
        self._process: ChildProcess | None = None
        self._closed = False
        self._outbox: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._postman = threading.Thread(target=self._deliver, name="ntk-explorer events", daemon=True)
        self._postman.start()
        with self._lock:
            self._start()

    def __enter__(self) -> WarmWorker:
        """Use the worker in a ``with`` block."""
        return self

    def __exit__(self, *_) -> None:
        """End the process."""
        self.shutdown()

    @property
    def hello(self) -> dict | None:
        """What the process said when it was ready; None before."""
        process = self._process
        return process.hello if process else None

    def submit(self, target: str, argument: dict, key: str, on_event: OnEvent, *, label: str = "") -> Job:
        """Ask for the events of a generator function; equal keys share one run.

        Args:
            target: ``module:function`` of a generator function.
            argument: its keyword arguments (picklable).
            key: what makes two requests the same work; who joins late hears all past events first.
            on_event: called with each event, on the worker's own thread.
            label: what a person calls the job.

        Returns:
            The :class:`Job`, to cancel.

        Raises:
            InvalidInput: the target is outside the trusted modules, or the worker has been shut down.
        """
        with self._lock:
            self._check(target)
            work = next((w for w in self._works() if w.key == key and w.subscribers), None)
            fresh = work is None
            if work is None:
                work = Work(next(self._numbers), key, target, argument, label)
                self._queue.append(work)
            job = Job(key, on_event, self._leave)
            work.subscribers.append(job)
            for event in work.events:
                self._post(job, event)
            if fresh:
                self._advance()
            if work in self._queue:
                self._post(job, {"kind": "queued", "position": self._position(work)})
            return job

    def call(self, target: str, argument: dict) -> Future:
        """Ask a short question, answered between the steps of a running job, ahead of the queue.

        Args:
            target: ``module:function``.
            argument: its keyword arguments (picklable).

        Returns:
            A future of the function's value, or of an NTKExplorerError.

        Raises:
            InvalidInput: the target is outside the trusted modules, or the worker has been shut down.
        """
        with self._lock:
            self._check(target)
            call = Call(target, argument, Future())
            number = next(self._numbers)
            self._calls[number] = call
            self._ensure_process()
            self._send("call", number, (target, argument))
            return call.future

    def jobs(self) -> list[JobState]:
        """What runs and what waits, in order, for a page that shows it to everybody."""
        with self._lock:
            return [work.state(position) for position, work in enumerate(self._works())]

    def shutdown(self) -> None:
        """End the process; subscribers hear ``cancelled``, open questions are cancelled. Safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for work in self._works():
                self._end(work, {"kind": "cancelled"})
            self._queue.clear()
            self._running = None
            for call in self._calls.values():
                self._outbox.put(call.future.cancel)
            self._calls.clear()
            process, self._process = self._process, None
        if process:
            process.stop()
        self._outbox.put(None)
        if threading.current_thread() is not self._postman:
            self._postman.join(timeout=5)

    # The methods below run with the lock held.

    def _check(self, target: str) -> None:
        if not target.startswith(self._trusted):
            raise InvalidInput(
                f"{target!r} is not a function of this package", "Name one as ntk_explorer.module:function."
            )
        if self._closed:
            raise InvalidInput("The worker has been shut down", "Start another one.")

    def _works(self) -> list[Work]:
        return [self._running, *self._queue] if self._running else list(self._queue)

    def _start(self) -> None:
        self._process = ChildProcess(
            warm_up=self._warm_up,
            environment=self._environment,
            ttl=self._ttl,
            on_message=self._hear,
            on_end=self._notice,
        )

    def _ensure_process(self) -> None:
        if self._process is None:
            self._start()

    def _send(self, kind: str, number: int, body: Any = None) -> None:
        assert self._process is not None
        self._process.send(kind, number, body)

    def _advance(self) -> None:
        if self._running is None and self._queue:
            self._ensure_process()
            self._running = work = self._queue.popleft()
            work.begun = time.monotonic()
            self._publish(work, {"kind": "started"})
            self._send("run", work.number, (work.target, work.argument))
            self._announce_positions()

    def _announce_positions(self) -> None:
        for work in self._queue:
            for job in work.subscribers:
                self._post(job, {"kind": "queued", "position": self._position(work)})

    def _position(self, work: Work) -> int:
        return self._queue.index(work) + (self._running is not None)

    def _publish(self, work: Work, event: dict) -> None:
        work.events.append(event)
        for job in work.subscribers:
            self._post(job, event)

    def _end(self, work: Work, event: dict) -> None:
        self._publish(work, event)
        for job in work.subscribers:
            self._outbox.put(partial(setattr, job, "over", True))
        work.subscribers.clear()

    def _post(self, job: Job, event: dict) -> None:
        self._outbox.put(partial(job.hear, event))

    # The methods below take the lock themselves.

    def _leave(self, job: Job) -> None:
        with self._lock:
            work = next((w for w in self._works() if job in w.subscribers), None)
            if work is None:
                return
            work.subscribers.remove(job)
            job.over = True
            self._outbox.put(partial(job.on_event, {"kind": "cancelled"}))
            if work.subscribers:
                return
            if work is not self._running:
                self._queue.remove(work)
                self._announce_positions()
                return
            self._send("cancel", work.number)
            timer = threading.Timer(self._grace, self._terminate, (self._process, work))
            timer.daemon = True
            timer.start()

    def _terminate(self, process: ChildProcess, work: Work) -> None:
        with self._lock:
            # A process still starting finds the cancellation before it begins the job.
            if self._running is work and self._process is process and process.hello is not None:
                process.terminate()

    def _hear(self, process: ChildProcess, kind: str, number: int, body: Any) -> None:
        with self._lock:
            if process is self._process:
                self._receive(kind, number, body)

    def _notice(self, process: ChildProcess, code: int) -> None:
        with self._lock:
            if process is self._process:
                self._bury(process, code)

    # The methods below run with the lock held again.

    def _receive(self, kind: str, number: int, body: Any) -> None:
        if kind == "failed" and body["traceback"]:
            log.error("in the worker: %s\n%s", body["problem"], body["traceback"])
        if call := self._calls.pop(number, None):
            self._outbox.put(partial(call.resolve, kind, body))
        elif self._running and self._running.number == number:
            if kind == "event":
                self._publish(self._running, body)
                return
            final = {"kind": kind}
            if kind == "failed":
                final |= {"problem": body["problem"], "remedy": body["remedy"]}
            self._end(self._running, final)
            self._running = None
            self._advance()

    def _bury(self, process: ChildProcess, code: int) -> None:
        process.close()
        work, ready = self._running, process.hello is not None
        ours = work is not None and not work.subscribers
        self._process = self._running = None
        failure = {"problem": f"The worker process ended unexpectedly (exit status {code}).", "remedy": CRASH_REMEDY}
        if not ours:
            log.error("the worker process ended unexpectedly (exit status %s)", code)
            self._fail_calls(failure)
        event = {"kind": "failed", **failure, "crashed": True, "ready": ready}
        if work:
            self._end(work, event)
        # A process that cannot even start is not tried again until somebody asks.
        if not ready and not ours:
            while self._queue:
                self._end(self._queue.popleft(), event)
            return
        self._start()
        for number, call in self._calls.items():
            self._send("call", number, (call.target, call.argument))
        self._advance()

    def _fail_calls(self, failure: dict) -> None:
        for call in self._calls.values():
            self._outbox.put(partial(call.resolve, "failed", failure))
        self._calls.clear()

    def _deliver(self) -> None:
        while (action := self._outbox.get()) is not None:
            try:
                action()
            except Exception:
                log.exception("a subscriber's callback failed")
