"""A real sweep in the real worker process, as the dashboard runs it."""

import os
import queue
import signal
import subprocess
import sys

import numpy as np
import pytest

from ntk_explorer.jobs.worker import WarmWorker
from ntk_explorer.sweeps.assembly import assemble
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.sweeps.run import run_sweep

SWEEP = "ntk_explorer.sweeps.run:sweep_events"
PLAN = plan_sweep({"name": "digits", "n": 12, "classes": 4}, widths=[4, 8, 16], seeds=4)
LONG = plan_sweep({"name": "digits", "n": 20}, widths=[4, 8, 16], seeds=64)


@pytest.fixture
def worker():
    with WarmWorker() as worker:
        yield worker


def start(worker, plan):
    events = queue.Queue()
    argument = {"plan_json": plan.model_dump_json()}
    return worker.submit(SWEEP, argument, plan.model_dump_json(), events.put), events


def until(events, *kinds):
    seen = []
    while not seen or seen[-1]["kind"] not in kinds:
        seen.append(events.get(timeout=120))
    return seen


def cells(events):
    return [cell for event in events if event["kind"] == "cells" for cell in event["cells"]]


def test_a_sweep_streams_in_and_is_the_same_as_here(worker, tmp_path):
    _, events = start(worker, PLAN)
    seen = until(events, "done", "failed")
    steps = [event for event in seen if event["kind"] == "cells"]
    assert [event["step"] for event in steps] == list(range(1, 13))
    assert steps[-1]["seconds_left"] == 0
    there = assemble(PLAN, cells(steps))
    here = run_sweep(PLAN, store=tmp_path / "another")
    np.testing.assert_allclose(there["trace"], here["trace"], rtol=1e-9)
    _, events = start(worker, PLAN)
    assert all(cell.found for cell in cells(until(events, "done", "failed")))


def test_a_killed_sweep_goes_on_where_it_was(worker):
    _, events = start(worker, LONG)
    done = 0
    while done < 5:
        done = until(events, "cells")[-1]["step"]
    os.kill(worker.hello["pid"], signal.SIGKILL)
    seen = until(events, "failed", "done")
    assert seen[-1]["kind"] == "failed"
    last = max([done, *(event["step"] for event in seen if event["kind"] == "cells")])
    job, events = start(worker, LONG)
    again = until(events, "cells")[-1]["cells"]
    # The cell that was computed when the process died may have reached the store and not the pipe.
    assert len([cell for cell in again if cell.found]) in (last, last + 1)
    job.cancel()
    assert until(events, "cancelled")


def test_a_plan_that_cannot_run_is_explained(worker):
    _, events = start(worker, plan_sweep({"name": "digits", "n": 5000}))
    failure = until(events, "failed")[-1]
    assert "1797" in failure["problem"]
    assert failure["remedy"]


def test_the_parent_of_a_sweep_needs_no_jax():
    program = """
import queue, sys
from ntk_explorer.jobs.worker import WarmWorker
from ntk_explorer.sweeps.assembly import assemble
from ntk_explorer.sweeps.plan import plan_sweep
plan = plan_sweep({"name": "digits", "n": 12}, widths=[4], seeds=1)
events = queue.Queue()
with WarmWorker(warm_up="ntk_explorer.sweeps.warm_up:warm_up") as worker:
    worker.submit("ntk_explorer.sweeps.run:sweep_events", {"plan_json": plan.model_dump_json()}, "k", events.put)
    cells = []
    while (event := events.get(timeout=120))["kind"] != "done":
        cells += event.get("cells", [])
    assert worker.hello["devices"] and worker.hello["memory"] > 0
print(assemble(plan, cells)["trace"].sizes)
assert not {"jax", "sklearn"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "'kernel': 4" in done.stdout
