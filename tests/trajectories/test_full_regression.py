"""Regression on all training examples, its matrices tile by tile in the store, from Python and the command line."""

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from ntk_explorer.architectures import build
from ntk_explorer.cli import app
from ntk_explorer.errors import Cancelled, InvalidInput
from ntk_explorer.kernels.empirical import pntk
from ntk_explorer.regression.regression import kernel_regression
from ntk_explorer.store import Store
from ntk_explorer.training.checkpoints import open_checkpoint
from ntk_explorer.trajectories.files import load_trajectory
from ntk_explorer.trajectories.full import full_regression
from ntk_explorer.trajectories.full_plan import FullRegression, estimate_full
from ntk_explorer.trajectories.plan import plan_trajectory

PLACES = [(8, 0, 0), (8, 0, 2), (8, 1, 0), (8, 1, 2)]
COMMAND = (
    "train --dataset sphere --n 16 --test 8 --classes 3 --width 8 --seeds 2 --epochs 2 --batch-size 5 --kernel-at 0,2 "
    "--points 6 --kernels pntk --no-linearised --full"
)
TILES = 3 + 2  # of 16 examples by tiles of 8, and of 8 test with 16 training examples


def plan(**options):
    training = {"epochs": 2, "batch_size": 5}
    data = {"name": "sphere", "n": 16, "classes": 3}
    small = {"test": 8, "widths": [8], "seeds": 2, "points": 6, "kernel_at": [0, 2], "training": training}
    return plan_trajectory(data, "mlp", **(small | options))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A store in which everything was computed, the result, and what was reported."""
    store, steps = Store(tmp_path_factory.mktemp("full")), []
    return store, full_regression(plan(), store=store, tile=8, progress=steps.append), steps


@pytest.mark.parametrize("place", PLACES)
def test_it_is_regression_with_the_kernel_of_one_call_at_the_checkpoint(place, finished):
    store, results, _ = finished
    width, index, epoch = place
    work = FullRegression(plan(), tile=8)
    params, history = open_checkpoint(store, work.parts.trainings[width, False], epoch)
    train, test = work.setting.train, work.setting.test
    network = build("mlp", inputs=train.inputs, outputs=train.outputs, width=width)
    params = jax.tree.map(lambda leaf: np.asarray(leaf[index], float), params)
    kernels = pntk(network.apply, params, train.x), pntk(network.apply, params, test.x, train.x)
    f0 = {"f0_train": network.apply(params, train.x), "f0_test": network.apply(params, test.x)}
    own = results.sel(width=width, seed=index, at=epoch)
    for start, outputs in (("network", f0), ("zero", {})):
        expected = kernel_regression(kernels[0], train.targets, kernels[1], **outputs)
        found = own["full_regression_output"].sel(start=start)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        accuracy = np.mean(expected.argmax(1) == test.y)
        assert float(own["full_regression_accuracy"].sel(start=start)) == pytest.approx(accuracy)
    np.testing.assert_allclose(own["network_output"], f0["f0_test"], atol=1e-12)
    np.testing.assert_allclose(own["network_accuracy"], history["test_accuracy"][index, epoch], atol=1e-6)


def test_every_tile_is_counted_once(finished):
    _, _, steps = finished
    assert [step.total for step in steps] == [4 * TILES] * len(steps)
    assert sorted({step.step for step in steps}) == list(range(4 * TILES + 1))
    assert steps[-1].seconds_left == 0


def test_the_second_time_it_is_found_and_the_matrices_are_gone(finished):
    store, results, _ = finished
    steps = []
    again = full_regression(plan(), store=store, tile=8, progress=steps.append)
    assert again.identical(results)
    assert not steps
    assert store.manifests("gram") == []
    assert estimate_full(FullRegression(plan(), tile=8), store=store).text() == "already computed"


def test_what_was_stopped_goes_on_with_the_missing_tiles(tmp_path, finished):
    store, steps, wanted = Store(tmp_path), [], plan(seeds=1, kernel_at=[2])
    stop = {"progress": steps.append, "cancel": lambda: bool(steps) and steps[-1].step == 4}
    with pytest.raises(Cancelled):
        full_regression(wanted, store=store, tile=8, **stop)
    assert len(store.manifests("gram")) == 1  # that of the training examples is whole
    steps.clear()
    full_regression(wanted, store=store, tile=8, keep_matrices=True, progress=steps.append)
    assert [step.step for step in steps] == list(range(4, TILES + 1))
    assert len(store.manifests("gram")) == 2


def test_a_store_that_has_to_make_room_keeps_what_is_still_needed(tmp_path, finished, monkeypatch):
    monkeypatch.setenv("NTK_EXPLORER_STORE_CAP", "1KB")  # less than one matrix
    results = full_regression(plan(seeds=1), store=tmp_path, tile=8)
    expected = finished[1]["full_regression_output"].isel(seed=[0])
    np.testing.assert_allclose(results["full_regression_output"], expected, atol=1e-6)


def test_the_estimate_says_memory_room_and_time(tmp_path):
    cost = estimate_full(FullRegression(plan(), dtype="float32"), store=Store(tmp_path))
    assert cost.stored == 16 * 24 * 4
    assert (cost.networks, cost.found) == (4, 0)
    assert cost.bytes >= 8 * 16**2
    assert estimate_full(FullRegression(plan(), keep_matrices=True), store=Store(tmp_path)).stored == 4 * 16 * 24 * 8
    assert "in the store" in cost.text()


def test_bad_input(tmp_path):
    with pytest.raises(InvalidInput, match="'entk' has blocks"):
        full_regression(plan(), kernel="entk", store=tmp_path)
    with pytest.raises(InvalidInput, match="Unknown kernel"):
        full_regression(plan(), kernel="pmtk", store=tmp_path)
    path = tmp_path / "data.npz"
    x = np.random.default_rng(0).normal(size=(30, 3))
    x[7] = x[3]
    np.savez(path, x=x, y=np.arange(30) % 3)
    twice = plan_trajectory({"name": "npz", "path": str(path), "n": 25}, test=5, points=2, training={"epochs": 1})
    with pytest.raises(InvalidInput, match=r"Training examples \d+ and \d+ are equal"):
        full_regression(twice, store=tmp_path / "store")


def test_the_command_shows_and_writes_it_beside_the_network(finished, tmp_path):
    store, path = finished[0], tmp_path / "results.nc"
    done = CliRunner().invoke(app, [*COMMAND.split(), "pntk", "--out", str(path), "--store", store.address])
    assert done.exit_code == 0, done.output
    assert "regression on all 16 training examples: about" in done.output  # in tiles of another size
    results = load_trajectory(path)
    assert results.attrs["full_kernel"] == "pntk"
    np.testing.assert_allclose(results["full_regression_output"], finished[1]["full_regression_output"], atol=1e-6)
    lines = done.output[done.output.index("on all 16 training examples\n") :].splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()[:1] in (["0"], ["2"])}
    for epoch in (0, 2):
        now = finished[1].isel(width=0).sel(at=epoch).mean("seed")
        shown = [now["network_accuracy"], *now["full_regression_accuracy"]]
        assert rows[str(epoch)] == [f"{float(value):.1%}" for value in shown]


def test_the_command_refuses_a_kernel_with_blocks_before_any_work(tmp_path):
    done = CliRunner().invoke(app, [*COMMAND.split(), "entk", "--store", str(tmp_path)])
    assert done.exit_code == 2
    assert "'entk' has blocks of n c rows" in done.output
    assert Store(tmp_path).manifests() == []
