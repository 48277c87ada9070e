"""Tasks in this process, one after another: for the library, scripts and tests."""

from __future__ import annotations

from collections.abc import Sequence

from ntk_explorer.jobs.environment import blas
from ntk_explorer.jobs.tasks import Outcomes, Task, distinct, execute, outcome


class Inline:
    """Runs every task where it is called; Ctrl-C passes through."""

    workers = 1
    here = True

    def run(self, tasks: Sequence[Task]) -> Outcomes:
        """Yield the outcome of each different task, in their order; nothing comes while one runs."""
        libraries = blas()
        for task in distinct(tasks):
            # As other backends have it by their environment, for the same last bits.
            with libraries.limit(limits=1, user_api="blas"):
                answer = execute(task.target, task.arguments)
            yield outcome(task, answer)

    def close(self) -> None:
        """Nothing to give back."""

    def __enter__(self) -> Inline:
        """Use the backend in a ``with`` block."""
        return self

    def __exit__(self, *_) -> None:
        """Close it."""
        self.close()
