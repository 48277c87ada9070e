"""Our kernels beside those of neural-tangents, plain JAX and torch.func, in one interleaved run.

Times are medians over rounds in which every contender has its turn. Operations are those of our own estimate,
symmetric halves counted once; the machine's rate of matrix products is taken in the same rounds. Memory is that of
our kernel alone, in a process of its own. A peer that would take too long or too much memory is timed on fewer
examples, and its time at n (marked ~) follows from the growth fitted there: from small sizes, hence rather too short.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from memory import peak_bytes
from peers import NAMES, OURS, contenders, ours
from rounds import Entrant, enter, in_turns, require_equal, seconds
from works import WORKS, Work, started

from ntk_explorer.amounts import human_bytes
from ntk_explorer.architectures import build
from ntk_explorer.comparison.scaling import fit_slope
from ntk_explorer.kernels import KERNELS
from ntk_explorer.kernels.estimate import Estimate, estimate

ABSENT = "not installed"
MATMUL, MATMUL_SIZE = "matmul", 2048
QUICK = (WORKS[0], WORKS[3])
KINDS = ("pntk", "trntk", "entk")


class Effort(NamedTuple):
    """How long to look: rounds, seconds per contender over all rounds, for one call at n, at a smaller size."""

    rounds: int
    budget: float
    limit: float
    step_limit: float


FULL, HASTE = Effort(7, 8.0, 10.0, 2.0), Effort(3, 2.0, 1.0, 0.3)


class Result(NamedTuple):
    """What one kernel of one network took."""

    work: Work
    kernel: str
    entrants: dict[str, Entrant]
    rate: float
    estimate: Estimate
    bytes: int | None


def report(*, quick: bool = False) -> Iterator[str]:
    """The lines of both tables, as they are found."""
    effort, works = (HASTE, QUICK) if quick else (FULL, WORKS)
    header = None
    for work in works:
        for kernel in KINDS:
            result = compare(work, kernel, effort)
            if header is None:
                header = ["network, n", "kernel", *NAMES, "best peer / ours", "GFLOP/s", "of matmul"]
                header += ["memory", "of estimate", "time of estimate"]
                yield from (_line(header), _line(["---"] * len(header)))
            yield _line(_cells(result))
    yield ""
    yield from growth(HASTE if quick else FULL)


def compare(work: Work, kernel: str, effort: Effort) -> Result:
    """Check, warm up and time all contenders on one kernel."""
    network = build(work.architecture, **work.options)
    params, x = started(network, work.n)
    _say(f"{work.name}, n = {work.n}, {kernel}:")
    functions = {name: function for name, function in contenders(network, params, kernel).items() if function}
    expected = np.asarray(functions[OURS](x))
    entrants = {name: _entered(name, function, expected, x, effort) for name, function in functions.items()}
    calls = {name: _call(functions[name], x) for name, entrant in entrants.items() if work.n in entrant.costs}
    times = in_turns(calls | {MATMUL: matmul()}, rounds=effort.rounds, budget=effort.budget)
    for name in calls:
        entrants[name].seconds = times[name]
    _say(" timed\n")
    rate = 2 * MATMUL_SIZE**3 / statistics.median(times[MATMUL])
    jax.clear_caches()  # compiled programs hold memory
    expected_cost = estimate(kernel, network.apply, params, x)
    return Result(work, kernel, entrants, rate, expected_cost, peak_bytes(work.name, kernel))


def matmul() -> Callable[[], Any]:
    """The product that the machine's rate is taken from."""
    a = jnp.ones((MATMUL_SIZE, MATMUL_SIZE), "float32")
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    product(a).block_until_ready()
    return lambda: product(a)


def _entered(name: str, function, expected: np.ndarray, x: np.ndarray, effort: Effort) -> Entrant:
    begun, n = time.perf_counter(), len(x)

    def call_at(size):
        require_equal(name, function(x[:size]), expected[:size, :size])
        return _call(function, x[:size])

    first = n if name == OURS else max(2, min(16, n // 4))
    entrant = enter(call_at, n, first=first, limit=effort.limit, step_limit=effort.step_limit)
    _say(f" {name} up to n = {max(entrant.costs)} ({time.perf_counter() - begun:.0f} s),")
    return entrant


def _call(function, x):
    return lambda: function(x)


def _cells(result: Result) -> Iterator[str]:
    n, found = result.work.n, result.entrants
    mine = found[OURS].at(n)
    yield f"{result.work.name}, n = {n}"
    yield KERNELS[result.kernel].label
    for name in NAMES:
        yield f"{'' if found[name].seconds else '~'}{_duration(found[name].at(n))}" if name in found else ABSENT
    best = min(entrant.at(n) for name, entrant in found.items() if name != OURS)
    speed = result.estimate.flops / mine
    yield from (f"{best / mine:.2f}", f"{speed / 1e9:.0f}", f"{speed / result.rate:.0%}")
    if result.bytes is None:
        yield from ("–", "–")
    else:
        yield from (human_bytes(result.bytes), f"{result.bytes / result.estimate.bytes:.2f}")
    yield f"{mine / result.estimate.seconds(result.rate):.2f}"


def growth(effort: Effort) -> Iterator[str]:
    """How our time grows: exponents fitted over four sizes, with the interval over rounds."""
    yield from (_line(["growth of our time", "sizes", "exponent [95 % interval over rounds]"]), _line(["---"] * 3))
    for kernel in KINDS:
        yield _exponent(f"{KERNELS[kernel].label} with n, MLP 64-512³-10", kernel, "n", (128, 256, 512, 1024), effort)
    yield _exponent("pNTK with width, MLP, n = 256", "pntk", "width", (256, 512, 1024, 2048), effort)
    yield _exponent("trNTK with outputs, MLP 64-512³, n = 256", "trntk", "outputs", (5, 10, 20, 40), effort)
    yield _exponent("eNTK with outputs, MLP 64-512³, n = 128", "entk", "outputs", (5, 10, 20, 40), effort)


def _exponent(name: str, kernel: str, what: str, sizes: tuple[int, ...], effort: Effort) -> str:
    calls = {}
    for size in sizes:
        options = {"n": 128 if "n = 128" in name else 256, "width": 512} | {what: size}
        n = options.pop("n")
        network = build("mlp", depth=4, **options)
        params, x = started(network, n)
        calls[str(size)] = _call(ours(network, params, kernel), x)
        seconds(calls[str(size)])
    times = in_turns(calls, rounds=effort.rounds, budget=effort.budget)
    complete = min(map(len, times.values()))
    slope = fit_slope(sizes, [[times[str(size)][i] for size in sizes] for i in range(complete)])
    return _line([name, ", ".join(map(str, sizes)), str(slope)])


def _duration(value: float) -> str:
    return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s" if value < 1000 else f"{value:.0f} s"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _say(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)
