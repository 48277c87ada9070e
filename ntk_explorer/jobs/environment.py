"""What worker processes compute under: settings of jax, threads, and one GPU each."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

import platformdirs

# Eigenvalues differ in their last bits with the number of threads that computed them. So a task has one,
# wherever it runs, and more processes are the way to more cores. XLA gave the same bits with any number of threads.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def jax_defaults() -> dict[str, str]:
    """Settings of jax for a process that computes, to be set before jax is imported; the user's own ones win."""
    return {
        "JAX_ENABLE_X64": "1",
        # Every width is compiled once per machine, not once per start.
        "JAX_COMPILATION_CACHE_DIR": str(platformdirs.user_cache_path("ntk-explorer") / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        # Memory is taken as it is needed: a notebook on the same device keeps its share.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def child_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker process: defaults, then the user's variables, then the ``given`` ones."""
    # Eigenvalues of a thousand rows come sooner from fewer threads, and the page needs a core too.
    threads = str(max(1, (os.cpu_count() or 2) // 2))
    return jax_defaults() | {"OPENBLAS_NUM_THREADS": threads} | dict(os.environ) | dict(given)


def worker_environments(n: int) -> list[dict[str, str]]:
    """What distinguishes ``n`` workers of one machine from this process: one thread of BLAS, and a GPU of their own.

    Two workers with two threads each on two cores took 2 to 40 times as long for eigenvalues as with one each.
    XLA's threads get along: no difference was measured. GPUs are shared out in turn where there are several; a
    single one, or none, is left as it is.
    """
    gpus = visible_gpus() if n > 1 else []
    pins = [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if len(gpus) > 1 else {} for i in range(n)]
    return [ONE_THREAD | pin for pin in pins]


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; found without opening any."""
    if os.environ.get("JAX_PLATFORMS", "").split(",")[0] == "cpu":
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # a driver that does not answer: jax will say what is wrong
        return []
    return listed.split()


def blas():
    """The BLAS libraries of this process: numpy's, and scipy's, from which jax takes its LAPACK."""
    import scipy.linalg  # noqa: F401, not above: who lists names needs no BLAS
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()
