"""Kernel regression with all training examples at epochs of a training, its matrices tile by tile in the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_explorer.errors import Cancelled
from ntk_explorer.jobs import Backend, Inline
from ntk_explorer.regression.regression import applied, coefficients
from ntk_explorer.store import Identity, Store
from ntk_explorer.sweeps.cells import network_at
from ntk_explorer.sweeps.gram_plan import GramPlan
from ntk_explorer.sweeps.matrices import compute_gram
from ntk_explorer.sweeps.progress import Progress, shown
from ntk_explorer.sweeps.tasks import failure, keep_within_cap
from ntk_explorer.trajectories.assembly import STARTS
from ntk_explorer.trajectories.full_plan import FullRegression
from ntk_explorer.trajectories.parts import Place
from ntk_explorer.trajectories.plan import TrajectoryPlan
from ntk_explorer.trajectories.predictions import test_measures
from ntk_explorer.trajectories.tasks import member, training_task

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

EVALUATED = 1024  # examples at a time whose outputs are computed
DIMS = {"network_output": ("test", "output"), "full_regression_output": ("start", "test", "output")}


def full_regression(
    plan: TrajectoryPlan,
    *,
    kernel: str = "pntk",
    store: Store | str | Path | None = None,
    backend: Backend | None = None,
    progress: Callable[[Progress], Any] | bool = False,
    cancel: Callable[[], bool] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Regress on all training examples with a kernel of the network at some epochs of its training.

    Networks, epochs, test examples and ridge are those of the plan, whose ``points`` and ``kernels`` say nothing here.
    Trainings are gone on with from the store's checkpoints, tiles of an interrupted run are found again.

    Args:
        plan: the training, from :func:`ntk_explorer.trajectories.plan.plan_trajectory`.
        kernel: a kernel of one number per pair of examples.
        store: where checkpoints, tiles and predictions are kept; an address, or None for the user's own.
        backend: what trains and computes the tiles, from :func:`ntk_explorer.jobs.backend`; None for this process.
        progress: called with a :class:`~ntk_explorer.sweeps.progress.Progress` after every tile; True for a bar.
        cancel: asked from time to time whether to stop.
        **options: of the kernel: dtype ("float64"), precision ("highest"), tile (512); solver ("auto"); keep_matrices
            (False: they are removed from the store when their predictions are known).

    Returns:
        Dataset with dims ``start`` (the network's outputs or zero), ``width``, ``seed``, ``at``, ``test`` and
        ``output``: ``full_regression_output`` and ``network_output``, ``full_regression_accuracy``, ``…_loss``,
        ``network_accuracy`` and ``…_loss``, as in a trajectory's Dataset; coordinates test_label, test_ids; attributes
        ``full_kernel`` and ``full_kernel_dtype``.

    Raises:
        UnknownName: no such kernel or solver.
        InvalidInput: a kernel with blocks; equal training examples without a ridge; a singular kernel.
        NotConverged: conjugate gradients did not reach their tolerance.
        TooLarge: a tile does not fit in memory.
        Cancelled: ``cancel`` returned true; what was finished is in the store.
        NTKExplorerError: a training diverged, or some tiles could not be computed.

    Source: Mohamadi, Bae & Sutherland (2023), A Fast, Well-Founded Approximation to the Empirical NTK.
    """
    running = {"store": store, "backend": backend, "progress": progress, "cancel": cancel}
    return run_full(FullRegression(plan, kernel, **options), **running)


def run_full(
    work: FullRegression,
    *,
    store: Store | str | Path | None = None,
    backend: Backend | None = None,
    progress: Callable[[Progress], Any] | bool = False,
    cancel: Callable[[], bool] | None = None,
) -> xr.Dataset:
    """:func:`full_regression` of what has been planned."""
    kept = store if isinstance(store, Store) else Store(store)
    with shown(progress, "tiles") as report:
        found = dict(_Running(work, kept, backend or Inline(), report, cancel).moments())
    return _assembled(work, found)


def added(trajectory: xr.Dataset, regressed: xr.Dataset) -> xr.Dataset:
    """The Dataset of a trajectory with that of the regression on all of its training examples."""
    own = {name: values for name, values in regressed.data_vars.items() if str(name).startswith("full_")}
    return trajectory.assign(own).assign_attrs(regressed.attrs)


