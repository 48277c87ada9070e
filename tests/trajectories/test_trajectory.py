"""A small trajectory, number by number against the definitions, and what the store makes of it."""

import json
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr

from ntk_explorer.datasets import load_split
from ntk_explorer.errors import Cancelled, InvalidInput, NTKExplorerError, TooLarge
from ntk_explorer.kernels.empirical import entk, pntk, trntk
from ntk_explorer.regression.regression import kernel_regression
from ntk_explorer.store import Store
from ntk_explorer.sweeps.cells import compute_cell, network_at
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.training.checkpoints import open_checkpoint
from ntk_explorer.trajectories.assembly import Curves, Moment, assemble_trajectory
from ntk_explorer.trajectories.kept import (
    delete_trajectory,
    found_moment,
    open_trajectory,
    record_of,
    stored_trajectories,
)
from ntk_explorer.trajectories.parts import Parts
from ntk_explorer.trajectories.plan import plan_trajectory
from ntk_explorer.trajectories.run import run_trajectory, trajectory_events, trajectory_steps
from ntk_explorer.trajectories.setting import Facts

DATA = {"name": "digits", "n": 30, "classes": 3}
NETWORK = {"architecture": "mlp", "depth": 3}
TRAINING = {"epochs": 3, "batch_size": 8}
PLAN = plan_trajectory(
    DATA, NETWORK, test=12, widths=[16], seeds=2, points=10, training=TRAINING, kernel_at=[0, 3], dtype="float64"
)


def same(first, second):
    """Equal to the last bit, but for the time of the assembly."""
    xr.testing.assert_identical(first.drop_attrs(deep=False), second.drop_attrs(deep=False))
    return True


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The trajectory and the store that it was computed into; tests that change the store take a copy."""
    store = Store(tmp_path_factory.mktemp("kept"))
    return store, run_trajectory(PLAN, store=store)


@pytest.fixture
def copied(kept, tmp_path):
    """A store of one's own with all of it."""
    store, archive = Store(tmp_path / "copy"), tmp_path / "all.tar"
    kept[0].export(kept[0].keys(), archive)
    store.import_(archive)
    return store


@pytest.fixture(scope="module")
def parts():
    return Parts.of(PLAN, Facts.of(PLAN))


def kinds(store, plan=PLAN):
    """How many epochs and kernels a run computes that were not in the store."""
    steps = [step for step in trajectory_steps(plan, store=store) if step is not None]
    assert steps[-1].step == steps[-1].total
    ahead = [now for before, now in pairwise(steps) if now.step > before.step]
    new = [step.part for step in ahead if not step.part.found]
    return sum(isinstance(part, Curves) for part in new), sum(isinstance(part, Moment) for part in new)


def network_after(kept, parts, epoch, index=1, linearised=False):
    """A stored network and its parameters."""
    (train, test), network = load_split(PLAN.data, PLAN.test), network_at(PLAN, load_split(PLAN.data, 12)[0], 16)
    params, _ = open_checkpoint(kept[0], parts.trainings[16, linearised], epoch)
    return network, jax.tree.map(lambda leaf: jax.numpy.asarray(leaf[index]), params), train, test


def test_nothing_is_missing_and_everything_is_labelled(kept):
    ds = kept[1]
    sizes = {"width": 1, "seed": 2, "epoch": 4, "at": 2, "kernel": 3, "compared": 2, "start": 2, "rank": 30}
    assert dict(ds.sizes) == sizes | {"matrix_seed": 2, "x1": 10, "x2": 10, "test": 12, "output": 3}
    for name, values in ds.data_vars.items():
        short = values.sel(rank=slice(10)) if "rank" in values.dims else values
        assert np.isfinite(short).all(), name
    assert ds["label"].dims == ("x1",)
    np.testing.assert_array_equal(ds["test_target"].argmax("output"), ds["test_label"])
    assert json.loads(ds.attrs["plan"])["kernel_at"] == [0, 3]
    assert ds.attrs["task"] == "classification"


