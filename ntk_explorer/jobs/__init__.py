"""Long work as tasks: in this process, in warm worker processes, or on a Dask cluster; never imports jax itself."""

from __future__ import annotations

from typing import Any

from ntk_explorer.errors import InvalidInput
from ntk_explorer.jobs.inline import Inline
from ntk_explorer.jobs.pool import WorkerPool
from ntk_explorer.jobs.tasks import Backend, Outcome, Task

__all__ = ["Backend", "Inline", "Outcome", "Task", "WorkerPool", "backend"]


def backend(workers: int = 0, **options: Any) -> Backend:
    """Where tasks are to run.

    Args:
        workers: 0 for this process, n for n worker processes of this machine.
        options: of :class:`WorkerPool`.

    Raises:
        InvalidInput: a number of workers below 0.
    """
    if workers < 0:
        raise InvalidInput(f"{workers} workers cannot be", "Ask for 0 (this process) or more.")
    return WorkerPool(workers, **options) if workers else Inline()
