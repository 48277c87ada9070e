import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ntk_explorer.errors import InvalidInput
from ntk_explorer.spectra import SUMMARIES
from ntk_explorer.spectra.eigen import eigenvalues
from ntk_explorer.spectra.summaries import spectrum, summarise

KINDS = {"numpy": np.asarray, "jax": jnp.asarray, "xarray": lambda a: xr.DataArray(a), "list": lambda a: a.tolist()}


def psd_with_spectrum(values, seed=0):
    """A random symmetric matrix with exactly these eigenvalues."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    return (q * np.asarray(values)) @ q.T


@pytest.mark.parametrize("kind", KINDS)
def test_eigenvalues_of_a_known_spectrum(kind):
    known = np.array([1e4, 30.0, 2.0, 1.0, 0.5, 1e-3])
    found = eigenvalues(KINDS[kind](psd_with_spectrum(known)))
    np.testing.assert_allclose(np.asarray(found), known, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_an_entk_is_read_with_samples_outer(kind):
    n, c = 4, 3
    known = np.geomspace(10, 0.1, n * c)
    entk = psd_with_spectrum(known).reshape(n, c, n, c).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(np.asarray(eigenvalues(KINDS[kind](entk))), known, rtol=1e-10)


def test_the_lift_of_a_kernel_repeats_its_eigenvalues():
    kernel = psd_with_spectrum([5.0, 2.0, 1.0])
    lifted = np.einsum("ij,ab->ijab", kernel, np.eye(4))
    np.testing.assert_allclose(eigenvalues(lifted), np.repeat([5.0, 2.0, 1.0], 4), rtol=1e-12)


def test_precision_is_the_kernels_own():
    kernel = psd_with_spectrum([3.0, 1.0])
    assert eigenvalues(kernel.astype(np.float32)).dtype == np.float32
    with jax.enable_x64(True):
        double = jnp.asarray(kernel)
    with jax.enable_x64(False):
        assert eigenvalues(double).dtype == np.float64
    assert eigenvalues([[2, 1], [1, 2]]).dtype == np.float64


def test_rounding_is_symmetrised():
    kernel = psd_with_spectrum([3.0, 2.0, 1.0])
    kernel[0, 1] += 1e-12
    np.testing.assert_allclose(eigenvalues(kernel), [3, 2, 1], rtol=1e-11)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.ones((2, 3)), r"shape \(2, 3\) has no eigenvalues"),
        (np.ones(3), r"shape \(3,\)"),
        (np.ones((2, 2, 3)), r"shape \(2, 2, 3\)"),
        (np.ones((2, 2, 3, 2)), r"shape \(2, 2, 3, 2\)"),
        (np.ones((3, 2, 2, 2)), r"shape \(3, 2, 2, 2\)"),
        (np.ones((0, 0)), "holds nothing"),
        (np.array([[1, np.nan], [np.nan, 1]]), "NaN or infinite"),
        (np.array([[1, np.inf], [np.inf, 1]]), "NaN or infinite"),
        (np.eye(2) * 1j, "complex128"),
        (np.array([["a", "b"], ["b", "a"]]), "<U1"),
        (np.array([[1.0, 0.5], [0.2, 1.0]]), "not symmetric: .* up to 0.3"),
    ],
)
def test_what_is_no_kernel_is_refused(kernel, message):
    with pytest.raises(InvalidInput, match=message):
        eigenvalues(kernel)


def test_an_entk_with_its_axes_in_another_order_is_refused():
    entk = psd_with_spectrum(np.geomspace(9, 1, 6)).reshape(3, 2, 3, 2).transpose(0, 2, 1, 3)
    with pytest.raises(InvalidInput, match="not symmetric"):
        eigenvalues(entk.swapaxes(2, 3) + np.triu(np.ones((2, 2))))


def test_summaries_of_a_known_spectrum():
    found = summarise(np.array([4.0, 2.0, 1.0, 1.0]))
    assert found["largest_eigenvalue"] == 4
    assert found["smallest_eigenvalue"] == 1
    assert found["condition_number"] == 4
    assert found["trace"] == 8
    assert found["nonpositive"] == 0
    # Entropy of (1/2, 1/4, 1/8, 1/8) is 7/4 log 2.
    assert found["effective_rank"] == pytest.approx(2 ** (7 / 4), rel=1e-14)


def test_summaries_where_the_spectrum_is_not_positive():
    found = summarise(np.array([2.0, 0.0, -1e-3]))
    assert found["condition_number"] == math.inf
    assert found["nonpositive"] == 2
    assert found["effective_rank"] == 1
    nothing = summarise(np.zeros(4))
    assert math.isnan(nothing["effective_rank"])
    assert math.isnan(nothing["decay_exponent"])


@given(count=st.integers(1, 60), scale=st.floats(1e-6, 1e6))
def test_effective_rank_counts_equal_directions_whatever_their_scale(count, scale):
    values = np.concatenate([np.full(count, scale), np.zeros(7)])
    assert SUMMARIES["effective_rank"](values) == pytest.approx(count, rel=1e-10)


@given(exponent=st.floats(0.1, 5), count=st.integers(8, 300))
def test_decay_exponent_of_a_power_law(exponent, count):
    values = 3.0 * np.arange(1, count + 1) ** -exponent
    assert SUMMARIES["decay_exponent"](values) == pytest.approx(exponent, rel=1e-6)


def test_decay_exponent_ignores_what_is_below_rounding():
    clean = np.arange(1, 201) ** -9.0
    floor = 200 * np.finfo(np.float32).eps
    noisy = np.where(clean > floor, clean, floor / 2).astype(np.float32)
    # In 200 values of float32 the floor is reached near rank 3: too few ranks from 10 on are left to fit.
    assert math.isnan(SUMMARIES["decay_exponent"](noisy))
    assert SUMMARIES["decay_exponent"](clean) == pytest.approx(9, rel=1e-6)


def test_decay_exponent_of_a_kernel_and_its_lift_nearly_agree():
    values = np.arange(1, 101) ** -1.5
    assert SUMMARIES["decay_exponent"](np.repeat(values, 10)) == pytest.approx(1.5, abs=0.05)


def test_spectrum_is_labelled():
    kernel = xr.DataArray(psd_with_spectrum([3.0, 2.0, 1.0]), dims=("x1", "x2"), attrs={"kernel": "pntk"})
    found = spectrum(kernel)
    floor = 3 * 3 * np.finfo(float).eps
    assert found.attrs == {"kernel": "pntk", "noise_floor": pytest.approx(floor, rel=1e-12)}
    assert found["rank"].values.tolist() == [1, 2, 3]
    np.testing.assert_allclose(found["eigenvalues"], [3, 2, 1])
    assert set(found.data_vars) == {"eigenvalues", *SUMMARIES}
    assert found["condition_number"].item() == pytest.approx(3)
    assert found["effective_rank"].attrs["long_name"] == "effective rank"
