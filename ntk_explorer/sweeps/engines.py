"""Backends whose workers reach the store that the results go to."""

from __future__ import annotations

from functools import cache
from typing import Any

from ntk_explorer.errors import InvalidInput
from ntk_explorer.jobs import Backend, Task, backend
from ntk_explorer.store import Store

PROBE = "ntk_explorer.sweeps.engines:require_store"


def open_engine(store: Store, *, workers: int = 0, scheduler: str | None = None, **options: Any) -> Backend:
    """A backend for work whose results go to ``store``; arguments are those of :func:`ntk_explorer.jobs.backend`.

    Raises:
        InvalidInput: other processes cannot see the store; what :func:`ntk_explorer.jobs.backend` refuses.
    """
    if store.private and (workers or scheduler):
        raise InvalidInput(
            f"The store {store.address!r} is in the memory of this process, where no worker sees it", "Name a folder."
        )
    probe = Task("probe", PROBE, {"store": store.address, "mark": store.mark}) if scheduler else None
    return backend(workers, scheduler, probe=probe, **options)


# Workers stay warm, and a scheduler connected, from one job to the next.
@cache
def engine_of(store: Store, **options: Any) -> Backend:
    """The backend of :func:`open_engine`, the same one whenever it is asked for again; for the worker process."""
    return open_engine(store, **options)


def require_store(store: str, mark: str) -> None:
    """Refuse a worker that does not see the same store as the client.

    Raises:
        InvalidInput: there is none at this address, or another one.
    """
    try:
        found = Store(store).objects.read("mark").decode()
    except FileNotFoundError:
        found = ""
    if found != mark:
        raise InvalidInput(
            f"The store {store!r} is not the same folder there", "Use a folder that all machines share, or a bucket."
        )
