"""A kernel in two steps, so that each example is read once per panel: read tiles of examples, contract any two.

Rows are held, columns are streamed past them; with x2 = x1 each pair of tiles is contracted once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Tile(NamedTuple):
    """A piece of the kernel: which examples of x1, which of x2, and an array [t, u, ...] or several by name."""

    rows: slice
    columns: slice
    values: Any


@dataclass(frozen=True)
class TiledKernel:
    """A kernel of given examples, not yet computed.

    ``read(x[t, ...])`` gives what is held of a tile of examples, arrays with a leading axis of examples;
    ``contract(left, right)`` gives the kernel [t, u, ...] (or a dictionary of them) between two tiles, where
    ``right=None`` stands for the left one again. ``x2=None`` stands for ``x1`` again. ``finish``, where there is
    one, is applied to the whole matrix: what no tile can know by itself.
    """

    read: Callable[[Any], Any]
    contract: Callable[[Any, Any], Any]
    x1: Any
    x2: Any = None
    finish: Callable[[Any], Any] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of examples along rows and columns."""
        return len(self.x1), len(self.x1 if self.x2 is None else self.x2)

    def grid(self, size: int) -> list[tuple[slice, slice]]:
        """Rows and columns of all tiles that are computed, panel by panel."""
        n, m = self.shape
        return [
            (slice(i, min(i + size, n)), slice(j, min(j + size, m)))
            for i in range(0, n, size)
            for j in range(i if self.x2 is None else 0, m, size)
        ]

    def tiles(self, size: int, *, skip: Callable[[slice, slice], bool] = lambda *_: False) -> Iterator[Tile]:
        """Compute tile after tile of at most ``size`` × ``size`` examples, those to ``skip`` left out."""
        held = HeldRows(self)
        for rows, columns in self.grid(size):
            if not skip(rows, columns):
                yield held.tile(rows, columns)


class HeldRows:
    """Computes tiles one by one; the rows that were read last are held, so that their panel is read once."""

    def __init__(self, kernel: TiledKernel):
        """Read nothing yet."""
        self._kernel = kernel
        self._rows: slice | None = None
        self._held: Any = None

    def tile(self, rows: slice, columns: slice) -> Tile:
        """The tile at some rows and columns."""
        kernel = self._kernel
        if rows != self._rows:
            self._held = None  # before the next panel is read: two do not fit
            self._rows, self._held = rows, kernel.read(kernel.x1[rows])
        itself = kernel.x2 is None and rows == columns
        other = None if itself else kernel.read((kernel.x1 if kernel.x2 is None else kernel.x2)[columns])
        return Tile(rows, columns, kernel.contract(self._held, other))


def evaluate(kernel: TiledKernel, batch_size: int | None = None) -> Any:
    """The whole kernel in memory, [n, m, ...] or a dictionary of them; may be traced."""
    values = _whole(kernel, batch_size or max(kernel.shape))
    return values if kernel.finish is None else kernel.finish(values)


def _whole(kernel: TiledKernel, size: int) -> Any:
    return put_together({(tile.rows.start, tile.columns.start): tile.values for tile in kernel.tiles(size)})


def put_together(grid: dict[tuple[int, int], Any]) -> Any:
    """One array, or a dictionary of them, from those of the tiles by the place of each."""
    if len(grid) == 1:
        return next(iter(grid.values()))
    return jax.tree.map(lambda *values: assembled(dict(zip(grid, values, strict=True))), *grid.values())


def mirrored(values: Any) -> Any:
    """Tiles of (x2, x1) from those of (x1, x2): both pairs of axes change places."""
    return jax.tree.map(lambda a: a.T if a.ndim == 2 else a.transpose(1, 0, 3, 2), values)


def diagonal(kernel: TiledKernel, held: Any) -> jax.Array:
    """K(x, x) of every example that was read: [t, ...]."""
    alone = jax.tree.map(lambda a: a[:, None], held)
    return jax.vmap(lambda one: kernel.contract(one, None)[0, 0])(alone)


def whole_diagonal(kernel: TiledKernel, held: Any) -> jax.Array:
    """K(x, x) of every example that was read [t], the shares of a kernel with shares added up."""
    alone = jax.tree.map(lambda a: a[:, None], held)
    diagonals = jax.vmap(lambda one: [a[0, 0] for a in jax.tree.leaves(kernel.contract(one, None))])(alone)
    return reduce(operator.add, diagonals)


def weighted_sum(weights: Sequence[float], parts: Sequence[Any]) -> Any:
    """Σ_t w_t K_t of arrays, or of dictionaries of them."""

    def added(*values):
        return reduce(operator.add, (weight * value for weight, value in zip(weights, values, strict=True)))

    return jax.tree.map(added, *parts)


def assembled(grid: dict[tuple[int, int], jax.Array]) -> jax.Array:
    """Tiles side by side, by the place of each; one that is not there is the mirror image of its counterpart."""

    def block(i, j):
        return grid[i, j] if (i, j) in grid else mirrored(grid[j, i])

    rows, columns = sorted({i for i, _ in grid}), sorted({j for _, j in grid})
    return jnp.concatenate([jnp.concatenate([block(i, j) for j in columns], axis=1) for i in rows])
