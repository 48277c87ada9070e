"""Why a kernel cannot be inverted: the two examples that are one to it, or the rank that it lacks."""

from __future__ import annotations

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.regression.systems import System, row_parts

COUNTED = 3000  # unknowns whose eigenvalues are worth computing for a message
RIDGE = "set a ridge (for instance ridge=1e-6, --ridge 1e-6 on the command line)"


def singular(system: System) -> InvalidInput:
    """The error that names the pair of examples, or else the number of directions that are missing."""
    pair = same_pair(system)
    if pair:
        return InvalidInput(
            f"The kernel is singular: examples {pair[0]} and {pair[1]} are the same to it",
            _remedy(system, "Remove one of them"),
        )
    return InvalidInput(
        f"The kernel is singular, or no kernel, up to rounding{_deficit(system)}",
        _remedy(system, "Remove examples that are alike", "take a wider network"),
    )


def _remedy(system: System, *ways: str) -> str:
    """What to do; more digits where the kernel came with few."""
    coarse = system.rounding > np.finfo(float).eps
    ways = (*ways, RIDGE, *(["compute the kernel in float64"] if coarse else []))
    return f"{', '.join(ways[:-1])}, or {ways[-1]}."


def same_pair(system: System) -> tuple[int, int] | None:
    """The first pair at no distance in feature space: ‖φ_i − φ_j‖² = K_ii + K_jj − 2 K_ij, traces of blocks."""
    if not system.has_rows:
        return None
    diagonal = np.concatenate([traces[np.arange(len(traces)), np.r_[rows]] for rows, traces in _traces(system)])
    floor = 100 * system.rounding * np.abs(diagonal)
    for rows, traces in _traces(system):
        here = np.r_[rows]
        distances = diagonal[here, None] + diagonal[None, :] - 2 * traces
        same = (np.abs(distances) <= floor[here, None]) & (here[:, None] < np.arange(system.n))
        if same.any():
            row, column = np.argwhere(same)[0]
            return int(here[row]), int(column)
    return None


def _traces(system: System):
    """Rows [b, n] of the traces of blocks."""
    c = system.outputs
    for rows, part in row_parts(system.source):
        blocks = part.reshape(-1, c, system.n, c)
        yield slice(rows.start // c, rows.stop // c), np.einsum("iajb,ab->ij", blocks, np.eye(c))


def _deficit(system: System) -> str:
    if not system.has_rows or system.size > COUNTED:
        return ""
    values = np.linalg.eigvalsh(system.matrix())
    floor = (system.size * np.finfo(float).eps + 10 * system.rounding) * values[-1]
    return (
        f": its smallest eigenvalue is {values[0]:.1e} and its largest {values[-1]:.1e}, and "
        f"{max(1, int((values <= floor).sum()))} of {len(values)} are no more than rounding"
    )