def test_before_training_it_is_the_cell_of_a_sweep(kept):
    sweep = plan_sweep(DATA | {"n": 10}, NETWORK, widths=[16], seeds=2, kernels=["pntk", "trntk"])
    train, _ = load_split(PLAN.data, PLAN.test)
    first = type(train)(**{**vars(train), "x": train.x[:10], "y": train.y[:10], "ids": train.ids[:10]})
    cell = compute_cell(sweep, first, 16, 1)
    start = kept[1].sel(width=16, seed=1, at=0)
    for name in ("entk", "pntk", "trntk"):
        expected = cell.arrays[f"eigenvalues.{name}"]
        found = start["eigenvalues"].sel(kernel=name).values[: len(expected)]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * expected[0])
    np.testing.assert_allclose(
        start["relative_frobenius"].sel(compared="pntk"), cell.arrays["relative_frobenius.pntk"], rtol=1e-9
    )


def test_networks_are_those_of_the_checkpoints_and_of_the_curves(kept, parts):
    for epoch in (0, 3):
        network, params, _, test = network_after(kept, parts, epoch)
        now = kept[1].sel(width=16, seed=1, at=epoch)
        np.testing.assert_allclose(now["network_output"], network.apply(params, test.x), rtol=1e-9)
        np.testing.assert_allclose(now["network_accuracy"], now["test_accuracy"].sel(epoch=epoch), rtol=1e-6)
    moved = abs(kept[1]["network_output"].diff("at")).max()
    assert moved > 0.1


def test_linearised_networks_are_their_tangents(kept, parts):
    network, initial, _, test = network_after(kept, parts, 0)
    _, params, _, _ = network_after(kept, parts, 3, linearised=True)
    x, step = jax.numpy.asarray(test.x), jax.tree.map(lambda a, b: a - b, params, initial)
    outputs, change = jax.jvp(lambda at: network.apply(at, x), (initial,), (step,))
    found = kept[1]["linearised_output"].sel(width=16, seed=1)
    np.testing.assert_allclose(found.sel(at=3), outputs + change, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.sel(at=0), kept[1]["network_output"].sel(width=16, seed=1, at=0), rtol=1e-10)


@pytest.mark.parametrize(("name", "kernel"), [("entk", entk), ("pntk", pntk), ("trntk", trntk)])
def test_regressions_and_movement_by_definition(kept, parts, name, kernel):
    network, params, train, test = network_after(kept, parts, 3)
    _, initial, _, _ = network_after(kept, parts, 0)
    x, x_test = jax.numpy.asarray(train.x[:10]), jax.numpy.asarray(test.x)
    k_train, k_test = kernel(network.apply, params, x), kernel(network.apply, params, x_test, x)
    f0 = {"f0_train": network.apply(params, x), "f0_test": network.apply(params, x_test)}
    now = kept[1].sel(width=16, seed=1, at=3, kernel=name)
    for start, given in (("network", f0), ("zero", {})):
        expected = kernel_regression(k_train, train.targets[:10], k_test, **given)
        np.testing.assert_allclose(now["regression_output"].sel(start=start), expected, rtol=1e-6, atol=1e-8)
        accuracy = np.mean(expected.argmax(1) == test.y)
        np.testing.assert_allclose(now["regression_accuracy"].sel(start=start), accuracy)
    k_initial = np.asarray(kernel(network.apply, initial, x))
    moved = np.linalg.norm(np.asarray(k_train) - k_initial) / np.linalg.norm(k_initial)
    np.testing.assert_allclose(now["drift"], moved, rtol=1e-9)
    assert float(kept[1]["drift"].sel(width=16, seed=1, at=0, kernel=name)) == 0


def test_differences_of_regressions_by_definition(kept):
    ds = kept[1].sel(width=16, seed=0, at=3)
    f_k, f_t = (ds["regression_output"].sel(kernel=name, start="network").values for name in ("pntk", "entk"))
    f0, now = ds["network_output"].values, ds.sel(compared="pntk", start="network")
    norm = np.linalg.norm
    np.testing.assert_allclose(now["regression_difference"], norm(f_k - f_t) / norm(f_t))
    np.testing.assert_allclose(now["correction_difference"], norm(f_k - f_t) / norm(f_t - f0))
    np.testing.assert_allclose(now["agreement"], np.mean(f_k.argmax(1) == f_t.argmax(1)))
    np.testing.assert_allclose(ds["learning_rate_limit"], 20 / ds["largest_eigenvalue"].sel(kernel="entk"))


