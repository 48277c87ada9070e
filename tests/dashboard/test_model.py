"""The model and the real worker: what a page sees while a sweep comes in."""

import time

import numpy as np
import published_by_hand
import pytest

from ntk_explorer.dashboard.links import ExplorerState
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.jobs.worker import WarmWorker
from ntk_explorer.sweeps.plan import plan_sweep

TINY = plan_sweep({"name": "digits", "n": 12, "classes": 3}, widths=[4, 8], seeds=2)
LONG = plan_sweep({"name": "digits", "n": 60}, widths=[64, 65, 66, 67, 68, 69], seeds=20)


@pytest.fixture(scope="module")
def worker():
    with WarmWorker() as worker:
        yield worker


@pytest.fixture
def model(worker):
    model = ExplorerModel(worker, state=ExplorerState(plan=TINY))
    yield model
    model.close()


def wait(condition, seconds=90):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.02)


def test_a_sweep_comes_in_cell_by_cell(model):
    seen = []
    model.param.watch(lambda event: seen.append(int(event.new["seconds"].notnull().sum())), "result")
    model.compute()
    assert model.active
    wait(lambda: model.status == "done")
    assert model.step == 4
    assert seen == sorted(seen)
    assert seen[-1] == 4
    assert np.isfinite(model.result["relative_frobenius"]).all()
    assert not model.stale


def test_the_last_result_stays_until_the_next_has_begun(model):
    model.compute()
    wait(lambda: model.status == "done")
    first = model.result
    model.run(plan_sweep({"name": "digits", "n": 15, "classes": 3}, widths=[4], seeds=1))
    assert model.stale
    assert model.result is first
    assert model.shown.plan == TINY
    wait(lambda: model.status == "done")
    assert not model.stale
    assert model.result.sizes["x1"] == 15
    assert model.shown.plan == model.state.plan


def test_stop_is_instant_and_keeps_what_came(model):
    model.run(LONG)
    wait(lambda: model.step >= 1)
    begun = time.perf_counter()
    model.stop()
    assert time.perf_counter() - begun < 0.2
    assert model.status == "cancelled"
    step = model.step
    time.sleep(1)
    assert (model.status, model.step) == ("cancelled", step)
    assert model.result is not None
    model.run(TINY)
    wait(lambda: model.status == "done")


def test_a_chosen_pair_brings_its_block_and_its_examples(model):
    model.compute()
    wait(lambda: model.status == "done")
    model.choose(None)
    assert model.cell is None
    model.choose((1, 2))
    wait(lambda: model.block is not None and model.data is not None)
    gram = model.result["gram"].sel(width=8, matrix_seed=0)[:, 1, 2]
    for name in TINY.kernels:
        assert model.block["values"][name] == pytest.approx(float(gram.sel(kernel=name)), rel=1e-5)
    assert model.block["block"].shape == (3, 3)
    assert model.data.x.shape[0] == 12
    first = model.block
    model.look(width=4)
    wait(lambda: model.block is not first)


def test_the_block_comes_again_after_the_same_sweep(model):
    model.compute()
    wait(lambda: model.status == "done")
    model.choose((1, 2))
    wait(lambda: model.block is not None and model.data is not None)
    model.compute()
    assert model.block is None
    wait(lambda: model.status == "done" and model.block is not None and model.data is not None)


def test_examples_come_even_when_the_sweep_is_stopped(model):
    model.run(LONG)
    wait(lambda: model.step >= 1)
    model.choose((1, 2))
    model.stop()
    wait(lambda: model.data is not None)


def test_looking_elsewhere_computes_nothing_and_leaves_a_ghost(model):
    model.compute()
    wait(lambda: model.status == "done")
    model.look(width=4)
    assert model.status == "done"
    assert model.ghost == (model.result, 8)
    assert model.shown.width == 4


def test_an_estimate_and_a_refusal(model):
    model.ask_estimate(TINY)
    wait(lambda: model.estimate is not None)
    assert model.refusal == ""
    model.ask_estimate(plan_sweep({"name": "digits", "n": 1790}, widths=[65536], seeds=1))
    wait(lambda: bool(model.refusal))
    assert "ower" in model.refusal


def test_bad_input_becomes_a_sentence(model):
    model.run(plan_sweep({"name": "digits", "n": 5}))
    wait(lambda: model.status == "failed")
    assert "10 classes" in model.message
    assert "Traceback" not in model.message


def test_missing_files_become_a_sentence_and_files_that_came_are_found(model, tmp_path):
    plan = plan_sweep({"name": "cifar10", "n": 10, "path": str(tmp_path / "cifar10")}, widths=[4], seeds=1)
    (tmp_path / "cifar10").mkdir()
    model.ask_estimate(plan)
    wait(lambda: model.refusal)
    assert "cifar-10-binary.tar.gz" in model.refusal
    assert "ntk-explorer data cifar10" in model.refusal
    published_by_hand.write(tmp_path / "cifar10", "cifar10")
    model.ask_estimate(plan)
    wait(lambda: model.estimate is not None)
    assert model.refusal == ""


def test_only_the_last_of_several_requests_is_answered(model):
    plans = [plan_sweep({"name": "digits", "n": n, "classes": 3}, widths=[4], seeds=1) for n in (12, 13, 14)]
    for plan in plans:
        model.run(plan)
    wait(lambda: model.status == "done")
    assert model.result.sizes["x1"] == 14


def test_what_is_shown_always_belongs_to_the_result(model):
    """Whoever watches the state finds a width that the result has, also at the moment another sweep is chosen."""
    model.compute()
    wait(lambda: model.status == "done")
    seen = []
    model.param.watch(lambda _: seen.append(model.shown.width in model.result["width"]), ["state", "result", "stale"])
    model.look(width=4)
    model.run(plan_sweep({"name": "digits", "n": 12, "classes": 3}, widths=[5, 6], seeds=1))
    wait(lambda: model.status == "done")
    assert len(seen) >= 3
    assert all(seen)


def test_a_refusal_does_not_name_the_place_of_an_upload(model, tmp_path):
    file = tmp_path / "kept-here.npz"
    np.savez(file, x=np.ones((20, 3)), y=np.zeros(20, dtype=int))
    model.ask_estimate(plan_sweep({"name": "npz", "n": 10, "path": str(file)}))
    wait(lambda: model.refusal)
    assert model.refusal.startswith("y in the file has 1 class")
