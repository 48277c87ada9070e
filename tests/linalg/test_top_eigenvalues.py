"""Lanczos against spectra that are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from maps_of_known_spectrum import SPECTRA, with_spectrum

from ntk_explorer import top_eigenvalues
from ntk_explorer.errors import InvalidInput, NotConverged


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_largest_eigenvalues_of_a_known_spectrum(name, dtype):
    matrix, tolerance = with_spectrum(SPECTRA[name]).astype(dtype), 1e-10 if dtype == "float64" else 1e-4
    found = top_eigenvalues(matrix, 6)
    expected = np.sort(SPECTRA[name])[::-1][:6]
    assert found.values.dtype == dtype
    np.testing.assert_allclose(found.values, expected, atol=tolerance * expected[0], rtol=0)
    assert (np.diff(found.values) <= 0).all()
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(6), atol=tolerance)
    assert (np.abs(found.values - expected) <= found.residuals + tolerance * expected[0]).all()
    assert 6 < found.products < 10 * len(matrix)


def test_the_same_at_each_call():
    matrix = with_spectrum(SPECTRA["flat"])
    np.testing.assert_array_equal(top_eigenvalues(matrix, 4).values, top_eigenvalues(matrix, 4).values)


@pytest.mark.parametrize("k", [0, -1, 5, 6, 2.0, True])
def test_as_many_as_there_are_or_none_at_all_is_refused(k):
    with pytest.raises(InvalidInput, match=r"k is .* between 1 and 4"):
        top_eigenvalues(np.eye(5), k)


def test_one_by_one_is_refused():
    with pytest.raises(InvalidInput, match="its own eigenvalue"):
        top_eigenvalues(np.eye(1), 1)


def test_too_few_iterations_are_an_error_with_a_remedy():
    with pytest.raises(NotConverged, match=r"of 30 eigenvalues had converged.*Ask for fewer"):
        top_eigenvalues(with_spectrum(SPECTRA["flat"]), 30, iterations=1)


@dataclass(frozen=True)
class Skewed:
    """Products with a matrix that is not symmetric, which a map cannot be asked about beforehand."""

    held: Any
    shape = (30, 30)
    dtype = np.dtype("float64")

    @staticmethod
    def product(held, v):
        return jnp.matmul(held, v)


def test_residuals_that_no_rounding_explains_are_an_error():
    skewed = with_spectrum(np.linspace(1, 5, 30))
    skewed[0, 1] += 3
    with pytest.raises(NotConverged, match="Check that the map is symmetric"):
        top_eigenvalues(Skewed(skewed), 3, tolerance=1e-6)