class _Running:
    """One run: its tiles so far, of those that are to be computed."""

    def __init__(self, work: FullRegression, store: Store, backend: Backend, report: Callable, cancel: Any):
        self.work, self.store, self.backend, self.report, self.cancel = work, store, backend, report, cancel
        self.begun = time.perf_counter()
        self.done = self.total = 0
        self.pace: float | None = None  # seconds per tile
        self.needed: set[str] = set()  # keys of what stays where the store has to make room

    def moments(self) -> Iterator[tuple[Place, dict[str, np.ndarray]]]:
        """Outputs of network and regression, by place; those of the store first."""
        missing = []
        for place in self.work.plan.moments:
            artefact = self.store.get(self.work.of(place)[1].key)
            if artefact is None:
                missing.append(place)
            else:
                yield place, {name: artefact.dataset[name].values for name in DIMS}
        self.needed = self.work.needed(missing)
        self.total = len(missing) * sum(self.work.tiles)
        if missing:
            for width in {width for width, _, _ in missing}:
                self.work.tile_costs(width)  # refuses tiles that do not fit before any training
            self._train(missing)
        for place in missing:
            yield place, self._moment(place)

    def _train(self, missing: list[Place]) -> None:
        """Have every checkpoint that is needed."""
        epochs = self.work.missing_epochs(missing, self.store)
        tasks = [training_task(self.work.parts, run, wanted, self.store) for run, wanted in epochs.items()]
        with closing(self.backend.run(tasks)) as outcomes:  # pyright: ignore[reportArgumentType]
            for outcome in outcomes:
                self._go_on()
                if outcome is not None and outcome.error is not None:
                    raise failure([outcome], len(tasks), "trainings")

    def _moment(self, place: Place) -> dict[str, np.ndarray]:
        both, identity = self.work.of(place)
        begun = time.perf_counter()
        k_train, k_test = (self._matrix(plan, tiles) for plan, tiles in zip(both, self.work.tiles, strict=True))
        outputs = _predictions(self.work, place, self.store, k_train, k_test)
        self._publish(place, identity, outputs, time.perf_counter() - begun)
        if not self.work.keep_matrices:
            for key in set(identity.inputs) - self.store.pins():
                self.store.delete(key)
        keep_within_cap(self.store, *self.needed)
        return outputs

    def _matrix(self, plan: GramPlan, tiles: int) -> xr.DataArray:
        def report(now: Progress) -> None:
            self.done, remaining = before + now.step, now.total - now.step
            if now.seconds_left is not None and remaining:
                self.pace = now.seconds_left / remaining
            left = None if self.pace is None else self.pace * (self.total - self.done)
            self.report(Progress(self.done, self.total, time.perf_counter() - self.begun, left))

        before = self.done
        options = {"store": self.store, "backend": self.backend, "cancel": self.cancel, "keep": self.needed}
        matrix = compute_gram(plan, progress=report, **options)
        self.done = before + tiles  # also of one that was found
        return matrix

    def _publish(self, place: Place, identity: Identity, outputs: dict, seconds: float) -> None:
        import xarray as xr  # not above: it is slow to import

        width, index, epoch = place
        variables = {name: (DIMS[name], values) for name, values in outputs.items()}
        title = f"{self.work.kernel} regression with {self.work.plan.data.n} examples · width {width}, seed {index}"
        arrays = xr.Dataset(variables, {"start": list(STARTS)})
        self.store.put(identity, arrays, title=f"{title}, epoch {epoch}", seconds=seconds)

    def _go_on(self) -> None:
        if self.cancel and self.cancel():
            raise Cancelled(f"Stopped after {self.done} of {self.total} tiles", "Run it again to go on from there.")


def _predictions(work: FullRegression, place: Place, store: Store, k_train: Any, k_test: Any) -> dict[str, np.ndarray]:
    """What the network says of the test examples, and what regression from its outputs and from zero says."""
    train, test = work.setting.train, work.setting.test
    width, index, epoch = place
    network, params = network_at(work.plan, train, width), member(work.parts, (width, False), index, epoch, store)
    f0_train, f0_test = (_outputs(network.apply, params, x) for x in (train.x, test.x))
    starts = np.stack([train.targets - f0_train, train.targets])
    found = coefficients(k_train, starts, ridge=work.plan.ridge, solver=work.solver)
    origins = np.stack([f0_test, np.zeros_like(f0_test)])
    return {"network_output": f0_test, "full_regression_output": origins + applied(k_test, found)}


def _outputs(f: Any, params: Any, x: np.ndarray) -> np.ndarray:
    """Outputs in float64, some examples at a time."""
    import jax  # not above: plans and results are handled without jax

    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        params = jax.tree.map(lambda leaf: jax.numpy.asarray(leaf, "float64"), params)
        compiled = jax.jit(lambda part: f(params, part))
        parts = (jax.numpy.asarray(x[i : i + EVALUATED], "float64") for i in range(0, len(x), EVALUATED))
        return np.concatenate([np.asarray(compiled(part)) for part in parts])


def _assembled(work: FullRegression, found: dict[Place, dict[str, np.ndarray]]) -> xr.Dataset:
    import xarray as xr  # not above: it is slow to import

    plan, known = work.plan, work.setting.facts.known
    networks = [[[found[width, i, at] for at in plan.kernel_at] for i in range(plan.seeds)] for width in plan.widths]
    place = ("width", "seed", "at")
    network = np.array([[[m["network_output"] for m in seed] for seed in width] for width in networks])
    regression = np.array([[[m["full_regression_output"] for m in seed] for seed in width] for width in networks])
    variables = {
        "network_output": ((*place, "test", "output"), network),
        "regression_output": (("start", *place, "test", "output"), np.moveaxis(regression, 3, 0)),
    }
    variables |= test_measures(variables, known["test_target"], classes=known["task"] == "classification")
    variables = {name.replace("regression", "full_regression"): values for name, values in variables.items()}
    coords = {"width": list(plan.widths), "seed": np.arange(plan.seeds), "at": list(plan.kernel_at)}
    coords |= {
        "start": list(STARTS),
        "test_label": ("test", known["test_label"]),
        "test_ids": ("test", known["test_ids"]),
    }
    return xr.Dataset(variables, coords, {"full_kernel": work.kernel, "full_kernel_dtype": work.dtype})
