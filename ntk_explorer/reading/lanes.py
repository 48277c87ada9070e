"""One kernel on several cores: parts of a tile's examples are read side by side.

On a host XLA computes a convolution, and the small products that per-example gradients are made of, on one core.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from ntk_explorer.reading.machine import lanes_for
from ntk_explorer.reading.tiles import TiledKernel, put_together

# Below this many examples a part is not worth a thread.
SMALLEST_PART = 4


def in_lanes(kernel: TiledKernel, given: Any = (), *, count: int | None = None) -> TiledKernel:
    """The same kernel, its tiles read in parts at the same time.

    Args:
        kernel: a kernel of concrete examples.
        given: a pytree of what it is made from; where any of it is traced, all stays in one thread.
        count: parts; when None as many as the machine has use for, which for other examples than images is one,
            since matrix products use all cores as it is.
    """
    if any(isinstance(leaf, Tracer) for leaf in (*jax.tree.leaves(given), jnp.zeros(()))):
        return kernel
    most = lanes_for(kernel.x1) if count is None else count
    if most == 1:
        return kernel

    def read(x):
        size = max(SMALLEST_PART, -(-len(x) // most))
        parts = [x[i : i + size] for i in range(0, len(x), size)]
        read_one = _as_here(kernel.read)
        with ThreadPoolExecutor(len(parts)) as pool:
            return list(pool.map(read_one, parts))

    def contract(left, right):
        columns = left if right is None else right
        return put_together(
            {
                (i, j): kernel.contract(rows, None if right is None and i == j else columns[j])
                for i, rows in enumerate(left)
                for j in range(i if right is None else 0, len(columns))
            }
        )

    return TiledKernel(read, contract, kernel.x1, kernel.x2, kernel.finish)


def _as_here(function) -> Any:
    """A function that meets this thread's settings of JAX in any other thread."""
    config: Any = jax.config
    x64, promotion, device = config.jax_enable_x64, config.jax_numpy_rank_promotion, config.jax_default_device

    def there(*args):
        with jax.enable_x64(x64), jax.numpy_rank_promotion(promotion), jax.default_device(device):
            return function(*args)

    return there
