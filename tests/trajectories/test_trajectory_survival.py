"""Trajectories in other processes: the same bits wherever they are computed, and after the death of everything."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from ntk_explorer.jobs import WorkerPool
from ntk_explorer.store import Store
from ntk_explorer.trajectories.kept import open_trajectory, stored_trajectories
from ntk_explorer.trajectories.plan import plan_trajectory
from ntk_explorer.trajectories.run import run_trajectory

# One process, or as many as asked for, computes a trajectory and says how far it is.
RUN = """
import sys
from ntk_explorer.store import Store
from ntk_explorer.sweeps.engines import open_engine
from ntk_explorer.trajectories.plan import TrajectoryPlan
from ntk_explorer.trajectories.run import run_trajectory
if __name__ == "__main__":
    plan, store, workers = TrajectoryPlan.model_validate_json(sys.argv[1]), Store(sys.argv[2]), int(sys.argv[3])
    with open_engine(store, workers=workers) as engine:
        run_trajectory(plan, store=store, backend=engine, progress=lambda now: print(now.step, flush=True))
"""
PLAN = plan_trajectory(
    {"name": "digits", "n": 120},
    test=40,
    widths=[32, 64],
    seeds=2,
    points=30,
    training={"epochs": 12, "batch_size": 32, "optimizer": "sgd"},
    kernel_at=[0, 5, 12],
)


def running(store, workers=0):
    command = [sys.executable, "-c", RUN, PLAN.model_dump_json(), str(store), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def computed(store, workers=0):
    """Steps and results of one process of its own: the tests' compiles with other bits."""
    with running(store, workers) as process:
        steps = [int(line) for line in process.stdout]
    assert process.returncode == 0
    (stored,) = stored_trajectories(Store(store))
    assert stored.done == stored.total == 16
    return steps, open_trajectory(Store(store), stored.key).drop_attrs(deep=False)


@pytest.mark.slow
def test_workers_give_the_bits_of_this_process(tmp_path):
    steps, expected = computed(tmp_path / "one")
    assert len(steps) > 48  # every epoch was seen
    _, found = computed(tmp_path / "two", workers=2)
    xr.testing.assert_identical(found, expected)


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bits(tmp_path):
    _, expected = computed(tmp_path / "whole")
    for last in (17, 49):  # among the epochs, and among the kernels
        store = tmp_path / f"killed-{last}"
        with running(store) as process:
            for line in process.stdout:
                if int(line) >= last:
                    break
            process.kill()
        assert stored_trajectories(Store(store))[0].done < 16
        _, found = computed(store)
        xr.testing.assert_identical(found, expected)


def test_a_worker_shows_a_training_when_it_has_ended(tmp_path):
    plan = plan_trajectory(
        {"name": "rings", "n": 16},
        test=6,
        widths=[4],
        points=6,
        linearised=False,
        training={"epochs": 2, "batch_size": 8},
        kernel_at=[2],
    )
    steps = []
    with WorkerPool(1) as pool:
        results = run_trajectory(plan, store=tmp_path, backend=pool, progress=lambda now: steps.append(now.step))
    assert steps == [2, 3]
    assert np.isfinite(results["train_loss"]).all()
    assert np.isfinite(results["drift"]).all()
