"""Linear systems with a kernel: one Cholesky factorisation where it fits in memory, conjugate gradients beyond."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ntk_explorer.amounts import human_bytes
from ntk_explorer.errors import InvalidInput, NotConverged, TooLarge, UnknownName
from ntk_explorer.regression.cholesky import NotPositive, on_device, on_host
from ntk_explorer.regression.conjugate_gradients import conjugate_gradients, nystroem
from ntk_explorer.regression.singular import same_pair, singular
from ntk_explorer.regression.systems import System

SOLVERS = ("auto", "cholesky", "cg")
WORTH_MOVING = 4096  # unknowns from which an accelerator repays the copy and the compilation
ITERATIONS = 2000


class Solution(NamedTuple):
    """x with (K + ρI) x = b, its relative residual ‖b − (K + ρI) x‖ / ‖b‖ (of the worst column) and the way to it."""

    x: np.ndarray
    residual: float
    solver: str
    iterations: int


def solve(system: System, b: np.ndarray, *, solver: str = "auto", tolerance: float = 1e-8) -> Solution:
    """Solve (K + ρI) x = b for all columns of b [N, r] together.

    A factorisation of 8 N² bytes and N³/3 operations serves all columns. For N = 50 000 (CIFAR-10, pNTK) these are
    20 GB and 4·10¹³ operations: with a copy, 40 GB and a few seconds on a large GPU, 20 GB and minutes on a host.
    Conjugate gradients take one pass over the kernel per iteration, for all columns, and memory for vectors only.

    Args:
        system: from :func:`~ntk_explorer.regression.systems.read_system`.
        b: right-hand sides.
        solver: ``cholesky``, ``cg``, or ``auto``: a factorisation on the accelerator or the host if it fits in the
            memory that is free there, else conjugate gradients.
        tolerance: relative residual at which conjugate gradients end.

    Raises:
        UnknownName: no such solver.
        InvalidInput: the kernel is singular.
        TooLarge: ``cholesky`` does not fit in memory.
        NotConverged: conjugate gradients did not reach the tolerance.
    """
    if solver not in SOLVERS:
        raise UnknownName("solver", solver, SOLVERS)
    if (where := _place(system, solver)) == "cg":
        return _iterated(system, b, tolerance)
    try:
        x = (on_device if where == "device" else on_host)(system, b)
    except NotPositive:
        raise singular(system) from None
    return Solution(x, _residual(system, x, b), "cholesky", 1)


def _place(system: System, solver: str) -> str:
    """``device``, ``host`` or ``cg``: where the factor fits."""
    if solver == "cg" or (solver == "auto" and not system.has_rows):
        return "cg"
    if not system.has_rows:
        raise InvalidInput("An operator has no entries to factorise", "Use solver='cg', or form its matrix with gram.")
    import psutil

    factor = 8 * system.size**2
    if system.size >= WORTH_MOVING and (room := _device_room()) is not None and 3 * factor <= room:
        return "device"
    room = psutil.virtual_memory().available
    if factor <= 0.8 * room:
        return "host"
    if solver == "auto":
        return "cg"
    raise TooLarge(
        f"A factorisation of {system.size} unknowns takes {human_bytes(factor)}, and {human_bytes(room)} are free",
        "Use solver='cg', fewer examples, or the pNTK instead of the eNTK.",
    )


def _device_room() -> int | None:
    """Free memory of the accelerator; None where there is none."""
    import jax  # not above: only large systems ask

    from ntk_explorer.reading.machine import available_bytes

    return None if jax.default_backend() == "cpu" else available_bytes()


def _iterated(system: System, b: np.ndarray, tolerance: float) -> Solution:
    try:
        x, iterations = conjugate_gradients(
            system.multiply, b, nystroem(system), tolerance=tolerance, iterations=ITERATIONS
        )
    except NotPositive:
        raise singular(system) from None
    residual = _residual(system, x, b)
    if residual <= tolerance:
        return Solution(x, residual, "cg", iterations)
    if same_pair(system):  # two targets for one example: there is no solution to converge to
        raise singular(system)
    raise NotConverged(
        f"After {iterations} iterations of conjugate gradients the residual is {residual:.1e}, not {tolerance:.1e}",
        "Set a ridge, compute the kernel in float64, allow a larger tolerance, or remove examples that are alike.",
    )


def _residual(system: System, x: np.ndarray, b: np.ndarray) -> float:
    scale = np.linalg.norm(b, axis=0)
    error = np.linalg.norm(b - system.multiply(x), axis=0)
    return float((error / np.where(scale > 0, scale, 1)).max())
