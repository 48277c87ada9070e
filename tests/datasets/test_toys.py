"""Toys have the distributions that their cards promise."""

import numpy as np
import pytest

from ntk_explorer.datasets import load_dataset
from ntk_explorer.errors import InvalidInput


@pytest.mark.parametrize("classes", [None, 3])
def test_the_sphere_is_the_set_up_of_the_measured_slopes(classes):
    data = load_dataset("sphere", n=400, classes=classes, seed=1)
    assert data.inputs == (32,)
    assert data.outputs == (classes or 10)
    np.testing.assert_allclose(np.linalg.norm(data.x, axis=1), np.sqrt(32))
    # Directions of a rotation-invariant draw: every coordinate has mean 0 and variance 1.
    np.testing.assert_allclose(data.x.mean(axis=0), 0, atol=0.25)
    np.testing.assert_allclose(data.x.var(axis=0), 1, atol=0.35)


def test_the_sphere_can_be_drawn_in_the_shape_of_images():
    data = load_dataset("sphere", n=50, shape=(4, 4, 3))
    assert data.x.shape == data.images.shape == (50, 4, 4, 3)
    np.testing.assert_allclose(np.linalg.norm(data.x.reshape(50, -1), axis=1), np.sqrt(48))
    with pytest.raises(InvalidInput, match=r"Examples of 'rings' have a shape of their own, got shape=\(3,\)"):
        load_dataset("rings", shape=(3,))


def test_labels_of_the_sphere_are_those_of_a_linear_map():
    data = load_dataset("sphere", n=2000, classes=2)
    side = 1 - 2 * data.y
    normal, *_ = np.linalg.lstsq(data.x, side.astype(float), rcond=None)
    assert np.mean(np.sign(data.x @ normal) == side) > 0.97


@pytest.mark.parametrize("classes", [2, 5])
def test_rings_are_concentric_and_separated_by_their_radius(classes):
    data = load_dataset("rings", n=100 * classes, classes=classes)
    radius = np.linalg.norm(data.x, axis=1)
    means = np.array([radius[data.y == k].mean() for k in range(classes)])
    np.testing.assert_allclose(means / means[0], np.arange(1, classes + 1), rtol=0.05)
    np.testing.assert_allclose(np.mean(data.x**2), 1, atol=0.1)
    nearest = np.abs(radius[:, None] - means).argmin(axis=1)
    assert np.mean(nearest == data.y) > 0.99


@pytest.mark.parametrize(("name", "target"), [("sine", lambda t: np.sin(2 * t)), ("step", np.sign)])
def test_regression_toys_are_functions_of_one_variable(name, target):
    data = load_dataset(name, n=300)
    t = data.x[:, :1]
    assert (data.task, data.outputs, data.class_names) == ("regression", 1, ())
    np.testing.assert_allclose(data.targets, target(t))
    np.testing.assert_array_equal(data.x[:, 1], 1)
    np.testing.assert_allclose([t.mean(), t.std()], [0, 1], atol=0.15)
