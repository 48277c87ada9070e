"""Tasks in this process, one after another: for the library, scripts and tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ntk_explorer.jobs.tasks import Outcome, Task, distinct, execute, outcome


class Inline:
    """Runs every task where it is called; Ctrl-C passes through."""

    workers = 1

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield the outcome of each different task, in their order; nothing comes while one runs."""
        for task in distinct(tasks):
            yield outcome(task, execute(task.target, task.arguments))

    def close(self) -> None:
        """Nothing to give back."""

    def __enter__(self) -> Inline:
        """Use the backend in a ``with`` block."""
        return self

    def __exit__(self, *_) -> None:
        """Close it."""
        self.close()
