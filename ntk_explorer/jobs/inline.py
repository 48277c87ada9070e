"""Tasks in this process, one after another: for the library, scripts and tests."""

from __future__ import annotations

from collections.abc import Sequence

from ntk_explorer.jobs.tasks import Outcomes, Task, distinct, execute, outcome


class Inline:
    """Runs every task where it is called; Ctrl-C passes through."""

    workers = 1
    here = True

    def run(self, tasks: Sequence[Task]) -> Outcomes:
        """Yield the outcome of each different task, in their order; nothing comes while one runs."""
        blas = _blas()
        for task in distinct(tasks):
            # As other backends have it by their environment, for the same last bits.
            with blas.limit(limits=1, user_api="blas"):
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


def _blas():
    """The BLAS libraries of this process: numpy's, and scipy's, from which jax takes its LAPACK."""
    import scipy.linalg  # noqa: F401, not above: who lists names needs no BLAS
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()
