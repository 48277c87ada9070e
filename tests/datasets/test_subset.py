"""Subsets: seeded, nested, balanced, standardised over the source, and clear when they cannot be drawn."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_explorer.datasets import DATASETS, DataConfig, RawData, load, load_dataset
from ntk_explorer.datasets._standard import scale
from ntk_explorer.datasets._subset import balanced_rows
from ntk_explorer.errors import InvalidInput, UnknownName

TOYS = ["rings", "sphere", "sine", "step"]


def counts(data):
    return np.bincount(data.y, minlength=data.outputs)


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_classes_are_balanced_until_one_is_used_up(sizes, share, seed):
    y = np.repeat(np.arange(len(sizes)), sizes)
    n = round(share * len(y))
    rows = balanced_rows(y, np.arange(len(y)), n, np.random.default_rng(seed))
    drawn = np.bincount(y[rows], minlength=len(sizes))
    assert len(set(rows.tolist())) == n
    assert all(count == size or count >= drawn.max() - 1 for count, size in zip(drawn, sizes, strict=True))


@pytest.mark.parametrize("name", ["digits", "rings"])
@pytest.mark.parametrize("n", [10, 23, 100])
def test_class_counts_differ_by_at_most_one(name, n):
    data = load_dataset(name, n=n, seed=n)
    assert np.ptp(counts(data)) <= 1


@pytest.mark.parametrize("name", ["digits", *TOYS])
def test_a_seed_gives_one_subset_and_another_seed_another(name):
    first, again, other = (load_dataset(name, n=40, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.targets, again.targets)
    assert not np.array_equal(first.x, other.x)


@pytest.mark.parametrize("name", ["digits", *TOYS])
def test_smaller_subsets_are_the_beginning_of_larger_ones(name):
    small, large = load_dataset(name, n=17, seed=2), load_dataset(name, n=60, seed=2)
    np.testing.assert_array_equal(small.x, large.x[:17])
    np.testing.assert_array_equal(small.targets, large.targets[:17])


def test_an_incomplete_round_favours_no_class():
    extra = [load_dataset("digits", n=11, seed=seed).y[10] for seed in range(40)]
    assert len(set(extra)) >= 7


def test_digits_are_standardised_over_the_source_and_keep_their_geometry():
    whole, part = load_dataset("digits", n=1797), load_dataset("digits", n=50)
    assert whole.inputs == (8, 8, 1)
    np.testing.assert_allclose([whole.x.mean(), whole.x.std()], [0, 1], atol=1e-12)
    assert part.images is not None
    source = load_dataset("digits", n=1797).images
    assert source is not None
    assert (part.images.min(), part.images.max()) == (0, 16)
    np.testing.assert_allclose(part.x, (part.images - source.mean()) / source.std(), atol=1e-12)


@pytest.mark.parametrize("n", [100, None])
def test_labels_targets_ids_and_pictures_belong_together(n):
    data = load_dataset("digits", n=n, seed=5)
    whole = load_dataset("digits", n=1797)
    place = np.argsort(whole.ids)[data.ids]
    np.testing.assert_array_equal(whole.x[place], data.x)
    np.testing.assert_array_equal(whole.y[place], data.y)
    np.testing.assert_array_equal(data.targets.argmax(axis=1), data.y)
    assert data.targets.sum() == len(data.y) == 100
    assert data.class_names == tuple("0123456789")


def test_only_the_first_classes():
    data = load_dataset("digits", n=31, classes=3)
    assert sorted(counts(data)) == [10, 10, 11]
    assert (data.outputs, data.class_names) == (3, ("0", "1", "2"))


@pytest.mark.parametrize("image", [True, False])
def test_standardising_keeps_constants_at_zero_and_survives_huge_values(image):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 2, 2, 3)) * [1e-300, 1e300, 1] + [0, 0, 7]
    x[..., 2] = 0.1
    x = x if image else x.reshape(6, -1)
    before = x.copy()
    z = scale(RawData(x, np.zeros(6), image=image))(x)
    np.testing.assert_array_equal(x, before)
    axis = (0, 1, 2) if image else 0
    varied = np.arange(z.shape[-1]) % 3 < 2
    np.testing.assert_allclose(z.mean(axis=axis), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(axis=axis), np.where(varied, 1, 0), rtol=1e-12)


def test_statistics_are_those_of_the_source():
    raw = RawData(np.array([[0.0], [2.0], [4.0]]), np.zeros(3))
    np.testing.assert_allclose(scale(raw)(raw.x[[2]]), [[2 / np.sqrt(8 / 3)]])


def test_duplicates_are_counted():
    data = load_dataset("digits", n=20)
    assert data.duplicates == 0
    twice = dataclasses.replace(data, x=np.concatenate([data.x, -0.0 * data.x[:1], 0.0 * data.x[:2]]))
    assert twice.duplicates == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "digits", "n": 1798}, "n = 1798 is beyond the 1797 examples of 'digits'. Lower n to 1797."),
        ({"name": "digits", "n": 600, "classes": 3}, "n = 600 is beyond the 537 examples .* Lower n to 537."),
        ({"name": "digits", "n": 9}, "n = 9 is below the 10 classes of 'digits'. Raise n to 10 or lower classes."),
        ({"name": "rings", "n": 3, "classes": 4}, "n = 3 is below the 4 classes of 'rings'"),
        ({"name": "sphere", "n": 3}, "n = 3 is below the 10 classes of 'sphere'"),
        ({"name": "digits", "n": 1}, "n: .*greater than or equal to 2, got 1"),
        ({"name": "digits", "n": 2.5}, "n: .*got 2.5"),
        ({"name": "digits", "classes": 1}, "classes: .*greater than or equal to 2, got 1"),
        ({"name": "digits", "classes": 11}, "'digits' has 10 classes, got classes=11. Lower it to 10."),
        ({"name": "digits", "seed": -1}, "seed: .*got -1"),
        ({"name": "digits", "path": "x.npz"}, "'digits' is not read from a file, got path='x.npz'. Leave path out."),
        ({"name": "sine", "classes": 3}, "'sine' is a regression, got classes=3. Leave classes out."),
    ],
)
def test_what_cannot_be_drawn_is_said_once_and_clearly(options, message):
    with pytest.raises(InvalidInput, match=message):
        load_dataset(**options)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match=r"Unknown data set 'digit'. Did you mean 'digits'\?"):
        load_dataset("digit")


@pytest.mark.parametrize("name", ["digits", *TOYS])
def test_a_configuration_loads_the_same_examples(name):
    np.testing.assert_array_equal(load(DataConfig(name=name, n=30, seed=9)).x, load_dataset(name, n=30, seed=9).x)


def test_every_card_says_what_it_is():
    for entry in DATASETS.values():
        assert entry.summary.endswith(".")
        assert entry.reference
        assert entry.tags & {"classification", "regression"}
