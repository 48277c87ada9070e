"""What the machine at hand can do: memory left, and its own rate of matrix products."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import psutil


def available_bytes() -> int:
    """Memory that arrays may still take: of the accelerator where JAX computes on one, else of the host."""
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return int(psutil.virtual_memory().available)


# Parts of a tile that are read at the same time, at most: more make its matrix products small.
LANES = 4


class WorkingBytes(NamedTuple):
    """How much to work on at a time: what stays close to the processor, and a chunk of examples."""

    close: int
    chunk: int


def working_bytes() -> WorkingBytes:
    """Sizes at which this machine works best: an accelerator wants much at once, a host what fits into its caches.

    On 2 cores, forming the per-example gradients of a 3×3 convolution one by one took half the time of all together.
    """
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return WorkingBytes(stats["bytes_limit"] // 64, stats["bytes_limit"] // 16)
    return WorkingBytes(2**21, 2**28 // LANES)


def lanes_for(x: Any) -> int:
    """In how many parts examples [n, ...] are best read at the same time: images on a host in one per core."""
    return min(os.cpu_count() or 1, LANES) if on_host() and len(x.shape) >= 4 else 1


def on_host() -> bool:
    """Whether JAX computes on the host's own processor, which shares the host's memory."""
    return "bytes_limit" not in (jax.devices()[0].memory_stats() or {})


@lru_cache(maxsize=4)
def matmul_rate(dtype: str = "float64", size: int = 768) -> float:
    """Floating-point operations per second of a square matrix product, the best of three; measured once."""
    with jax.enable_x64(dtype == "float64"):
        a = jnp.ones((size, size), dtype)
        product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
        product(a).block_until_ready()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            product(a).block_until_ready()
            times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)