def test_a_second_run_computes_nothing_and_the_page_opens_the_same(kept):
    store, results = kept
    assert kinds(store) == (0, 0)
    assert same(run_trajectory(PLAN, store=store), results)
    (stored,) = stored_trajectories(store)
    assert (stored.done, stored.total, stored.plan) == (6, 6, PLAN)
    assert same(open_trajectory(store, stored.key), results)


def test_only_what_is_missing_is_computed(kept, copied, parts):
    copied.delete(parts.moments[16, 1, 3].key)
    assert kinds(copied) == (0, 1)
    copied.delete(parts.moments[16, 0, 0].key)
    copied.delete(parts.trainings[16, False].checkpoint(0).key)
    assert kinds(copied) == (0, 1)  # the untrained network is made again, but no epoch is trained
    assert same(run_trajectory(PLAN, store=copied), kept[1])


def test_a_damaged_moment_is_computed_again(kept, copied, parts):
    manifest = copied.manifest(parts.moments[16, 0, 3].key)
    largest = max(manifest.files, key=lambda file: file.bytes)
    path = next(Path(copied.address).glob(f"**/{manifest.folder}/{largest.path}"))
    path.write_bytes(bytes(largest.bytes))
    assert found_moment(copied, manifest.key, (16, 0, 3)) is None
    assert kinds(copied) == (0, 1)
    assert same(run_trajectory(PLAN, store=copied), kept[1])


def test_damaged_curves_are_trained_again(kept, copied, parts):
    manifest = copied.manifest(parts.trainings[16, False].checkpoint(3).key)
    curve = next(file for file in manifest.files if "train_loss/c/" in file.path)
    path = next(Path(copied.address).glob(f"**/{manifest.folder}/{curve.path}"))
    path.write_bytes(bytes(curve.bytes))
    assert same(run_trajectory(PLAN, store=copied), kept[1])


def test_learning_rates_are_those_of_every_epoch(kept, parts):
    history = open_checkpoint(kept[0], parts.trainings[16, False], 3)[1]
    falling = {name: values.values for name, values in history.data_vars.items()}
    falling["learning_rate"] = 0.1 / (1 + np.arange(8.0).reshape(2, 4))
    results = assemble_trajectory(PLAN, parts.facts.known, [Curves(16, False, falling)])
    np.testing.assert_array_equal(results["learning_rate"], [falling["learning_rate"]])
    np.testing.assert_array_equal(kept[1]["learning_rate"], [history["learning_rate"]])


def test_a_stopped_training_is_shown_and_goes_on_to_the_same_bits(kept, tmp_path):
    store, seen = Store(tmp_path / "stopped"), []

    def stop():
        return len(seen) == 3

    with pytest.raises(Cancelled, match="after 2 of"):
        run_trajectory(PLAN, store=store, progress=seen.append, cancel=stop)
    (stored,) = stored_trajectories(store)
    assert (stored.done, stored.total) == (0, 6)
    sofar = open_trajectory(store, stored.key)
    assert np.isfinite(sofar["train_loss"]).sum("epoch").values.tolist() == [[3, 3]]
    assert np.isnan(sofar["drift"]).all()
    assert same(run_trajectory(PLAN, store=store), kept[1])


def test_more_epochs_go_on_from_the_last(copied):
    longer = plan_trajectory(**plan_fields(PLAN, training=TRAINING | {"epochs": 4}, kernel_at=[0, 3, 4]))
    assert kinds(copied, longer) == (2, 2)  # one epoch of network and linearised network, kernels of two seeds


def plan_fields(plan, **changes):
    return plan.model_dump(exclude={"network": {"inputs", "outputs", "width"}}) | changes


def test_deleted_trajectories_leave_what_others_have(copied, parts):
    other = plan_trajectory(**plan_fields(PLAN, kernel_at=[0]))
    run_trajectory(other, store=copied)
    delete_trajectory(copied, record_of(parts).key)
    assert kinds(copied, other) == (0, 0)
    delete_trajectory(copied, stored_trajectories(copied)[0].key)
    assert copied.keys() == set()
    with pytest.raises(InvalidInput, match="no trajectory"):
        open_trajectory(copied, record_of(parts).key)


