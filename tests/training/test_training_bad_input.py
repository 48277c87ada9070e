"""What no training can start from is refused with cause and remedy, before anything is computed."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from training_samples import classes_of, ensemble_of, network_of

from ntk_explorer.errors import InvalidInput
from ntk_explorer.training.config import TrainingConfig, configure_training
from ntk_explorer.training.epochs import train_epochs
from ntk_explorer.training.train import train


def refused(match, *, x=None, y=None, network=None, x_test=None, y_test=None, **options):
    """Refused when it is asked for, not when the first epoch is."""
    network, (good_x, good_y) = network or network_of(), classes_of()
    x, y = good_x if x is None else x, good_y if y is None else y
    tests: dict = {"x_test": x_test, "y_test": y_test}
    params, key, options = ensemble_of(network), jax.random.key(0), {"batch_size": 8} | options
    with pytest.raises(InvalidInput, match=match):
        train_epochs(network.apply, params, x, y, config=configure_training(None, **options), key=key, **tests)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"optimizer": "adm"}, "Did you mean 'adam'"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"learning_rat": 1}, "Did you mean 'learning_rate'"),
    ],
)
def test_wrong_names_get_help(options, match):
    refused(match, **options)


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"batch_size": 0},
        {"weight_decay": -1},
        {"epochs": 0},
        {"epochs": 2.5},
        {"loss": "hinge"},
    ],
)
def test_values_out_of_bounds_are_named(wrong):
    refused(next(iter(wrong)), **wrong)


def test_a_configuration_is_changed_by_options_and_checked_again():
    config = configure_training(TrainingConfig(optimizer="sgd", epochs=7), epochs=8)  # pyright: ignore[reportCallIssue]
    assert (config.optimizer, config.epochs, config.batch_size) == ("sgd", 8, 64)
    assert hash(config) == hash(configure_training(optimizer="sgd", epochs=8))


def test_labels_out_of_range_are_named_with_their_example():
    refused(r"y holds class 3 \(example 4\), and the network has 3 outputs", y=np.array([0, 1, 2, 0, 3] + [0] * 17))
    x, y = classes_of(4)
    refused("y_test holds class 9", x_test=x, y_test=y + 9)


def test_cross_entropy_of_a_regression_is_refused():
    refused("are no classes", y=np.zeros((22, 3)), loss="cross_entropy")
    refused("one output", y=np.zeros(22, int), network=network_of(outputs=1), loss="cross_entropy")


def test_a_batch_beyond_all_examples_is_refused():
    refused("batch_size is 23, and there are 22 training examples", batch_size=23)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"x": np.zeros((0, 5))}, "x has shape"),
        ({"x": np.full((22, 5), np.nan)}, "NaN"),
        ({"y": np.zeros(21, int)}, "y is of shape"),
        ({"y": np.zeros((22, 2))}, "2 targets per example for 3 outputs"),
        ({"y": np.full((22, 3), np.inf)}, "NaN or infinite"),
        ({"x_test": np.zeros((2, 5))}, "y_test is missing"),
        ({"y_test": np.zeros(2, int)}, "no examples x_test"),
        ({"x_test": np.zeros((2, 4)), "y_test": np.zeros(2, int)}, r"x_test have shape \(4,\)"),
    ],
)
def test_examples_that_do_not_fit_are_refused(given, match):
    refused(match, **given)


def test_parameters_need_an_axis_of_seeds_and_floating_point():
    network, (x, y) = network_of(), classes_of()
    params = network.init(jax.random.key(0))
    with pytest.raises(InvalidInput, match="axes, of seeds"):
        train_epochs(network.apply, params, x, y, config=configure_training(batch_size=8), key=jax.random.key(0))
    whole = jax.tree.map(lambda leaf: leaf.astype(int), params)
    with pytest.raises(InvalidInput, match="real floating-point"):
        train(network.apply, whole, x, y, key=jax.random.key(0), batch_size=8)


def test_an_epoch_that_there_is_none_of_cannot_be_kept():
    network, (x, y) = network_of(), classes_of()
    with pytest.raises(InvalidInput, match="no epoch 5 to keep"):
        train(network.apply, network.init(jax.random.key(0)), x, y, key=jax.random.key(0), epochs=4, epochs_kept=[5])


def test_choosing_a_training_needs_no_jax():
    code = (
        "import sys, ntk_explorer as n\n"
        "n.configure_training(optimizer='sgd'), list(n.SCHEDULES), n.train_stored, n.train\n"
        "n.StoredTraining({}, n.TrainingConfig(), '').checkpoint(3).key\n"
        "assert not {'jax', 'optax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_seed_is_no_key():
    network, (x, y) = network_of(), classes_of()
    with pytest.raises(InvalidInput, match=r"key is 3. Pass jax.random.key\(seed\)"):
        train(network.apply, network.init(jax.random.key(0)), x, y, key=3, epochs=1)
