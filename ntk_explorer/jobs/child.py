"""The worker process: takes requests from standard input, sends answers to standard output.

Messages are pickled triples (kind, number, body). In: run, call, cancel. Out: hello, event, done, cancelled,
failed, answer. A thread reads, so that a cancellation is noticed between two steps of the running job and
the process ends at once, whatever it computes, when its parent has gone (end of file).
"""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import deque
from typing import Any, BinaryIO

from ntk_explorer.errors import NTKExplorerError

log = logging.getLogger(__name__)


def main(warm_up: str | None = None) -> None:
    """Serve requests until the parent closes the pipe; ``warm_up`` names a function to call before the first."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What libraries print must not end up between two messages.
    os.dup2(2, 1)
    # Ctrl-C in a terminal reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING)
    desk = Desk(requests, answers)
    threading.Thread(target=desk.receive, daemon=True).start()
    begun = time.perf_counter()
    hello = resolve(warm_up)() if warm_up else {}
    desk.send("hello", 0, {"pid": os.getpid(), "seconds": time.perf_counter() - begun, **(hello or {})})
    while True:
        desk.serve()


class Desk:
    """Requests waiting in order: one job at a time, and short questions answered between its steps."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO):
        """Talk over two binary streams."""
        self._requests, self._answers = requests, answers
        self._news = threading.Condition()
        self._jobs: deque[tuple] = deque()
        self._calls: deque[tuple] = deque()
        self._cancelled: set[int] = set()

    def receive(self) -> None:
        """Sort incoming messages until the parent has gone, then end the process."""
        while True:
            try:
                kind, number, body = pickle.load(self._requests)
            except (EOFError, OSError, pickle.UnpicklingError):
                os._exit(0)
            except Exception:  # an argument that this process cannot read: the parent then fails what it has asked
                log.exception("a request could not be read")
                os._exit(1)
            with self._news:
                if kind == "cancel":
                    self._cancelled.add(number)
                else:
                    (self._jobs if kind == "run" else self._calls).append((number, *body))
                self._news.notify()

    def send(self, kind: str, number: int, body: Any = None) -> None:
        """Send one message; only the main thread does."""
        # Whole before it is written: what cannot be pickled must not leave half a message behind.
        self._answers.write(pickle.dumps((kind, number, body), protocol=pickle.HIGHEST_PROTOCOL))
        self._answers.flush()

    def serve(self) -> None:
        """Wait for requests, answer all questions and then do one job."""
        with self._news:
            self._news.wait_for(lambda: self._jobs or self._calls)
        self._answer_calls()
        if self._jobs:
            self._run(*self._jobs.popleft())

    def _answer_calls(self) -> None:
        while self._calls:
            number, target, argument = self._calls.popleft()
            try:
                self.send("answer", number, resolve(target)(**argument))
            except Exception as error:
                self.send("failed", number, explain(error))

    def _run(self, number: int, target: str, argument: dict) -> None:
        if number in self._cancelled:
            return self.send("cancelled", number)
        try:
            steps = resolve(target)(**argument)
            for item in steps:
                self.send("event", number, item)
                self._answer_calls()
                if number in self._cancelled:
                    steps.close()
                    return self.send("cancelled", number)
            self.send("done", number)
        except Exception as error:
            self.send("failed", number, explain(error))


def resolve(target: str):
    """The function that ``package.module:function`` names."""
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)


def explain(error: Exception) -> dict[str, str]:
    """What a person should read about an error, and the traceback where it is a defect of ours."""
    if isinstance(error, NTKExplorerError):
        return {"problem": error.problem, "remedy": error.remedy, "traceback": ""}
    details = traceback.format_exc()
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        problem = "The computation ran out of memory."
        return {"problem": problem, "remedy": "Lower the number of examples or the widths.", "traceback": details}
    first = (str(error).splitlines() or [""])[0]
    problem = f"The computation failed unexpectedly: {type(error).__name__}: {first[:300]}"
    return {"problem": problem, "remedy": "The log of the server holds the details.", "traceback": details}
