"""Training and test examples: disjoint, seeded, balanced, and standardised without a look at the test."""

import tracemalloc

import numpy as np
import pytest

from ntk_explorer.datasets import DATASETS, DataConfig, RawData, load, load_split
from ntk_explorer.datasets._standard import scale
from ntk_explorer.errors import InvalidInput

TOYS = ["rings", "sphere", "sine", "step"]


def draw(name, n, test, **options):
    return load_split(DataConfig(name=name, n=n, **options), test)


@pytest.fixture
def published(monkeypatch):
    """A source with a test set of its own, far from the training examples: 60 images of training, 40 of test."""
    rng = np.random.default_rng(0)
    names = ("a", "b", "c")

    def raw(count, low, high, test=None):
        x = rng.integers(low, high, size=(count, 4, 4, 2)).astype(np.uint8)
        return RawData(x, np.arange(count) % 3, names, image=True, test=test)

    training, test = raw(60, 0, 100), raw(40, 150, 256)
    loader = lambda config: RawData(training.x, training.y, names, image=True, test=lambda: test)  # noqa: E731
    DATASETS.register("published", label="published", tags={"classification", "image"})(loader)
    yield training, test
    del DATASETS._entries["published"]


@pytest.mark.parametrize("name", ["digits", *TOYS])
def test_training_rows_are_those_of_the_subset_and_test_rows_are_others(name):
    train, test = draw(name, 50, 30, seed=3)
    assert (len(train.x), len(test.x)) == (50, 30)
    np.testing.assert_array_equal(train.ids, load(DataConfig(name=name, n=50, seed=3)).ids)
    np.testing.assert_array_equal(train.targets, load(DataConfig(name=name, n=50, seed=3)).targets)
    assert not set(train.ids) & set(test.ids)
    assert not {row.tobytes() for row in train.x} & {row.tobytes() for row in test.x}
    assert (train.inputs, train.outputs, train.class_names) == (test.inputs, test.outputs, test.class_names)


@pytest.mark.parametrize("name", TOYS)
def test_toys_are_the_same_examples_as_without_a_test(name):
    train, test = draw(name, 40, 25, seed=1)
    whole = load(DataConfig(name=name, n=65, seed=1))
    np.testing.assert_array_equal(np.concatenate([train.x, test.x]), whole.x)
    np.testing.assert_array_equal(train.x, load(DataConfig(name=name, n=40, seed=1)).x)


def test_both_parts_are_balanced():
    train, test = draw("digits", 57, 45)
    for part in (train, test):
        assert np.ptp(np.bincount(part.y, minlength=10)) <= 1


def test_a_split_is_its_seed():
    first, again, other = (draw("digits", 40, 20, seed=seed)[1] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.x, again.x)
    assert not np.array_equal(first.ids, other.ids)


def test_statistics_do_not_see_the_test_examples():
    train, test = draw("digits", 1437, 360)
    assert train.images is not None
    assert test.images is not None
    mean, deviation = train.images.mean(), train.images.std()
    for part in (train, test):
        np.testing.assert_allclose(part.x, (part.images - mean) / deviation, atol=1e-12)


def test_what_is_constant_in_training_is_zero_in_test_as_well():
    raw = RawData(np.array([[1.0, 0.0], [1.0, 2.0], [9.0, 4.0]]), np.zeros(3))
    np.testing.assert_allclose(scale(raw, without=np.array([2]))(raw.x), [[0, -1], [0, 1], [0, 3]])


def test_a_published_test_set_is_used(published):
    training, held = published
    train, test = draw("published", 30, 20)
    np.testing.assert_array_equal(train.x, load(DataConfig(name="published", n=30)).x)
    assert test.images is not None
    assert test.images.min() >= 150
    np.testing.assert_array_equal(test.images, held.x[test.ids])
    mean, deviation = (f(training.x.reshape(-1, 2).astype(float), axis=0) for f in (np.mean, np.std))
    np.testing.assert_allclose(test.x, (held.x[test.ids] - mean) / deviation, rtol=1e-12)
    assert np.ptp(np.bincount(test.y)) <= 1


def test_draws_of_a_published_test_set_are_nested_and_do_not_depend_on_training(published):
    small, large = draw("published", 30, 10)[1], draw("published", 45, 35)[1]
    np.testing.assert_array_equal(small.x, large.x[:10])


def test_bytes_are_standardised_as_numbers_are_and_stay_bytes_for_display(published):
    training, _ = published
    data = load(DataConfig(name="published", n=60))
    assert (data.x.dtype, data.images.dtype) == (np.float64, np.uint8)
    as_numbers = RawData(training.x.astype(float), training.y, image=True)
    np.testing.assert_allclose(data.x, scale(as_numbers)(as_numbers.x)[data.ids], rtol=1e-12, atol=1e-12)


def test_a_constant_channel_of_bytes_becomes_zero():
    x = np.stack([np.full((5, 3, 3), 7), np.arange(45).reshape(5, 3, 3)], axis=-1).astype(np.uint8)
    z = scale(RawData(x, np.zeros(5), image=True))(x)
    np.testing.assert_array_equal(z[..., 0], 0)
    np.testing.assert_allclose([z[..., 1].mean(), z[..., 1].std()], [0, 1], atol=1e-12)


def test_many_images_are_never_all_converted():
    x = np.random.default_rng(0).integers(0, 256, size=(3000, 32, 32, 3)).astype(np.uint8)
    raw = RawData(x, np.zeros(len(x)), image=True)
    tracemalloc.start()
    try:
        scale(raw)(x[:10])
        assert tracemalloc.get_traced_memory()[1] < 2 * x.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("options", "test", "message"),
    [
        (
            {"name": "digits", "n": 1700},
            98,
            "n . test = 1798 is beyond the 1797 examples of 'digits'. Lower n . test to",
        ),
        ({"name": "digits", "n": 500, "classes": 3}, 50, "n . test = 550 is beyond the 537 examples"),
        ({"name": "digits", "n": 9}, 50, "n = 9 is below the 10 classes of 'digits'"),
        ({"name": "digits", "n": 50}, 0, "There have to be test examples, got test=0"),
        ({"name": "digits", "n": 50}, 2.5, "There have to be test examples, got test=2.5"),
        ({"name": "published", "n": 61}, 5, "n = 61 is beyond the 60 examples of 'published'. Lower n to 60"),
        ({"name": "published", "n": 60}, 41, "test = 41 is beyond the 40 examples of 'published'. Lower test to 40"),
    ],
)
def test_what_cannot_be_split_is_said(published, options, test, message):
    with pytest.raises(InvalidInput, match=message):
        load_split(DataConfig(**options), test)


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if not entry.tags & {"file", "folder"}])
def test_the_sizes_of_the_card_can_be_drawn(name):
    n, test = DATASETS[name].extras["split"]
    train, held = draw(name, n, test)
    assert (len(train.x), len(held.x)) == (n, test)


def test_every_card_has_sizes():
    for entry in DATASETS.values():
        n, test = entry.extras["split"]
        assert n >= 10
        assert test >= 10
