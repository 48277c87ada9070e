"""What the machine at hand can do: memory left, and its own rate of matrix products."""

from __future__ import annotations

import time
from functools import lru_cache

import jax
import jax.numpy as jnp
import psutil


def available_bytes() -> int:
    """Memory that arrays may still take: of the accelerator where JAX computes on one, else of the host."""
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return int(psutil.virtual_memory().available)


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
