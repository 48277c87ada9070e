import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ntk_explorer.comparison import MEASURES, measures
from ntk_explorer.comparison.measures import (
    block_error,
    condition_numbers,
    largest_eigenvalue_error,
    relative_frobenius,
)
from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels import KERNELS
from ntk_explorer.spectra import eigen
from ntk_explorer.spectra.eigen import flatten

KINDS = {"numpy": np.asarray, "jax": jnp.asarray, "xarray": lambda a: xr.DataArray(a)}
SURROGATES = ["pntk", "trntk", "single_logit"]


def random_entk(n=5, c=3, m=None, seed=0):
    """A random kernel of gradients: Θ_ij = J_i J_jᵀ."""
    rng = np.random.default_rng(seed)
    left = rng.normal(size=(n, c, 20))
    right = left if m is None else rng.normal(size=(m, c, 20))
    return np.einsum("iap,jbp->ijab", left, right)


def surrogate(name, entk):
    return KERNELS[name].extras["from_blocks"](entk)


def dense_relative_frobenius(kernel, entk):
    """The definition, with the lift written out."""
    n, m, c, _ = entk.shape
    flat = entk.transpose(0, 2, 1, 3).reshape(n * c, m * c)
    return np.linalg.norm(np.kron(kernel, np.eye(c)) - flat) / np.linalg.norm(flat)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("m", [None, 7])
def test_relative_frobenius_is_that_of_the_lift(kind, name, m):
    entk = random_entk(m=m)
    kernel = surrogate(name, entk)
    found = relative_frobenius(KINDS[kind](kernel), KINDS[kind](entk))
    assert found == pytest.approx(dense_relative_frobenius(kernel, entk), rel=1e-12)


def test_relative_frobenius_by_chunks_of_rows(monkeypatch):
    entk = random_entk(n=9)
    kernel = surrogate("pntk", entk)
    monkeypatch.setattr(measures, "CHUNK", 2 * entk[0].size)
    assert relative_frobenius(kernel, entk) == pytest.approx(dense_relative_frobenius(kernel, entk), rel=1e-12)


def test_small_errors_keep_their_digits():
    kernel = random_entk(c=1)[:, :, 0, 0]
    noise = 1e-12 * np.random.default_rng(1).normal(size=(5, 5, 4, 4))
    lifted = kernel[:, :, None, None] * np.eye(4)
    expected = np.linalg.norm((lifted + noise) - lifted) / np.linalg.norm(lifted)
    assert relative_frobenius(kernel, lifted + noise) == pytest.approx(expected, rel=1e-9)
    assert relative_frobenius(kernel, lifted) == 0


def test_output_outer_ordering_would_be_noticed():
    entk = random_entk()
    n, _, c, _ = entk.shape
    kernel = surrogate("pntk", entk)
    flat = entk.transpose(0, 2, 1, 3).reshape(n * c, n * c)
    wrong = np.linalg.norm(np.kron(np.eye(c), kernel) - flat) / np.linalg.norm(flat)
    assert abs(wrong - relative_frobenius(kernel, entk)) > 0.1
    np.testing.assert_array_equal(flatten(entk), flat)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 10**6))
def test_pythagoras(n, c, seed):
    """E3: ‖K⊗I − Θ‖² = ‖tr⊗I − Θ‖² + c ‖K − tr‖²."""
    entk = random_entk(n, c, seed=seed)
    trace, norm = surrogate("trntk", entk), np.linalg.norm(entk)
    for name in SURROGATES:
        kernel = surrogate(name, entk)
        left = (relative_frobenius(kernel, entk) * norm) ** 2
        right = (relative_frobenius(trace, entk) * norm) ** 2 + c * np.linalg.norm(kernel - trace) ** 2
        assert left == pytest.approx(right, rel=1e-10, abs=1e-12 * norm**2)
        assert relative_frobenius(trace, entk) <= relative_frobenius(kernel, entk) * (1 + 1e-12) + 1e-14


def test_block_error_is_the_norm_of_each_residual_block():
    entk = random_entk()
    kernel = surrogate("trntk", entk)
    expected = [[np.linalg.norm(kernel[i, j] * np.eye(3) - entk[i, j]) for j in range(5)] for i in range(5)]
    np.testing.assert_allclose(block_error(kernel, entk), expected, rtol=1e-13)


@pytest.mark.parametrize("name", SURROGATES)
def test_largest_eigenvalue_error_from_kernels_or_their_spectra(name):
    entk = random_entk()
    kernel = surrogate(name, entk)
    flat = np.linalg.eigvalsh(entk.transpose(0, 2, 1, 3).reshape(15, 15))[::-1]
    small = np.linalg.eigvalsh(kernel)[::-1]
    expected = (flat[0] - small[0]) / flat[0]
    assert expected > 0
    assert largest_eigenvalue_error(kernel, entk) == pytest.approx(expected, rel=1e-12)
    assert largest_eigenvalue_error(small, flat) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(condition_numbers(kernel, entk), (small[0] / small[-1], flat[0] / flat[-1]), rtol=1e-9)


def test_a_zero_entk_has_no_relative_error():
    assert np.isnan(relative_frobenius(np.zeros((2, 2)), np.zeros((2, 2, 3, 3))))
    assert np.isnan(largest_eigenvalue_error(np.zeros((2, 2)), np.zeros((2, 2, 3, 3))))


@pytest.mark.parametrize(
    ("kernel", "entk", "message"),
    [
        (np.ones((2, 2)), np.ones((2, 2)), "Pass .n, m, c, c."),
        (np.ones((2, 2)), np.ones((2, 2, 3, 4)), r"eNTK of shape \(2, 2, 3, 4\)"),
        (np.ones((3, 3)), np.ones((2, 2, 3, 3)), r"kernel must be \(2, 2\)"),
        (np.ones((2, 2, 3, 3)), np.ones((2, 2, 3, 3)), "cannot be compared"),
        (np.full((2, 2), np.nan), np.ones((2, 2, 3, 3)), "NaN"),
        (np.ones((2, 2)), np.full((2, 2, 3, 3), np.inf), "NaN or infinite"),
    ],
)
def test_what_does_not_belong_together_is_refused(kernel, entk, message):
    with np.errstate(invalid="ignore"), pytest.raises(InvalidInput, match=message):
        relative_frobenius(kernel, entk)


def test_every_measure_has_a_card():
    for entry in MEASURES.values():
        assert entry.label
        assert entry.equation
        assert entry.summary


@pytest.mark.parametrize("name", SURROGATES)
def test_kernels_on_an_accelerator_stay_there(name, monkeypatch):
    """The array-API road of arrays outside host memory, taken here with jax arrays on any device."""
    monkeypatch.setattr(eigen, "HOST_MEMORY", None)
    entk = random_entk()
    on_device = jnp.asarray(entk)
    kernel = surrogate(name, on_device)
    assert isinstance(eigen.unwrap(kernel), jax.Array)
    assert isinstance(eigen.eigenvalues(on_device), jax.Array)
    expected = np.linalg.eigvalsh(flatten(entk))[::-1]
    np.testing.assert_allclose(eigen.eigenvalues(on_device), expected, rtol=1e-9, atol=1e-9)
    dense = dense_relative_frobenius(surrogate(name, entk), entk)
    assert relative_frobenius(kernel, on_device) == pytest.approx(dense, rel=1e-12)
    assert largest_eigenvalue_error(kernel, on_device) > 0
