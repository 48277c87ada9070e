"""Jobs that lose a worker, or everything: the same bits at the end, and only what is missing computed again."""

import json
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from ntk_explorer.errors import InvalidInput
from ntk_explorer.jobs import WorkerPool
from ntk_explorer.store import Store
from ntk_explorer.sweeps.engines import open_engine
from ntk_explorer.sweeps.kept import stored_sweeps
from ntk_explorer.sweeps.matrices import compute_gram, plan_gram
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.sweeps.run import run_sweep

# One process, or as many as asked for, fills a matrix and says how far it is.
FILL = """
import sys
from ntk_explorer.store import Store
from ntk_explorer.sweeps.engines import open_engine
from ntk_explorer.sweeps.matrices import GramPlan, compute_gram
if __name__ == "__main__":
    plan, store, workers = GramPlan.model_validate_json(sys.argv[1]), Store(sys.argv[2]), int(sys.argv[3])
    with open_engine(store, workers=workers) as engine:
        compute_gram(plan, store=store, backend=engine, progress=lambda now: print(now.step, flush=True))
"""


def matrix(n, tile):
    network = {"architecture": "mlp", "depth": 4}
    sweep = plan_sweep({"name": "sphere", "n": n}, network, widths=[256], seeds=1, dtype="float32")
    return plan_gram(sweep, tile=tile)


def filling(plan, store, workers):
    command = [sys.executable, "-c", FILL, plan.model_dump_json(), str(store), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def filled(plan, store):
    """Steps and matrix of one process of its own: the tests' compiles with other bits."""
    with filling(plan, store, 0) as process:
        steps = [int(line) for line in process.stdout]
    assert process.returncode == 0
    return steps, compute_gram(plan, store=store).values


def gone(processes, seconds=10):
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def survive_a_killed_worker(plan, tmp_path):
    (_, expected), steps = filled(plan, tmp_path / "one"), []

    def kill_once(now):
        steps.append(now.step)
        if now.step == 3:
            psutil.Process().children()[-1].kill()

    with WorkerPool(2) as pool:
        found = compute_gram(plan, store=tmp_path / "two", backend=pool, progress=kill_once)
    assert steps == list(range(len(steps)))  # the tile of the dead worker is counted once, when it is there
    np.testing.assert_array_equal(found.values, expected)


def survive_the_death_of_all(plan, tmp_path, after):
    _, expected = filled(plan, tmp_path / "one")
    with filling(plan, tmp_path / "two", 2) as process:
        for line in process.stdout:
            if int(line) >= after:
                break
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert len(family) >= 3
        process.kill()
    assert gone(family)
    steps, found = filled(plan, tmp_path / "two")
    assert after <= steps[0] < steps[-1]
    np.testing.assert_array_equal(found, expected)
    assert not list((tmp_path / "two").rglob("*.partial"))


def test_a_killed_worker_costs_one_tile(tmp_path):
    survive_a_killed_worker(matrix(96, 16), tmp_path)


@pytest.mark.slow
def test_a_killed_worker_costs_one_tile_of_4096(tmp_path):
    survive_a_killed_worker(matrix(4096, 512), tmp_path)


@pytest.mark.slow
def test_after_the_death_of_all_only_what_is_missing_is_computed(tmp_path):
    survive_the_death_of_all(matrix(4096, 512), tmp_path, after=12)


@pytest.mark.slow
def test_a_killed_sweep_says_what_it_found_and_finishes(tmp_path):
    store, grid = Store(tmp_path / "kept"), tmp_path / "grid.yaml"
    grid.write_text(
        json.dumps(
            {
                "data": {"name": "sphere", "n": 20},
                "network": {"architecture": "mlp", "depth": [2, 3]},
                "widths": [8, 16, 32, 64],
                "seeds": 4,
            }
        )
    )
    program = "from ntk_explorer.cli import main; main()"
    command = [sys.executable, "-c", program, "sweep", "--config", grid, "--store", store.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while len(store.manifests("sweep-cell")) < 5:
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    done = len(store.manifests("sweep-cell"))
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stderr.startswith(f"2 sweeps, 32 cells, {done} of them in the store")
    assert [sweep.done for sweep in stored_sweeps(store)] == [16, 16]
    assert not store.quarantined


@pytest.mark.slow
def test_two_servers_on_one_store_end_with_the_same_sweep(tmp_path):
    options = ["--dataset", "sphere", "--n", "20", "--widths", "8,16,32", "--seeds", "3", "--store", tmp_path / "kept"]
    program = "from ntk_explorer.cli import main; main()"
    command = [sys.executable, "-c", program, "sweep", *map(str, options)]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    one, two = (process.communicate(timeout=300)[0] for process in pair)
    assert one == two
    store = Store(tmp_path / "kept")
    assert len(store.manifests("sweep-cell")) == 9
    assert not store.quarantined
    assert not store.verify(deep=True).damaged


def test_a_store_in_memory_is_for_one_process():
    with pytest.raises(InvalidInput, match="no worker sees it"):
        open_engine(Store("memory://alone"), workers=2)
    plan = plan_sweep({"name": "sphere", "n": 10}, widths=[4], seeds=1, kernels=["pntk"])
    assert run_sweep(plan, store="memory://alone").sizes["width"] == 1
    assert stored_sweeps(Store("memory://alone"))[0].done == 1
