import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_explorer.errors import InvalidInput
from ntk_explorer.regression import PREDICTION_MEASURES
from ntk_explorer.regression.measures import (
    accuracy,
    agreement,
    correction_difference,
    prediction_difference,
    regression_difference,
)


@given(m=st.integers(1, 6), c=st.integers(1, 4), seed=st.integers(0, 99))
def test_differences_are_their_formulas(m, c, seed):
    f_k, f_t, f0 = np.random.default_rng(seed).normal(size=(3, m, c))
    error = np.sqrt(np.sum((f_k - f_t) ** 2))
    relative = error / np.sqrt(np.sum(f_t**2)), error / np.sqrt(np.sum((f_t - f0) ** 2))
    np.testing.assert_allclose(prediction_difference(f_k, f_t, f0), relative, rtol=1e-12)
    assert regression_difference(f_k, f_t) == pytest.approx(relative[0])
    assert correction_difference(f_k, f_t, f0) == pytest.approx(relative[1])
    assert prediction_difference(f_k, f_t) == pytest.approx((relative[0], relative[0]))


def test_nothing_to_compare_with_is_nan():
    ones = np.ones((2, 3))
    assert np.isnan(regression_difference(ones, 0 * ones))
    assert np.isnan(correction_difference(2 * ones, ones, ones))
    assert np.isnan(agreement(ones[:, :1], ones[:, :1]))


def test_shares_of_equal_classes():
    predictions = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])
    assert accuracy(predictions, [0, 1, 1, 1]) == 0.75
    assert accuracy(predictions, np.eye(2)[[1, 1, 1, 1]]) == 0.5
    missing = np.full_like(predictions, np.nan)
    np.testing.assert_array_equal(accuracy([predictions, missing], [0, 1, 1, 1]), [0.75, np.nan])
    assert agreement(predictions, 5 * predictions) == 1.0
    assert agreement(predictions, predictions[::-1]) == 0.0
    assert agreement(predictions, np.array([[1.0, 0.0]] * 4)) == 0.5


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (regression_difference, (np.ones((2, 3)), np.ones((3, 2)))),
        (regression_difference, (np.ones(3), np.ones(3))),
        (correction_difference, (np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 1)))),
        (accuracy, (np.ones((2, 3)), [0])),
        (accuracy, (np.ones((2, 3)), np.ones((2, 2)))),
    ],
)
def test_shapes_that_differ_are_refused(function, arguments):
    with pytest.raises(InvalidInput, match="shape"):
        function(*arguments)


def test_every_measure_has_an_axis():
    assert all(entry.extras["axis"] for entry in PREDICTION_MEASURES.values())
