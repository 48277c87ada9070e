"""The worker process: takes requests from standard input, sends answers to standard output.

Messages are pickled triples (kind, number, body). In: run, call, cancel. Out: hello, event, done, cancelled,
failed, answer, beat. A thread reads, so that a cancellation is noticed between two steps of the running job and
the process ends at once, whatever it computes, when its parent has gone (end of file). Another sends heartbeats.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import deque
from contextlib import suppress
from typing import Any, BinaryIO

from ntk_explorer.errors import NTKExplorerError
from ntk_explorer.jobs.tasks import explain, resolve

log = logging.getLogger(__name__)


def main(warm_up: str | None = None, *, beat: float = 15.0) -> None:
    """Serve requests until the parent closes the pipe.

    Args:
        warm_up: ``module:function`` to call before the first request.
        beat: seconds between two heartbeats.
    """
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What libraries print must not end up between two messages.
    os.dup2(2, 1)
    # Ctrl-C in a terminal reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING)
    desk = Desk(requests, answers)
    threading.Thread(target=desk.receive, daemon=True).start()
    threading.Thread(target=desk.beat, args=(beat,), daemon=True).start()
    try:
        begun = time.perf_counter()
        hello = resolve(warm_up)() if warm_up else {}
        desk.send("hello", 0, {"pid": os.getpid(), "seconds": time.perf_counter() - begun, **(hello or {})})
        while True:
            desk.serve()
    except BaseException:
        log.exception("the worker process ends")
        os._exit(1)  # Python's own end would wait a second for the thread that reads.


class Desk:
    """Requests waiting in order: one job at a time, and short questions answered between its steps."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO):
        """Talk over two binary streams."""
        self._requests, self._answers = requests, answers
        self._news, self._writing = threading.Condition(), threading.Lock()
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
        """Send one message."""
        # Whole before it is written: what cannot be pickled must not leave half a message behind.
        message = pickle.dumps((kind, number, body), protocol=pickle.HIGHEST_PROTOCOL)
        with self._writing:
            self._answers.write(message)
            self._answers.flush()

    def beat(self, seconds: float) -> None:
        """Tell the parent again and again that this process is alive, until the parent has gone."""
        with suppress(OSError):
            while True:
                time.sleep(seconds)
                self.send("beat", 0)

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
                self.send("failed", number, _failure(error))

    def _run(self, number: int, target: str, argument: dict) -> None:
        if number in self._cancelled:
            return self.send("cancelled", number)
        try:
            steps = resolve(target)(**argument)
            for item in steps:
                if item is not None:  # None is a moment at which to ask whether to go on
                    self.send("event", number, item)
                self._answer_calls()
                if number in self._cancelled:
                    steps.close()
                    return self.send("cancelled", number)
            self.send("done", number)
        except Exception as error:
            self.send("failed", number, _failure(error))


def _failure(error: Exception) -> dict[str, str]:
    """What a person should read about an error, and the traceback where it is a defect of ours."""
    explained = explain(error)
    details = "" if isinstance(error, NTKExplorerError) else traceback.format_exc()
    return {"problem": explained.problem, "remedy": explained.remedy, "traceback": details}
