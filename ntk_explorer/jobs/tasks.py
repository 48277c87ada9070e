"""A task: a named function and its arguments, run by any of the backends, and what came of it."""

from __future__ import annotations

import importlib
import logging
import time
import traceback
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ntk_explorer.errors import NTKExplorerError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One piece of work.

    Attributes:
        key: what makes two tasks the same work.
        target: ``module:function``, so that any process can find it.
        arguments: its keyword arguments, picklable.
        label: what a person calls it.
    """

    key: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    label: str = ""

    @property
    def name(self) -> str:
        """The label, or the key where there is none."""
        return self.label or self.key


@dataclass(frozen=True)
class Outcome:
    """What a task gave (``token``) after ``seconds``, or the ``error`` that it ended with."""

    task: Task
    token: Any = None
    seconds: float = 0.0
    error: NTKExplorerError | None = None


Outcomes = Generator[Outcome | None, None, None]


class Backend(Protocol):
    """Where tasks run: in this process, in others, or on a cluster."""

    @property
    def workers(self) -> int:
        """How many tasks can run at the same time."""
        ...

    @property
    def here(self) -> bool:
        """Whether tasks take the memory of this machine."""
        ...

    def run(self, tasks: Sequence[Task]) -> Outcomes:
        """Yield one outcome per different key, in the order in which they come, and None while none comes.

        A task that fails becomes an outcome with an ``error``; the others go on. Closing the iterator cancels
        what has not begun.

        Raises:
            NTKExplorerError: the backend itself has failed; no further task can run.
        """
        ...

    def close(self) -> None:
        """Give back processes and connections."""
        ...


def distinct(tasks: Iterable[Task]) -> list[Task]:
    """The tasks in their order, each key once."""
    first: dict[str, Task] = {}
    for task in tasks:
        first.setdefault(task.key, task)
    return list(first.values())


def execute(target: str, arguments: Mapping[str, Any]) -> dict:
    """Call a task's function.

    Args:
        target: ``module:function``.
        arguments: its keyword arguments.

    Returns:
        ``token``, ``seconds``, ``error`` (an NTKExplorerError or None) and ``traceback`` (where it is a defect of
        ours), for :func:`outcome`, in this process or another.
    """
    begun = time.perf_counter()
    token, error, details = None, None, ""
    try:
        token = resolve(target)(**arguments)
    except NTKExplorerError as refusal:
        error = refusal
    except Exception as defect:
        error, details = explain(defect), traceback.format_exc()
    return {"token": token, "seconds": time.perf_counter() - begun, "error": error, "traceback": details}


def steps(target: str, arguments: Mapping[str, Any]) -> Iterator[dict]:
    """:func:`execute` as a job of one event ``task``, for the worker process."""
    yield {"kind": "task", **execute(target, arguments)}


def outcome(task: Task, answer: Mapping[str, Any]) -> Outcome:
    """The outcome that an answer of :func:`execute` means; a traceback goes to the log."""
    if answer["traceback"]:
        log.error("in task %s: %s\n%s", task.name, answer["error"].problem, answer["traceback"])
    return Outcome(task, answer["token"], answer["seconds"], answer["error"])


def resolve(target: str):
    """The function that ``package.module:function`` names."""
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)


def explain(error: Exception) -> NTKExplorerError:
    """What a person should read about an error of any kind."""
    if isinstance(error, NTKExplorerError):
        return error
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return NTKExplorerError("The computation ran out of memory", "Lower the number of examples or the widths.")
    first = (str(error).splitlines() or [""])[0]
    problem = f"The computation failed unexpectedly: {type(error).__name__}: {first[:300]}"
    return NTKExplorerError(problem, "The log holds the details.")
