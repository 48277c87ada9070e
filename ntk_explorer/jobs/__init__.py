"""Long work as tasks: in this process, in warm worker processes, or on a Dask cluster; never imports jax itself."""

from __future__ import annotations

from pathlib import Path

from ntk_explorer.errors import InvalidInput
from ntk_explorer.jobs.cluster import Cluster
from ntk_explorer.jobs.inline import Inline
from ntk_explorer.jobs.pool import WorkerPool
from ntk_explorer.jobs.tasks import Backend, Outcome, Task

__all__ = ["Backend", "Cluster", "Inline", "Outcome", "Task", "WorkerPool", "backend"]


def backend(
    workers: int = 0,
    scheduler: str | None = None,
    *,
    warm_up: str | None = None,
    allow_plain: bool = False,
    ca_file: str | Path | None = None,
    cert: str | Path | None = None,
    key: str | Path | None = None,
    probe: Task | None = None,
) -> Backend:
    """Where tasks are to run.

    Args:
        workers: 0 for this process, n for n worker processes of this machine.
        scheduler: address of a Dask scheduler, ``tcp://…`` or ``tls://…``.
        warm_up: for worker processes, ``module:function`` called in each before it takes work.
        allow_plain: let tcp leave this machine.
        ca_file: of a scheduler with TLS, the certificate of the authority; the default is what Dask is configured with.
        cert: certificate of this client.
        key: its private key.
        probe: a task that must succeed on every worker of the cluster.

    Raises:
        InvalidInput: workers of both kinds, or a number of them below 0; what :class:`Cluster` refuses.
    """
    if workers < 0:
        raise InvalidInput(f"{workers} workers cannot be", "Ask for 0 (this process) or more.")
    if workers and scheduler:
        raise InvalidInput(f"{workers} workers and the scheduler {scheduler} cannot both be used", "Give one of them.")
    if scheduler:
        return Cluster(scheduler, allow_plain=allow_plain, ca_file=ca_file, cert=cert, key=key, probe=probe)
    return WorkerPool(workers, warm_up=warm_up) if workers else Inline()
