"""What runs on the workers of a Dask cluster; they import this module by name."""

from __future__ import annotations

import functools
import os
import pickle
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from ntk_explorer.errors import InvalidInput, NTKExplorerError
from ntk_explorer.jobs.environment import blas, jax_defaults
from ntk_explorer.jobs.tasks import Task, execute, explain

PACKAGES = ("ntk-explorer", "jax", "numpy", "distributed")


class Terms(NamedTuple):
    """What a worker has to fulfil: the versions of the client, and a task that must succeed there."""

    versions: dict[str, str]
    probe: Task | None


def versions() -> dict[str, str]:
    """What has to be the same on both sides: packages, and the minor version of Python."""
    return {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"} | {name: _installed(name) for name in PACKAGES}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def inspect(terms: bytes, *, probe: bool = True) -> NTKExplorerError | None:
    """Why this process cannot take part, if it cannot; ``terms`` is a pickled :class:`Terms`."""
    demanded: Terms = pickle.loads(terms)
    theirs = versions()
    skew = [f"{name} {theirs[name]} (here {ours})" for name, ours in demanded.versions.items() if theirs[name] != ours]
    if skew:
        return InvalidInput(f"It has {', '.join(skew)}", "Install the same versions on all machines.")
    if demanded.probe is None or not probe:
        return None
    return execute(demanded.probe.target, demanded.probe.arguments)["error"]


def perform(work: bytes, terms: bytes) -> bytes:
    """A task on a worker: pickled target and arguments in, the pickled answer of :func:`execute` out.

    Bytes, because Dask looks into arguments for strings that are keys of other tasks, and puts their results there.
    """
    if refusal := _admitted(terms):
        return pickle.dumps({"token": None, "seconds": 0.0, "error": refusal, "traceback": ""})
    try:
        return pickle.dumps(execute(*pickle.loads(work)))
    except Exception as error:  # arguments or a token that cannot be read or sent
        return pickle.dumps({"token": None, "seconds": 0.0, "error": explain(error), "traceback": ""})


@functools.lru_cache(maxsize=8)
def _admitted(terms: bytes) -> NTKExplorerError | None:
    """Once per process and client: a worker may have joined after the client looked at all of them."""
    for name, value in jax_defaults().items():
        os.environ.setdefault(name, value)
    blas().limit(limits=1, user_api="blas")
    refusal = inspect(terms)
    return refusal and NTKExplorerError(f"A worker on {platform.node()} was refused: {refusal.problem}", refusal.remedy)
