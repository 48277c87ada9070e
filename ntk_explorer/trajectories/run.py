"""Runs trajectories: the trainings first, epoch by epoch, then the kernels along them; what is stored is not redone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ntk_explorer.errors import Cancelled, NTKExplorerError, TooLarge
from ntk_explorer.jobs import Backend, Inline, Outcome, Task
from ntk_explorer.jobs.environment import blas
from ntk_explorer.store import Store
from ntk_explorer.sweeps.engines import engine_of
from ntk_explorer.sweeps.progress import Progress, shown
from ntk_explorer.sweeps.tasks import failure, keep_within_cap
from ntk_explorer.trajectories.assembly import Curves, Moment, assemble_trajectory
from ntk_explorer.trajectories.estimate import Costs, estimate_parts, kind_of, require_memory
from ntk_explorer.trajectories.kept import found_moment, keep_record
from ntk_explorer.trajectories.pace import Kind, Pace
from ntk_explorer.trajectories.parts import Parts, Place, Run
from ntk_explorer.trajectories.plan import TrajectoryPlan
from ntk_explorer.trajectories.setting import Facts
from ntk_explorer.trajectories.tasks import moment_task, training_steps, training_task
from ntk_explorer.trajectories.trainings import found_curves

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

PAUSE = 0.25  # seconds between two pictures of a training, at least


@dataclass(frozen=True)
class Step(Progress):
    """Curves as far as they have come, or a moment, found or computed; steps count epochs and kernels."""

    part: Curves | Moment = field(repr=False)
    known: dict[str, Any] = field(repr=False)


def trajectory_steps(
    plan: TrajectoryPlan, *, store: Store | str | Path | None = None, backend: Backend | None = None
) -> Generator[Step | None, None, None]:
    """Yield what the store has of a trajectory, then curves after every epoch, then moments as they are computed.

    In this process curves come epoch by epoch; from other processes when a training has ended. Checkpoints and
    moments are in the store before they are yielded; to resume is to run again.

    Args:
        plan: the trajectory.
        store: where its parts are kept; an address, or None for the user's own.
        backend: what computes them; None for this process, one after the other.

    Yields:
        A :class:`Step` per part, and None from time to time, so that whoever iterates may stop.

    Raises:
        TooLarge: what is missing does not fit in memory; raised before any of it is computed.
        InvalidInput: the data do not fit the network, or hold fewer examples than asked for, or equal ones.
        NTKExplorerError: a training diverged, or some parts could not be computed; raised after all others have been.
    """
    store, backend = store if isinstance(store, Store) else Store(store), backend or Inline()
    parts = Parts.of(plan, Facts.of(plan))
    return _Running(parts, store, backend).steps()


class _Running:
    """One run: what is missing, and how far it is."""

    def __init__(self, parts: Parts, store: Store, backend: Backend):
        self.parts, self.store, self.backend = parts, store, backend
        self.present, self.begun = store.keys(), time.perf_counter()
        self.last = parts.plan.training.epochs
        self.remaining = Counter({kind_of(run): self.last for run in parts.trainings})
        self.remaining.update(Kind("kernels", width) for width, _, _ in parts.moments)
        self.total = self.remaining.total()
        self.trained = dict.fromkeys(parts.trainings, 0)  # epochs
        self.failed: list[Outcome] = []

    def steps(self) -> Generator[Step | None, None, None]:
        yield from self._found()
        trainings = {run: epochs for run in self.parts.trainings if (epochs := self._epochs(run))}
        moments = self.parts.missing_moments(self.present)
        if (trainings or moments) and self.backend.here:  # the memory of other machines is theirs to judge
            require_memory(self._costs, trainings, moments, workers=self.backend.workers)
        record = keep_record(self.store, self.parts)
        if not (trainings or moments):
            return
        yield None
        yield from self._trainings(trainings)
        lost = {run[0] for run in trainings if self.parts.trainings[run].checkpoint(self.last).key not in self.store}
        moments = [place for place in moments if place[0] not in lost]
        yield from self._moments(moments)
        keep_within_cap(self.store, record.key)
        if self.failed:
            raise failure(self.failed, len(trainings) + len(moments), "trainings and kernels")

    def _epochs(self, run: Run) -> list[int]:
        return self.parts.missing_epochs(run, self.present)

    @cached_property
    def _costs(self) -> Costs:
        return Costs(self.parts)

    @cached_property
    def _pace(self) -> Pace:
        return Pace(self._costs.seconds, self.backend.workers)

    def _step(self, part: Curves | Moment, *, timed: bool = True) -> Step:
        """Count a part."""
        if isinstance(part, Curves):
            run = part.place
            self.remaining[kind_of(run)] -= max(0, part.epochs - self.trained[run])
            self.trained[run] = max(part.epochs, self.trained[run])
        else:
            self.remaining[Kind("kernels", part.width)] -= 1
        left = self._pace.left(self.remaining) if timed else None
        done = self.total - self.remaining.total()
        return Step(done, self.total, time.perf_counter() - self.begun, left, part, self.parts.facts.known)

    def _found(self) -> Iterator[Step]:
        """What the store has; what turns out to be damaged counts as missing from here on."""
        for run, training in self.parts.trainings.items():
            curves = found_curves(self.store, run, training, self.last)
            if curves is not None:
                yield self._step(curves, timed=False)
            if curves is None or curves.epochs < self.last:
                self.present.discard(training.checkpoint(self.last).key)
        for place, identity in self.parts.moments.items():
            if identity.key not in self.present:
                continue
            if (moment := found_moment(self.store, identity.key, place)) is not None:
                yield self._step(moment, timed=False)
            else:
                self.present.discard(identity.key)

    def _trainings(self, missing: dict[Run, list[int]]) -> Iterator[Step | None]:
        tasks = {run: training_task(self.parts, run, epochs, self.store) for run, epochs in missing.items()}
        if isinstance(self.backend, Inline):
            for run, task in tasks.items():
                yield from self._streamed(run, task)
            return
        runs = {task.key: run for run, task in tasks.items()}
        for outcome in self._outcomes(list(tasks.values())):
            if outcome is None:
                yield None
                continue
            run = runs[outcome.task.key]
            curves = found_curves(self.store, run, self.parts.trainings[run], self.last)
            if curves is None or curves.epochs < self.last:
                self.failed.append(outcome)
                continue
            self._pace.record(kind_of(run), outcome.seconds, max(1, self.last - self.trained[run]))
            yield self._step(curves)

    def _streamed(self, run: Run, task: Task) -> Iterator[Step]:
        """A training in this process, epoch by epoch."""
        since, libraries = time.perf_counter(), blas()
        try:
            with closing(training_steps(**task.arguments)) as epochs:
                while True:
                    # As other backends have it by their environment, for the same last bits.
                    with libraries.limit(limits=1, user_api="blas"):
                        curves = next(epochs, None)
                    if curves is None:
                        return
                    if curves.epochs > self.trained[run]:
                        self._pace.record(kind_of(run), time.perf_counter() - since)
                    yield self._step(curves)
                    since = time.perf_counter()
        except NTKExplorerError as error:
            self.failed.append(Outcome(task, error=error))

    def _moments(self, missing: list[Place]) -> Iterator[Step | None]:
        tasks = {self.parts.moments[place].key: place for place in missing}
        for outcome in self._outcomes([moment_task(self.parts, place, self.store) for place in missing]):
            if outcome is None:
                yield None
                continue
            place = tasks[outcome.task.key]
            moment = None if outcome.error else found_moment(self.store, outcome.task.key, place, found=False)
            if moment is None:
                self.failed.append(outcome)
                continue
            self._pace.record(Kind("kernels", place[0]), outcome.seconds)
            yield self._step(moment)

    def _outcomes(self, tasks: list[Task]) -> Iterator[Outcome | None]:
        if tasks:
            with closing(self.backend.run(tasks)) as outcomes:
                yield from outcomes


def run_trajectory(
    plan: TrajectoryPlan,
    *,
    store: Store | str | Path | None = None,
    backend: Backend | None = None,
    progress: Callable[[Step], Any] | bool = False,
    cancel: Callable[[], bool] | None = None,
) -> xr.Dataset:
    """Train networks and compute their kernels, and what regression with these predicts, at some epochs.

    Args:
        plan: the trajectory, from :func:`ntk_explorer.trajectories.plan.plan_trajectory`.
        store: where checkpoints and kernels are kept; an address, or None for the user's own.
        backend: what computes them, from :func:`ntk_explorer.jobs.backend`; None for this process.
        progress: called with a :class:`Step` after every epoch and kernel; True for a bar in the terminal or notebook.
        cancel: asked after every step, and from time to time in between, whether to stop.

    Returns:
        The Dataset that :func:`ntk_explorer.trajectories.assembly.assemble_trajectory` describes.

    Raises:
        Cancelled: ``cancel`` returned true; what was finished is in the store.
        TooLarge: it does not fit in memory; raised before anything is computed.
        InvalidInput: the data do not fit the network, or hold fewer examples than asked for, or equal ones.
        NTKExplorerError: a training diverged, or other parts could not be computed; the rest is in the store.
    """
    latest: dict[tuple, Curves | Moment] = {}
    last = None
    with (
        shown(progress, "epochs and kernels") as report,
        closing(trajectory_steps(plan, store=store, backend=backend)) as steps,
    ):
        for step in steps:
            if step is not None:
                last, latest[step.part.place] = step, step.part
                report(step)
            if cancel and (last is None or last.step < last.total) and cancel():
                done = f"after {last.step} of {last.total} epochs and kernels" if last else "before its first epoch"
                raise Cancelled(f"The training was stopped {done}", "Run it again to go on from there.")
    assert last is not None  # every run ends with its last part
    return assemble_trajectory(plan, last.known, latest.values())


def trajectory_events(
    plan_json: str, store: str | None = None, engine: dict[str, Any] | None = None, longest: float | None = None
) -> Iterator[dict | None]:
    """The steps of a trajectory as events ``parts``, for the worker process.

    Each holds ``parts`` (:class:`Curves` and :class:`Moment`, of curves the latest of each), ``known`` (of the
    examples, in the first event, else None), ``step``, ``total``, ``seconds`` and ``seconds_left``: at most four a
    second while networks train, and one for all that the store has. None stands for a moment at which to ask whether
    to go on.

    Args:
        plan_json: the trajectory.
        store: address of the store; None for the user's own.
        longest: seconds beyond which work is not begun, because nobody has agreed to it; None for any.
        engine: arguments of :func:`ntk_explorer.sweeps.engines.open_engine`; None for the worker process itself.
    """
    kept, plan = Store(store), TrajectoryPlan.model_validate_json(plan_json)
    backend = engine_of(kept, **(engine or {}))
    if longest is not None:
        _require_short(plan, kept, longest, workers=backend.workers)
    waiting: dict[tuple, Step] = {}
    sent, known = 0.0, True
    with closing(trajectory_steps(plan, store=kept, backend=backend)) as steps:
        for step in steps:
            if step is not None:
                waiting[step.part.place] = step
            whole = step is None or isinstance(step.part, Moment) or step.part.epochs == plan.training.epochs
            found = step is not None and step.part.found and step.step < step.total
            if waiting and not found and (whole or time.monotonic() - sent > PAUSE):
                yield _event(list(waiting.values()), known)
                waiting, sent, known = {}, time.monotonic(), False
            else:
                yield None
    if waiting:
        yield _event(list(waiting.values()), known)


def _event(steps: list[Step], known: bool) -> dict[str, Any]:
    last = steps[-1]
    return {
        "kind": "parts",
        "parts": [step.part for step in steps],
        "known": last.known if known else None,
        "step": last.step,
        "total": last.total,
        "seconds": last.seconds,
        "seconds_left": last.seconds_left,
    }


def _require_short(plan: TrajectoryPlan, store: Store, longest: float, *, workers: int) -> None:
    """Refuse what takes longer; what it takes is only looked at where something is missing."""
    cost = estimate_parts(Parts.of(plan, Facts.of(plan)), store, workers=workers)
    if cost.seconds > longest:
        problem = f"This training takes {cost.text()}, and nobody has agreed to that yet"
        raise TooLarge(problem, "Press Retry to start it.")
