"""How long the rest of a trajectory will take, judged by its epochs and kernels so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import fmean
from typing import NamedTuple


class Kind(NamedTuple):
    """Work that takes about the same time again and again: epochs, linearised epochs or kernels, at one width."""

    what: str
    width: int


class Pace:
    """Times pieces of work and predicts those to come; the first of a kind also compiles, so it counts for little."""

    def __init__(self, guesses: Mapping[Kind, float], workers: int = 1):
        """Seconds that a piece of each kind will take, until the first of them has been timed."""
        self._guesses, self._workers = dict(guesses), max(1, workers)
        self._first: dict[Kind, float] = {}
        self._later: dict[Kind, list[float]] = {}

    def record(self, kind: Kind, seconds: float, pieces: int = 1) -> None:
        """Note the time of so many pieces."""
        if kind not in self._first and pieces == 1:
            self._first[kind] = seconds
        else:
            self._first.setdefault(kind, seconds / pieces)
            self._later.setdefault(kind, []).append(seconds / pieces)

    def left(self, remaining: Counter[Kind]) -> float:
        """Seconds for what remains."""
        return sum(count * self._seconds(kind) for kind, count in remaining.items()) / self._workers

    def _seconds(self, kind: Kind) -> float:
        if later := self._later.get(kind):
            return fmean(later[-20:])
        # What is compiled at first is not again: a guess is better, unless it is too low by more than that.
        return min(self._first[kind], self._guesses[kind]) if kind in self._first else self._guesses[kind]
