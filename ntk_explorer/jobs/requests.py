"""What is asked of a worker process: jobs that several may wait for, and short questions."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ntk_explorer.errors import NTKExplorerError

OnEvent = Callable[[dict], None]


@dataclass(eq=False)
class Job:
    """One subscriber's hold on a piece of work; events go to ``on_event`` until it is over or cancelled."""

    key: str
    on_event: OnEvent = field(repr=False)
    _leave: Callable[[Job], None] = field(repr=False)
    over: bool = False

    def hear(self, event: dict) -> None:
        """Hand over an event, unless the subscriber has left."""
        if not self.over:
            self.on_event(event)

    def cancel(self) -> None:
        """Leave the work: this subscriber hears ``cancelled`` at once; work that nobody awaits is stopped."""
        self._leave(self)


@dataclass(frozen=True)
class JobState:
    """A job as anybody may see it.

    Attributes:
        key: what makes two requests the same job.
        label: what a person calls it.
        position: number of jobs before it; 0 is the one that runs.
        subscribers: how many wait for it.
        seconds: since it began; 0 before.
        last: the numbers and short texts of its last event.
    """

    key: str
    label: str
    position: int
    subscribers: int
    seconds: float
    last: dict


@dataclass(eq=False)
class Work:
    """What runs once for all of its subscribers, with the events so far for those who join late."""

    number: int
    key: str
    target: str
    argument: dict
    label: str
    begun: float | None = None
    subscribers: list[Job] = field(default_factory=list)
    events: list[dict] = field(default_factory=list)

    def state(self, position: int) -> JobState:
        """What anybody may see, at a position of the queue."""
        last = self.events[-1] if self.events else {"kind": "queued"}
        small = {name: value for name, value in last.items() if value is None or isinstance(value, str | int | float)}
        seconds = 0.0 if self.begun is None else time.monotonic() - self.begun
        return JobState(self.key, self.label or self.key, position, len(self.subscribers), seconds, small)


@dataclass(eq=False)
class Call:
    """A short question, and the future of its answer."""

    target: str
    argument: dict
    future: Future

    def resolve(self, kind: str, body: Any) -> None:
        """Give the answer, or the error that ``failed`` means."""
        if not self.future.set_running_or_notify_cancel():
            return
        if kind == "failed":
            self.future.set_exception(NTKExplorerError(body["problem"], body["remedy"]))
        else:
            self.future.set_result(body)
