"""Traces, norms and quadrature of matrices whose spectrum is known."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from maps_of_known_spectrum import SPECTRA, N, with_spectrum

from ntk_explorer import frobenius_norm, trace
from ntk_explorer.errors import InvalidInput
from ntk_explorer.linalg.estimates import Estimated, gauss_quadrature, moments

KEY = jax.random.key(0)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_trace_and_norm_lie_within_their_error_bars(name, dtype):
    values = SPECTRA[name]
    found = moments(with_spectrum(values).astype(dtype), key=KEY, samples=20)
    rounding = 1e-3 if dtype == "float32" else 1e-10
    for estimate, exact in ((found.trace, values.sum()), (found.frobenius_norm, np.sqrt((values**2).sum()))):
        assert abs(estimate.value - exact) <= 4 * estimate.standard_error + rounding * exact
    assert found.trace.standard_error < 0.1 * np.abs(values).sum()


@pytest.mark.parametrize("name", ["power law", "step", "flat"])
def test_standard_errors_are_those_of_repetition(name):
    """Over forty keys the deviations in units of the stated error have standard deviation about 1."""
    matrix, values = with_spectrum(SPECTRA[name]), SPECTRA[name]
    found = [moments(matrix, key=jax.random.key(seed), samples=20) for seed in range(40)]
    for estimates, exact in (
        ([m.trace for m in found], values.sum()),
        ([m.frobenius_norm for m in found], np.sqrt((values**2).sum())),
    ):
        deviations = np.array([(e.value - exact) / e.standard_error for e in estimates])
        assert 0.7 < deviations.std() < 1.5
        assert abs(deviations.mean()) < 0.6


def test_a_low_rank_map_is_known_exactly():
    found = moments(with_spectrum(SPECTRA["low rank"]), key=KEY, samples=5)
    assert found.trace.value == pytest.approx(300, rel=1e-12)
    assert found.frobenius_norm.value == pytest.approx(100 * 3**0.5, rel=1e-12)
    assert found.trace.standard_error < 1e-9


def test_with_as_many_samples_as_rows_nothing_is_random():
    matrix = with_spectrum(SPECTRA["flat"][:12])
    assert trace(matrix, key=KEY, samples=12).value == pytest.approx(np.trace(matrix), rel=1e-12)
    assert trace(matrix, key=KEY, samples=12).standard_error == 0
    assert frobenius_norm(matrix, key=KEY, samples=12).value == pytest.approx(np.linalg.norm(matrix), rel=1e-12)


def test_the_key_decides():
    matrix = with_spectrum(SPECTRA["flat"])
    assert trace(matrix, key=KEY) == trace(matrix, key=KEY)
    assert trace(matrix, key=KEY) != trace(matrix, key=jax.random.key(1))


def test_double_precision_does_not_depend_on_the_session():
    matrix = with_spectrum(SPECTRA["power law"])
    with jax.enable_x64(True):
        inside = trace(matrix, key=KEY, samples=10)
    with jax.enable_x64(False):
        assert trace(matrix, key=KEY, samples=10) == inside


@pytest.mark.parametrize("name", SPECTRA)
def test_quadrature_is_exact_for_polynomials_along_each_start(name):
    """Weights sum to 1, and the mean over many starts of Σ w θ^p tends to tr(K^p)/N."""
    values = SPECTRA[name]
    nodes, weights = gauss_quadrature(with_spectrum(values), key=KEY, samples=64, degree=12)
    assert nodes.shape == weights.shape == (64, 12)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    assert (weights >= 0).all()
    assert (np.diff(nodes, axis=1) >= 0).all()
    slack = 1e-9 * np.abs(values).max()
    carried = nodes[weights > 1e-14]
    assert values.min() - slack <= carried.min() <= carried.max() <= values.max() + slack
    for power in (1, 2):
        each = (weights * nodes**power).sum(axis=1)
        error = each.std(ddof=1) / 8
        assert abs(each.mean() - (values**power).mean()) <= 4 * error + 1e-9 * (values**power).mean()


def test_a_krylov_space_that_ends_early_gives_the_eigenvalues_themselves():
    nodes, weights = gauss_quadrature(np.diag([4.0, 4.0, 4.0, 1.0, 1.0]), key=KEY, samples=3, degree=5)
    carried = weights > 1e-12
    assert (carried.sum(axis=1) == 2).all()
    np.testing.assert_allclose(nodes[carried].reshape(3, 2), [[1, 4]] * 3, rtol=1e-12)
    zero, weights = gauss_quadrature(np.zeros((4, 4)), key=KEY, samples=1, degree=3)
    assert (zero == 0).all()
    assert weights.sum() == pytest.approx(1)


def test_numbers_are_printed_to_the_digits_that_mean_something():
    assert str(Estimated(2891510.0, 31234.0)) == "2.892e+06 ± 3.1e+04"
    assert str(Estimated(12.3456, 0.04)) == "12.346 ± 0.04"
    assert str(Estimated(12.3456, 0.0)) == "12.3456"
    assert str(Estimated(0.0, 1.0)) == "0 ± 1"


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), r"shape \(2, 3\)"),
        (np.ones(3), r"shape \(3,\)"),
        (np.ones((0, 0)), r"shape \(0, 0\)"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "NaN or infinite"),
        (np.array([[1.0, 0.5], [0.2, 1.0]]), "not symmetric: .* up to 0.3"),
        (np.eye(2) * 1j, "complex128"),
    ],
)
def test_what_is_no_symmetric_matrix_is_refused(matrix, message):
    with pytest.raises(InvalidInput, match=message):
        trace(matrix, key=KEY, samples=2)


@pytest.mark.parametrize("samples", [1, 0, -3, N + 1, 2.5, True])
def test_samples_out_of_range_are_refused(samples):
    with pytest.raises(InvalidInput, match=r"samples is .* whole number, between 2 and 200"):
        trace(with_spectrum(SPECTRA["flat"]), key=KEY, samples=samples)


@pytest.mark.parametrize("options", [{"samples": 0, "degree": 3}, {"samples": 2, "degree": 0}])
def test_quadrature_without_samples_or_steps_is_refused(options):
    with pytest.raises(InvalidInput, match=" is 0"):
        gauss_quadrature(np.eye(4), key=KEY, **options)
    with pytest.raises(InvalidInput, match="degree is 5"):
        gauss_quadrature(np.eye(4), key=KEY, samples=2, degree=5)