def test_events_bring_every_part_once_and_figures_early(kept, tmp_path):
    address = str(tmp_path / "events")
    events = [event for event in trajectory_events(PLAN.model_dump_json(), address) if event]
    assert [event["known"] is not None for event in events] == [True] + [False] * (len(events) - 1)
    assert [event["step"] for event in events] == sorted(event["step"] for event in events)
    assert events[0]["step"] == 0  # the untrained network
    latest = {}
    for event in events:
        for part in event["parts"]:
            latest[vars(part).get("linearised"), vars(part).get("index"), vars(part).get("epoch")] = part
        assemble_trajectory(PLAN, events[0]["known"], latest.values())
    assert same(assemble_trajectory(PLAN, events[0]["known"], latest.values()), kept[1])
    (again,) = [event for event in trajectory_events(PLAN.model_dump_json(), address) if event]
    assert (len(again["parts"]), again["step"]) == (6, again["total"])
    with pytest.raises(TooLarge, match="nobody has agreed"):
        next(trajectory_events(PLAN.model_dump_json(), str(tmp_path / "long"), longest=0.0))


SHOT = {"optimizer": "sgd", "loss": "squared", "learning_rate": 10.0, "batch_size": None, "epochs": 200}


def test_divergence_says_the_limit_and_no_kernels_follow(tmp_path):
    plan = plan_trajectory(**plan_fields(PLAN, training=SHOT))
    linear = NETWORK | {"activation": "identity"}  # relu would die, and stand still
    plan = plan_trajectory(**plan_fields(plan, network=linear, linearised=False, seeds=1, kernel_at=[0]))
    with pytest.raises(NTKExplorerError, match=r"diverged in epoch \d+.*2/λ_max"):
        run_trajectory(plan, store=tmp_path)
    assert stored_trajectories(Store(tmp_path))[0].done == 0


def test_equal_examples_are_named_before_anything_is_trained(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 5))
    x[20:] = x[:20]
    np.savez(tmp_path / "twice.npz", x=x, y=np.arange(40) % 2)
    data = {"name": "npz", "path": str(tmp_path / "twice.npz"), "n": 30}
    options = {"test": 10, "widths": [4], "seeds": 1, "training": {"epochs": 1}, "kernel_at": [1]}
    with pytest.raises(InvalidInput, match=r"examples \d+ and \d+ are equal.*set ridge"):
        run_trajectory(plan_trajectory(data, **options), store=tmp_path / "store")
    assert not Store(tmp_path / "store").keys()
    assert Facts.of(plan_trajectory(data, ridge=1e-3, **options)).outputs == 2  # with a ridge they may be equal


def test_a_kernel_without_inverse_leaves_the_rest(tmp_path):
    """Four units cannot tell 20 points of a line apart."""
    plan = plan_trajectory(
        {"name": "sine", "n": 20},
        test=8,
        widths=[2],
        points=20,
        training={"epochs": 1},
        kernel_at=[0],
        kernels=["pntk"],
        linearised=False,
    )
    results = run_trajectory(plan, store=tmp_path)
    assert "singular" in json.loads(results.attrs["refusals"])["pntk"]
    assert np.isnan(results["regression_output"]).all()
    assert np.isfinite(results["drift"]).all()
    assert same(run_trajectory(plan, store=tmp_path), results)
    # A regression has no accuracies, one kernel no errors against another, and a line is drawn along its only feature.
    assert np.isnan(results["test_accuracy"]).all()
    assert "relative_frobenius" not in results
    assert results["grid_input"].shape == (201, 1)
    assert results["network_output_on_grid"].dims == ("width", "seed", "at", "grid", "output")
    assert np.isfinite(results["network_output_on_grid"]).all()


def test_what_memory_or_patience_cannot_hold_is_refused_first(tmp_path):
    plan = plan_trajectory({"name": "sphere", "n": 20000}, points=20000, test=10, kernel_at=[0])
    with pytest.raises(TooLarge, match="Lower the number of points"):
        run_trajectory(plan, store=tmp_path)
    assert not Store(tmp_path).keys()
