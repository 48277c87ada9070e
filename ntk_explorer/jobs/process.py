"""A child process that answers messages, seen from its parent; this side never imports jax."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ntk_explorer.jobs.environment import child_environment

log = logging.getLogger(__name__)

BEATS = 4  # heartbeats in the time after which silence counts
PATIENCE = 10  # times as long may a process be silent that has not said hello: it imports and compiles
IDLE = 0.02  # share of one core below which a silent process is frozen rather than deep in one long call


class ChildProcess:
    """One started process: messages to it, messages from it on a thread, and a watch on its heartbeats.

    The process is started as ``python -c …`` with this interpreter and path, not through multiprocessing: its
    spawn would run the caller's main script again (for ``panel serve``, all of Panel). It ends when this
    process ends, however that happens.
    """

    def __init__(
        self,
        *,
        warm_up: str | None,
        environment: Mapping[str, str],
        ttl: float,
        on_message: Callable[[ChildProcess, str, int, Any], None],
        on_end: Callable[[ChildProcess, int], None],
    ):
        """Start the process; callbacks come on its reading thread."""
        self.hello: dict | None = None
        self._ttl, self._on_message, self._on_end = ttl, on_message, on_end
        self._heard, self._ended = threading.Event(), threading.Event()
        self._popen = subprocess.Popen(
            [sys.executable, "-c", _program(warm_up, ttl / BEATS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment(environment),
        )
        for work, name in ((self._read, "ntk-explorer worker"), (self._watch, "ntk-explorer watch")):
            threading.Thread(target=work, name=name, daemon=True).start()

    @property
    def pid(self) -> int:
        """Its number in the operating system."""
        return self._popen.pid

    def send(self, kind: str, number: int, body: Any = None) -> None:
        """Send one message; a process that is gone is noticed by the reading thread."""
        assert self._popen.stdin
        with suppress(OSError):
            self._popen.stdin.write(pickle.dumps((kind, number, body)))
            self._popen.stdin.flush()

    def terminate(self) -> None:
        """End the process in the middle of whatever it does."""
        self._popen.terminate()

    def stop(self, seconds: float = 2.0) -> None:
        """Ask the process to end, by closing its input, and wait for that."""
        if self._popen.stdin:
            with suppress(OSError):  # unsent bytes to a process that is gone
                self._popen.stdin.close()
        try:
            self._popen.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self.close()

    def close(self) -> None:
        """Close the pipes of a process that has ended."""
        self._ended.set()
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream:
                with suppress(OSError):  # unsent bytes to a process that is gone
                    stream.close()

    def _read(self) -> None:
        assert self._popen.stdout
        while True:
            try:
                kind, number, body = pickle.load(self._popen.stdout)
            except (EOFError, OSError, ValueError):
                break
            except Exception as error:
                if not isinstance(error, pickle.UnpicklingError):  # that one is a message cut short by its sender's end
                    log.exception("an answer of the worker could not be read")
                self._popen.kill()  # Whatever follows could not be understood.
                break
            self._heard.set()
            if kind == "hello":
                self.hello = body
            if kind != "beat":
                self._on_message(self, kind, number, body)
        code = self._popen.wait()
        self._ended.set()
        self._on_end(self, code)

    def _watch(self) -> None:
        """Kill the process when it neither speaks nor computes.

        Silence alone is not enough: scipy's LAPACK holds the interpreter for the whole of one call (2.5 s
        for eigenvalues of 1,200 rows), and no thread can send heartbeats meanwhile. Silence is counted in turns of
        this thread, not by the clock, so that Ctrl-Z and ``fg`` of the whole program do not count.
        """
        turn, silent, used = self._ttl / BEATS, 0, 0.0
        while not self._ended.wait(turn):
            if self._heard.is_set():
                self._heard.clear()
                silent = 0
                continue
            silent += 1
            if silent == 1:
                used = self._cpu_seconds()
            elif silent > BEATS * (1 if self.hello is not None else PATIENCE):
                if self._cpu_seconds() - used < IDLE * turn * silent:
                    log.error("the worker process was silent for %.3g s and is ended", turn * silent)
                    self._popen.kill()
                    return
                silent = 0

    def _cpu_seconds(self) -> float:
        import psutil  # not above: half of what importing this module costs

        try:
            times = psutil.Process(self._popen.pid).cpu_times()
        except psutil.Error:  # it has just ended
            return 0.0
        return times.user + times.system


def _program(warm_up: str | None, beat: float) -> str:
    start = f"main({warm_up!r}, beat={beat!r})"
    return f"import sys; sys.path[:] = {sys.path!r}; from ntk_explorer.jobs.child import main; {start}"
