"""How far a run is, on standard error: a bar in terminals and notebooks, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 10.0  # seconds between two lines where nobody watches
FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"

Show = Callable[[int, int, float | None], None]


@contextmanager
def bar(label: str, *, every: float = EVERY) -> Iterator[Show]:
    """Show the progress of one run.

    Args:
        label: what is counted.
        every: seconds between two lines where standard error is neither a terminal nor a notebook.

    Yields:
        A function of (done, total, seconds left or None) to be called as often as one likes. What is drawn on a
        terminal is gone at the end, however that comes.
    """
    if not (sys.stderr.isatty() or _in_notebook()):
        yield _lines(label, every)
        return
    picture = _tqdm(label)
    try:
        yield lambda done, total, left: _draw(picture, done, total, left)
    finally:
        picture.close()


def _tqdm(label: str):
    # not above: a quarter of a second that no other command needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # notebooks without widgets are told so; they get a bar of characters
        from tqdm.auto import tqdm

        return tqdm(desc=label, bar_format=FORMAT, leave=_in_notebook(), file=sys.stderr, dynamic_ncols=True)


def _draw(picture, done: int, total: int, left: float | None) -> None:
    # Not tqdm's own estimate: cells that were found take no time, and wide ones more than narrow ones.
    if picture.total != total:
        picture.reset(total)
    picture.n = done
    picture.set_postfix_str("" if left is None else f"{picture.format_interval(left)} left", refresh=False)
    picture.refresh()


def _lines(label: str, every: float) -> Show:
    """Lines at most every so many seconds, so none at all for short runs."""
    last = time.monotonic()

    def show(done: int, total: int, left: float | None) -> None:
        nonlocal last
        if time.monotonic() - last < every:
            return
        last = time.monotonic()
        rest = "" if left is None else f", {_clock(left)} left"
        print(f"{label}: {done} of {total}{rest}", file=sys.stderr, flush=True)

    return show


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})
