"""How long the rest of a run will take, judged by the cells so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ntk_explorer.jobs.progress import bar

# A network in words, and its width: cells of one kind take about as long as one another.
Kind = tuple[str, int]


@dataclass(frozen=True)
class Progress:
    """How far a run is: ``step`` of ``total`` parts, seconds since its start, and seconds to its end once known."""

    step: int
    total: int
    seconds: float
    seconds_left: float | None


@contextmanager
def shown(progress: Callable[[Any], Any] | bool, what: str) -> Iterator[Callable[[Any], Any]]:
    """What to call with every :class:`Progress`: the caller's function, a bar that counts ``what``, or nothing."""
    if callable(progress):
        yield progress
    elif progress:
        with bar(what) as draw:
            yield lambda now: draw(now.step, now.total, now.seconds_left)
    else:
        yield lambda _: None


class Clock:
    """Times cells and predicts the rest; the first cell of a kind also compiles, so it is timed apart."""

    def __init__(self, workers: int = 1):
        """Start now; so many cells are computed at a time."""
        self._begun = time.perf_counter()
        self._workers = max(1, workers)
        self._first: dict[Kind, float] = {}
        self._again: dict[Kind, float] = {}
        # First times by width: of every network, and under None of all.
        self._widths: dict[str | None, dict[int, float]] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._begun

    def record(self, kind: Kind, seconds: float) -> None:
        """Note the time of a computed cell."""
        if kind in self._first:
            self._again[kind] = seconds
            return
        network, width = kind
        self._first[kind] = seconds
        for known in (network, None):
            self._widths.setdefault(known, {}).setdefault(width, seconds)

    def left(self, kinds: Iterable[Kind]) -> float | None:
        """Seconds for cells of these kinds still to come; None before the first has been timed."""
        if not self._first:
            return None
        gains = [again / self._first[kind] for kind, again in self._again.items()]
        gain, seen, total = min(1.0, fmean(gains)) if gains else 1.0, set(self._first), 0.0
        for kind in kinds:
            first = self._first_seconds(kind)
            total += self._again.get(kind, first * gain) if kind in seen else first
            seen.add(kind)
        return total / self._workers

    def _first_seconds(self, kind: Kind) -> float:
        # Time grows with width: the nearest one that has been timed, of the same network if there is one, is the guide.
        network, width = kind
        known = self._widths.get(network) or self._widths[None]
        return known[min(known, key=lambda other: abs(other - width))]
