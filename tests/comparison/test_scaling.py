import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ntk_explorer.comparison.scaling import fit_slope
from ntk_explorer.errors import InvalidInput

WIDTHS = np.array([32, 64, 128, 256, 512, 1024])


@given(exponent=st.floats(-3, 3), level=st.floats(1e-3, 1e3), seeds=st.integers(1, 6))
def test_an_exact_power_law_is_found_exactly(exponent, level, seeds):
    fit = fit_slope(WIDTHS, np.tile(level * WIDTHS**exponent, (seeds, 1)))
    assert fit.slope == pytest.approx(exponent, abs=1e-9)
    assert fit.low == pytest.approx(exponent, abs=1e-6)
    assert fit.high == pytest.approx(exponent, abs=1e-6)
    assert fit.n_seeds == seeds
    np.testing.assert_allclose(fit.predict([10, 100]), level * np.array([10, 100.0]) ** exponent, rtol=1e-7)


def noisy(rng, seeds, size=0.1):
    return WIDTHS**-0.5 * np.exp(size * rng.normal(size=(seeds, WIDTHS.size)))


@pytest.mark.parametrize("seeds", [1, 3, 8])
def test_the_interval_covers_the_truth_95_times_in_100(seeds):
    rng, trials = np.random.default_rng(seeds), 2000
    fits = [fit_slope(WIDTHS, noisy(rng, seeds)) for _ in range(trials)]
    covered = sum(fit.low <= -0.5 <= fit.high for fit in fits)
    # Four standard deviations of a binomial with p = 0.95.
    assert abs(covered / trials - 0.95) < 4 * math.sqrt(0.95 * 0.05 / trials)
    assert np.mean([fit.slope for fit in fits]) == pytest.approx(-0.5, abs=0.005)


def test_the_interval_is_students_over_the_slopes_of_the_seeds():
    values = noisy(np.random.default_rng(0), 4)
    slopes = [stats.linregress(np.log(WIDTHS), np.log(row)).slope for row in values]
    low, high = stats.t.interval(0.95, 3, np.mean(slopes), stats.sem(slopes))
    fit = fit_slope(WIDTHS, values)
    assert (fit.slope, fit.low, fit.high) == pytest.approx((np.mean(slopes), low, high), rel=1e-9)


def test_with_one_seed_the_interval_is_that_of_the_regression():
    values = noisy(np.random.default_rng(0), 1)[0]
    line = stats.linregress(np.log(WIDTHS), np.log(values))
    half = stats.t.ppf(0.975, 4) * line.stderr
    fit = fit_slope(WIDTHS, values)
    assert (fit.slope, fit.low, fit.high) == pytest.approx((line.slope, line.slope - half, line.slope + half), rel=1e-9)


def test_two_widths_and_one_seed_give_a_slope_without_interval():
    fit = fit_slope([10, 1000], [[1.0, 0.1]])
    assert fit.slope == pytest.approx(-0.5)
    assert math.isnan(fit.low)
    assert math.isnan(fit.high)
    assert str(fit) == "−0.50"


def test_text():
    rng = np.random.default_rng(0)
    fit = fit_slope(WIDTHS, noisy(rng, 5))
    assert str(fit) == f"−{-fit.slope:.2f} [−{-fit.low:.2f}, −{-fit.high:.2f}]"


def test_missing_cells_are_left_out_seed_by_seed():
    values = np.tile(3.0 * WIDTHS**-1.0, (4, 1))
    values[0, 1:3] = np.nan
    values[1, :5] = np.nan  # one value is no line
    values[2, :] = np.nan
    fit = fit_slope(WIDTHS, values)
    assert fit.n_seeds == 2
    assert fit.slope == pytest.approx(-1)


def test_labelled_values_may_come_in_either_order():
    values = noisy(np.random.default_rng(0), 3)
    labelled = xr.DataArray(values.T, {"width": WIDTHS}, ("width", "seed"))
    assert fit_slope(labelled["width"], labelled) == fit_slope(WIDTHS, values)


@pytest.mark.parametrize(
    ("widths", "values", "message"),
    [
        ([10], [[1.0]], "two or more different"),
        ([10, 10], [[1.0, 2.0]], "two or more different"),
        ([0, 10], [[1.0, 2.0]], "positive widths"),
        ([10, 20], [[1.0, 2.0, 3.0]], r"shape \(1, 3\) for 2 widths"),
        ([10, 20], [[1.0, 0.0]], "0 has no place"),
        ([10, 20], [[1.0, -2.0]], "-2 has no place"),
        ([10, 20], [[1.0, math.inf]], "inf has no place"),
        ([10, 20], [[1.0, math.nan]], "No seed has values at two widths"),
    ],
)
def test_what_has_no_slope_is_refused(widths, values, message):
    with pytest.raises(InvalidInput, match=message):
        fit_slope(widths, values)
