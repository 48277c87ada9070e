"""Trainings in the store: what is there is not trained again, and what is opened is what was trained."""

from typing import Any

import jax
import numpy as np
import pytest
from training_samples import assert_same_bits, classes_of, ensemble_of, network_of

from ntk_explorer.errors import InvalidInput
from ntk_explorer.store import Store
from ntk_explorer.training.checkpoints import PRODUCER, ROLLING, StoredTraining, examples_fingerprint, open_checkpoint
from ntk_explorer.training.config import configure_training
from ntk_explorer.training.stored import train_stored

WORDS = {"architecture": "mlp", "seed": 3}


def begin(store, *, keep=(), every=1e9, params=None, f=None, tests=(), linearised=False, **options):
    """The epochs of a training in the store, as they come."""
    (x, y), network = classes_of(), network_of()
    named: dict[str, Any] = dict(zip(("x_test", "y_test"), tests, strict=False))
    return train_stored(
        store,
        f or network.apply,
        ensemble_of(network, dtype="float32") if params is None else params,
        x,
        y,
        network=WORDS,
        config=configure_training(None, **{"batch_size": 8, "epochs": 4} | options),
        seed=1,
        keep=keep,
        every=every,
        linearised=linearised,
        **named,
    )


def numbers(epochs):
    return [epoch.number for epoch in epochs]


def there(store, producer=PRODUCER):
    return sorted(manifest.config["epoch"] for manifest in store.manifests(producer))


def training_of(**options):
    examples = examples_fingerprint(*classes_of())
    config = configure_training(None, **{"batch_size": 8, "epochs": 4} | options)
    return StoredTraining(WORDS, config, examples, seeds=2, seed=1)


def state(epoch):
    return epoch.params, epoch.optimizer_state


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "artefacts")


def test_what_is_there_is_not_trained_again(store):
    first = list(begin(store, keep=(0, 2)))
    assert numbers(first) == [0, 1, 2, 3, 4]
    assert there(store) == [0, 2, 4]
    again = list(begin(store, keep=(0, 2)))
    assert numbers(again) == [4]
    assert_same_bits(state(again[-1]), state(first[-1]))
    assert again[-1].history.identical(first[-1].history)


def test_a_training_is_prolonged_from_its_end(store):
    list(begin(store))
    longer = list(begin(store, epochs=6))
    assert numbers(longer) == [4, 5, 6]
    assert_same_bits(state(longer[-1]), state(list(begin(Store("memory://longer"), epochs=6))[-1]))
    assert longer[-1].history.sizes["epoch"] == 7


def test_a_schedule_over_all_steps_makes_a_longer_training_another_one(store):
    list(begin(store, schedule="cosine"))
    assert numbers(begin(store, schedule="cosine", epochs=5)) == [0, 1, 2, 3, 4, 5]


def test_an_epoch_wanted_later_is_trained_from_the_latest_before_it(store):
    first = list(begin(store, keep=(1,)))
    later = list(begin(store, keep=(1, 3)))
    assert numbers(later) == [1, 2, 3, 4]
    assert there(store) == [1, 3, 4]
    assert_same_bits(state(later[2]), state(first[3]))


def test_a_training_that_is_left_is_kept_to_its_latest_epoch(store):
    epochs = begin(store)
    assert numbers(next(epochs) for _ in range(3)) == [0, 1, 2]
    assert there(store, ROLLING) == []
    epochs.close()
    assert there(store, ROLLING) == [2]
    assert numbers(begin(store)) == [2, 3, 4]
    assert (there(store), there(store, ROLLING)) == ([4], [])


def test_the_renewed_checkpoint_replaces_the_one_before(store):
    epochs = begin(store, every=0.0)
    for number in range(4):
        assert next(epochs).number == number
        assert there(store, ROLLING) == [number]
    assert numbers(epochs) == [4]
    assert (there(store), there(store, ROLLING)) == ([4], [])


def test_a_shorter_training_leaves_the_renewed_checkpoint_of_a_longer_one(store):
    epochs = begin(store, epochs=6)
    assert numbers(next(epochs) for _ in range(4)) == [0, 1, 2, 3]
    epochs.close()
    assert numbers(begin(store, epochs=2)) == [0, 1, 2]
    assert there(store, ROLLING) == [3]
    assert numbers(begin(store, epochs=6)) == [3, 4, 5, 6]
    assert there(store, ROLLING) == []


