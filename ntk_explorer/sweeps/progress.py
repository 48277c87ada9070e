"""How long the rest of a sweep will take, judged by the cells so far."""

from __future__ import annotations

import time
from collections.abc import Iterable
from statistics import fmean


class Clock:
    """Times cells and predicts the rest; the first cell of a width also compiles, so it is timed apart."""

    def __init__(self):
        """Start now."""
        self._begun = time.perf_counter()
        self._first: dict[int, float] = {}
        self._again: dict[int, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._begun

    def record(self, width: int, seconds: float) -> None:
        """Note the time of a computed cell."""
        (self._again if width in self._first else self._first)[width] = seconds

    def left(self, widths: Iterable[int]) -> float | None:
        """Seconds for cells of these widths still to come; None before the first has been timed."""
        if not self._first:
            return None
        seen, total = set(self._first), 0.0
        for width in widths:
            total += self._again_seconds(width) if width in seen else self._first_seconds(width)
            seen.add(width)
        return total

    def _first_seconds(self, width: int) -> float:
        # Time grows with width: the nearest width that has been timed is the best guide.
        return self._first[min(self._first, key=lambda known: abs(known - width))]

    def _again_seconds(self, width: int) -> float:
        if width in self._again:
            return self._again[width]
        first = self._first_seconds(width)
        shared = [self._again[w] / self._first[w] for w in self._again if w in self._first]
        return first * min(1.0, fmean(shared)) if shared else first
