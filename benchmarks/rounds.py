"""How contenders are timed: in turns, so that what else the machine does hits all alike, and within bounds."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import psutil

from ntk_explorer.comparison.scaling import fit_slope

Call = Callable[[], Any]
SHORT = 0.3  # seconds


class Cost(NamedTuple):
    """Seconds of one call, the memory it took beyond what was held before (None where the system does not say)."""

    seconds: float
    bytes: int | None


@dataclass
class Entrant:
    """One contender at the size asked for, or at smaller ones where that one is out of bounds."""

    costs: dict[int, Cost] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def at(self, n: int) -> float:
        """Median seconds at ``n``, or what the growth over smaller sizes leads to from the largest of them.

        Every example has to be read, and there are n² pairs: fitted exponents outside of 1 to 2 are noise.
        """
        if self.seconds:
            return statistics.median(self.seconds)
        sizes = sorted(self.costs)
        exponent = fit_slope(sizes, [self.costs[size].seconds for size in sizes]).slope
        return self.costs[sizes[-1]].seconds * (n / sizes[-1]) ** min(2.0, max(1.0, exponent))


def seconds(call: Call) -> tuple[float, Any]:
    """Wall-clock time of a call until its result is there, and the result."""
    start = time.perf_counter()
    result = call()
    getattr(result, "block_until_ready", lambda: None)()  # torch has computed it already
    return time.perf_counter() - start, result


def cost(call: Call) -> Cost:
    """Time and peak memory of a call that has been compiled before; the best of three where it is short."""
    before = _fresh_peak()
    duration = seconds(call)[0]
    peak = None if before is None else max(0, _status("VmHWM") - before)
    if duration < SHORT:
        duration = min(duration, *(seconds(call)[0] for _ in range(2)))
    return Cost(duration, peak)


def _fresh_peak() -> int | None:
    """Bytes held now, after giving back what is free, with the system's record of the peak begun anew."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return _status("VmRSS")
    except OSError:  # not Linux
        return None


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))


def enter(call_at: Callable[[int], Call], n: int, *, first: int, limit: float, step_limit: float) -> Entrant:
    """Try a contender at growing sizes: at ``n`` as soon as that will take less than ``limit`` seconds.

    Time and memory are taken to grow as size^1.5, between one example after the other and all pairs; where ``n``
    stays out of reach, sizes are doubled as long as one takes less than ``step_limit``, so that the growth can be
    fitted.
    """
    entrant, size = Entrant(), first
    while size not in entrant.costs:
        found = _try(entrant, call_at, size)
        for larger, most in ((n, limit), (2 * size, step_limit)):
            growth = (larger / size) ** 1.5
            room = psutil.virtual_memory().available / 4  # since memory may grow with all pairs after all
            if size < larger <= n and found.seconds * growth < most and (found.bytes or 0) * growth < room:
                size = larger
                break
    if n not in entrant.costs and first > 1:
        _try(entrant, call_at, first // 2)
    return entrant


def _try(entrant: Entrant, call_at: Callable[[int], Call], size: int) -> Cost:
    call = call_at(size)
    seconds(call)
    entrant.costs[size] = cost(call)
    return entrant.costs[size]


def in_turns(calls: Mapping[str, Call], *, rounds: int, budget: float) -> dict[str, list[float]]:
    """Seconds of every call, round by round; one that has had its ``budget`` of seconds sits out."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            if sum(found[name]) < budget:
                found[name].append(seconds(call)[0])
    return found


def require_equal(name: str, result: Any, ours: Any, tolerance: float = 1e-3) -> None:
    """A contender with other numbers computes something else."""
    result, ours = np.asarray(result), np.asarray(ours)
    difference = float(np.abs(result - ours).max() / np.abs(ours).max())
    if result.shape != ours.shape or not difference < tolerance:
        message = f"{name} returns {result.shape}, {difference:.1e} away from our {ours.shape}"
        raise ArithmeticError(message)