def test_a_damaged_checkpoint_is_trained_again(store):
    first = list(begin(store, keep=(2,)))
    manifest = store.manifest(training_of().checkpoint(4).key)
    damaged = store.objects.folder / manifest.folder / max(manifest.files, key=lambda file: file.bytes).path
    damaged.write_bytes(bytes(damaged.stat().st_size))
    again = list(begin(store, keep=(2,)))
    assert numbers(again) == [2, 3, 4]
    assert_same_bits(state(again[-1]), state(first[-1]))
    assert there(store) == [2, 4]


def test_parameters_and_history_are_opened_without_the_network(store):
    tests = classes_of(9, seed=5)
    epochs = list(begin(store, keep=(2,), tests=tests))
    examples = examples_fingerprint(*classes_of(), *tests)
    training = StoredTraining(WORDS, training_of().config, examples, seeds=2, seed=1)
    found = open_checkpoint(store, training, 2)
    assert found
    params, history = found
    assert_same_bits(params, epochs[2].params)
    assert history.identical(epochs[2].history)
    assert open_checkpoint(store, training, 3) is None
    assert open_checkpoint(store, training_of(), 2) is None  # other test examples, another history


def test_any_pytree_and_any_name_can_be_kept(store):
    def f(params, x):
        ((first, second),) = params["a layer/ü"]
        return x @ first + x @ second + params["a layer_ü"]

    names = {"a layer/ü": [(np.ones((2, 5, 3)), np.zeros((2, 5, 3)))], "a layer_ü": np.zeros((2, 1, 1))}
    epochs = list(begin(store, f=f, params=names, optimizer="sgd", learning_rate=0.1))
    again = list(begin(store, f=f, params=names, optimizer="sgd", learning_rate=0.1))
    assert numbers(again) == [4]
    assert_same_bits(state(again[-1]), state(epochs[-1]))


def test_arrays_carry_the_names_of_the_tree(store):
    list(begin(store))
    manifest = store.manifest(training_of().checkpoint(4).key)
    assert {"params.dense_0.weight", "params.readout.weight", "train_loss"} <= set(manifest.arrays)
    assert any(name.startswith("state.") and name.endswith("mu.readout.weight") for name in manifest.arrays)
    assert manifest.scalars["epoch"] == 4
    assert manifest.seconds > 0


def test_keys_tell_trainings_apart(store):
    base = training_of().checkpoint(4).key
    assert training_of(epochs=9).checkpoint(4).key == base
    others = [training_of(**change) for change in ({"optimizer": "sgd"}, {"batch_size": 4}, {"weight_decay": 0.1})]
    plain = training_of()
    others += [
        StoredTraining(WORDS, plain.config, plain.examples, seeds=3, seed=1),
        StoredTraining(WORDS, plain.config, plain.examples, seeds=2, seed=2),
        StoredTraining(WORDS, plain.config, plain.examples, seeds=2, seed=1, linearised=True),
        StoredTraining(WORDS | {"width": 9}, plain.config, plain.examples, seeds=2, seed=1),
    ]
    assert len({base, plain.checkpoint(3).key, *(other.checkpoint(4).key for other in others)}) == 9


def test_linearised_and_real_training_do_not_meet(store):
    real, straight = list(begin(store, keep=(0,)))[-1], list(begin(store, keep=(0,), linearised=True))
    assert numbers(straight) == [0, 1, 2, 3, 4]
    assert not np.array_equal(real.params["readout"]["weight"], straight[-1].params["readout"]["weight"])


def test_fingerprint_is_of_the_numbers_in_their_dtype():
    x, y = classes_of()
    assert examples_fingerprint(x, y) == examples_fingerprint(jax.numpy.asarray(x, "float32"), y.astype("int32"))
    assert examples_fingerprint(x, y) != examples_fingerprint(x, y, dtype="float64")


def test_an_epoch_beyond_the_last_cannot_be_kept(store):
    with pytest.raises(InvalidInput, match="no epoch 5 to keep"):
        begin(store, keep=(5,))
