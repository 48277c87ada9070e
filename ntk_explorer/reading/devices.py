"""One kernel on several devices: the examples of a panel of rows are divided among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from ntk_explorer.reading.tiles import TiledKernel


def over_devices(kernel: TiledKernel, devices: Sequence[Any] | None = None) -> TiledKernel:
    """The same kernel, its rows read and contracted on all of ``devices`` (all visible ones when None).

    Each device holds its share of a panel's rows and all columns of a tile. A tile's examples are padded with
    repetitions to a multiple of the number of devices, and what belongs to these is cut away.
    """
    devices = jax.devices() if devices is None else devices
    if len(devices) == 1:
        return kernel
    mesh = jax.sharding.Mesh(devices, ("rows",))
    rows, everywhere = PartitionSpec("rows"), PartitionSpec()

    def parallel(function, in_specs):
        # What is held is made by loops over examples, whose varying axes shard_map does not see through.
        return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=rows, check_vma=False))

    read_rows = parallel(kernel.read, (rows,))
    between = parallel(lambda left, right: kernel.contract(left, right), (rows, everywhere))

    def read(x):
        return len(x), read_rows(_padded(jnp.asarray(x), len(devices)))

    def contract(left, right):
        (n, held), (m, other) = left, left if right is None else right
        return jax.tree.map(lambda a: a[:n, :m], between(held, other))

    return TiledKernel(read, contract, kernel.x1, kernel.x2)


def _padded(x: jax.Array, multiple: int) -> Any:
    missing = -len(x) % multiple
    return x if missing == 0 else jnp.concatenate([x, jnp.repeat(x[-1:], missing, axis=0)])
