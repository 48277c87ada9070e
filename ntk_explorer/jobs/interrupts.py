"""Ctrl-C that reaches the program wherever it falls."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PAUSE = 0.05  # seconds after which an interrupt that was lost is sent once more


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the first Ctrl-C raise KeyboardInterrupt for certain, and the second end the program at once.

    Python drops an exception that is raised in a callback nobody awaits, for instance the one that jax has at
    every garbage collection, and reports it to ``sys.unraisablehook``. There the interrupt is sent again. Outside
    the main thread, or where the program has its own handling of Ctrl-C, nothing is changed but that.
    """
    report, ours = sys.unraisablehook, signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ours = ours and threading.current_thread() is threading.main_thread()

    def lost(unraisable):
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            return report(unraisable)
        if ours:
            signal.signal(signal.SIGINT, _interrupt)
        return _later()

    sys.unraisablehook = lost
    if ours:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        sys.unraisablehook = report
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(*_) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def _later() -> None:
    # Not at once: it would be raised here, and be lost again.
    timer = threading.Timer(PAUSE, _send)
    timer.daemon = True
    timer.start()


def _send() -> None:
    if hasattr(signal, "pthread_kill"):  # wakes the main thread, whatever it waits for
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)
