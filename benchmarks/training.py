"""Digits in training as a user starts it: nothing computed or compiled before, in a warm worker, and from the store."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from run import Figure

from ntk_explorer.jobs.worker import WarmWorker
from ntk_explorer.store import Store
from ntk_explorer.trajectories.kept import open_trajectory, stored_trajectories
from ntk_explorer.trajectories.plan import plan_trajectory

# Three hidden layers of 256 units, 1437 examples, 100 epochs, kernels of 200 points at ten of them.
PLAN = plan_trajectory("digits", {"architecture": "mlp", "depth": 4}, widths=[256])
WARM_UP = "ntk_explorer.sweeps.warm_up:warm_up"
ESTIMATE = "ntk_explorer.trajectories.estimate:describe_trajectory"
EVENTS = "ntk_explorer.trajectories.run:trajectory_events"


def seconds(folder: str) -> float:
    """Wall-clock time of ``ntk-explorer train`` on the plan, the start of the process included."""
    caches = {"NTK_EXPLORER_STORE": f"{folder}/store", "XDG_CACHE_HOME": f"{folder}/cache"}
    command = [str(Path(sys.executable).with_name("ntk-explorer")), "train", "--depth", "4", "--width", "256"]
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | caches)
    return time.perf_counter() - begun


def in_worker(folder: str) -> tuple[float, float]:
    """Seconds until a warm worker, as the page has one, shows a first trained epoch, and the longest wait after it."""
    events: queue.Queue = queue.Queue()
    with WarmWorker(warm_up=WARM_UP, environment={"XDG_CACHE_HOME": f"{folder}/worker"}) as worker:
        argument = {"plan_json": PLAN.model_dump_json(), "store": f"{folder}/from-worker"}
        worker.call(ESTIMATE, argument).result()  # as the page asks for it before anybody presses Run
        begun, arrivals = time.perf_counter(), []
        worker.submit(EVENTS, argument, "training", events.put)
        while (event := events.get(timeout=600))["kind"] != "done":
            assert event["kind"] != "failed", event
            if event["kind"] == "parts":
                arrivals.append((time.perf_counter() - begun, event["step"]))
    trained = [at for at, step in arrivals if 0 < step <= PLAN.training.epochs]
    return trained[0], max(late - early for early, late in pairwise(trained))


def opening(folder: str) -> float:
    """Seconds to open the stored trajectory as a Dataset, as the page does."""
    store = Store(f"{folder}/store")
    begun = time.perf_counter()
    results = open_trajectory(store, stored_trajectories(store)[0].key)
    assert float(results["drift"].isnull().sum()) == 0
    return time.perf_counter() - begun


def measure() -> Iterator[Figure]:
    """Time, first curve and pace of the curves, opening, and how good the network is."""
    with tempfile.TemporaryDirectory() as folder:
        yield Figure("digits in training, 100 epochs and 10 kernels, cold", seconds(folder), 60)
        yield Figure("the same opened from the store", min(opening(folder) for _ in range(3)), 1)
        first, longest = in_worker(folder)
        yield Figure("first trained epoch on the page, warm worker", first, 3)
        yield Figure("longest wait between live curves", longest, 0.5)
        store = Store(f"{folder}/store")
        accuracy = open_trajectory(store, stored_trajectories(store)[0].key)["test_accuracy"].isel(epoch=-1).mean()
        yield Figure("test error of the network on digits", 100 * (1 - float(accuracy)), 3, "%")
