"""Gram matrices of trained networks, and of test with training examples, as jobs of tiles."""

import jax
import numpy as np
import pytest

from ntk_explorer.datasets import load_split
from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels.gram import gram
from ntk_explorer.store import Store
from ntk_explorer.sweeps.cells import initialise, network_at
from ntk_explorer.sweeps.kept_grams import stored_grams
from ntk_explorer.sweeps.matrices import compute_gram, estimate_gram, plan_gram
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.training.config import TrainingConfig
from ntk_explorer.training.stored import train_stored

SWEEP = plan_sweep({"name": "rings", "n": 20}, "mlp", widths=[8], seeds=1)
TEST = 11


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with an ensemble of two, its examples, its parameters and the key of its checkpoint."""
    store = Store(tmp_path_factory.mktemp("trained"))
    train, test = load_split(SWEEP.data, TEST)
    network = network_at(SWEEP, train, 8)
    params = [initialise(SWEEP, network, index) for index in range(2)]
    config = TrainingConfig(epochs=2, batch_size=5)
    ensemble = jax.tree.map(lambda *leaves: np.stack(leaves), *params)
    *_, last = train_stored(store, network.apply, ensemble, train.x, train.y, network={"name": "mine"}, config=config)
    (manifest,) = store.manifests("training-checkpoint")
    return store, network, train, test, last.params, manifest.key


@pytest.mark.parametrize(("kernel", "member"), [("entk", 0), ("loss_gradient", 1)])
def test_both_matrices_of_a_checkpoint_are_those_of_one_call(kernel, member, trained):
    store, network, train, test, params, key = trained
    own = jax.tree.map(lambda leaf: leaf[member], params)
    options = {"kernel": kernel, "checkpoint": key, "member": member, "test": TEST, "tile": 8}
    found = compute_gram(plan_gram(SWEEP, **options), store=store)
    expected = gram(kernel, network, own, train.x, labels=train.y, batch_size=8)
    np.testing.assert_array_equal(found.values, expected.values)
    across = compute_gram(plan_gram(SWEEP, rows="test", **options), store=store)
    expected = gram(kernel, network, own, test.x, train.x, labels=test.y, labels2=train.y, batch_size=8)
    assert across.shape[:2] == (TEST, 20)
    np.testing.assert_array_equal(across.values, expected.values)
    np.testing.assert_array_equal(across["label1"], test.y)
    np.testing.assert_array_equal(across["label2"], train.y)


def test_few_test_examples_and_more_than_training_examples(trained):
    store, network, *_ = trained
    for count in (1, 30):
        train, test = load_split(SWEEP.data, count)
        wanted = plan_gram(SWEEP, test=count, rows="test", tile=8)
        assert estimate_gram(wanted, store=store).cells == -(-count // 8) * 3
        found = compute_gram(wanted, store=store)
        assert estimate_gram(wanted, store=store).cells == 0
        expected = gram("pntk", network, initialise(SWEEP, network, 0), test.x, train.x, batch_size=8)
        np.testing.assert_array_equal(found.values, expected.values)


def test_stored_matrices_know_their_plans(tmp_path, trained):
    store, *_, key = trained
    wanted = plan_gram(SWEEP, checkpoint=key, member=1, test=TEST, rows="test", tile=16)
    compute_gram(wanted, store=store)
    assert wanted in [gram.plan for gram in stored_grams(store)]
    assert f"{TEST} × 20" in wanted.title


def test_a_matrix_of_an_initial_network_keeps_its_key():
    """Results that earlier versions kept are still found."""
    assert set(plan_gram(SWEEP).identity("").config) == {
        "kernel", "projected", "cosine", "tile", "data", "network", "width", "seed"
    }  # fmt: skip
    assert plan_gram(SWEEP).identity("").inputs == ()


def test_bad_input(trained):
    store, *_, key = trained
    with pytest.raises(InvalidInput, match="No test examples are set apart"):
        plan_gram(SWEEP, rows="test")
    with pytest.raises(InvalidInput, match="holds no checkpoint 'ff"):
        compute_gram(plan_gram(SWEEP, checkpoint="f" * 64), store=store)
    with pytest.raises(InvalidInput, match=r"no member 2. Give a number from 0 to 1"):
        compute_gram(plan_gram(SWEEP, checkpoint=key, member=2), store=store)
