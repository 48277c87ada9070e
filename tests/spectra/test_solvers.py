"""Which solver takes the eigenvalues, as a function of size, precision and place; and the floor of rounding."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from ntk_explorer import spectrum
from ntk_explorer.errors import TooLarge
from ntk_explorer.linalg.rounding import unit_rounding
from ntk_explorer.spectra import eigen
from ntk_explorer.spectra.eigen import choose_solver, eigenvalues, noise_floor


@pytest.mark.parametrize(
    ("n", "dtype", "platform", "dense", "solver"),
    [
        (1, "float64", "cpu", False, "own"),
        (20_000, "float64", "cpu", False, "own"),
        (20_001, "float64", "cpu", False, "lanczos"),
        (20_001, "float32", "gpu", False, "lanczos"),
        (32_766, "float64", "cpu", True, "own"),
        (32_767, "float64", "cpu", True, "host-evr"),
        (32_767, "float32", "gpu", True, "host-evr"),
        (16_384, "float64", "gpu", False, "own"),
        (16_385, "float64", "gpu", False, "host"),
        (20_000, "float32", "gpu", False, "own"),
        (23_170, "float32", "gpu", True, "own"),
        (23_171, "float32", "gpu", True, "host"),
    ],
)
def test_solver_by_size_precision_and_place(n, dtype, platform, dense, solver):
    assert choose_solver(n, dtype, platform, dense=dense) == solver


def test_the_walls_are_where_32_bit_integers_end():
    """LAPACK's syevd asks for 1 + 6n + 2n² numbers."""
    fits = eigen.EVD_LIMIT
    assert 1 + 6 * fits + 2 * fits**2 < 2**31 <= 1 + 6 * (fits + 1) + 2 * (fits + 1) ** 2


def test_every_solver_gives_the_same_eigenvalues(monkeypatch):
    matrix = np.random.default_rng(0).normal(size=(30, 30))
    matrix = matrix @ matrix.T
    usual = eigenvalues(matrix)
    for solver in ("own", "host", "host-evr"):
        monkeypatch.setattr(eigen, "choose_solver", lambda *_, solver=solver, **__: solver)
        np.testing.assert_allclose(eigenvalues(matrix), usual, rtol=1e-10)


def test_too_many_eigenvalues_are_refused_with_the_remedies(monkeypatch):
    monkeypatch.setattr(eigen, "DENSE_LIMIT", 20)
    with pytest.raises(TooLarge, match=r"All 30 eigenvalues.*top_eigenvalues.*spectral_density.*dense=True"):
        eigenvalues(np.eye(30))
    np.testing.assert_array_equal(eigenvalues(np.eye(30), dense=True), np.ones(30))


@pytest.mark.parametrize(
    ("dtype", "precision", "rounding"),
    [
        ("float64", "highest", 2.220446049250313e-16),
        ("float64", "bfloat16", 2.220446049250313e-16),
        ("float32", "highest", 1.1920929e-07),
        ("float32", None, 1.1920929e-07),
        ("float32", "tensorfloat32", 5e-4),
        ("float32", "high", 5e-4),
        ("float32", "default", 5e-4),
        ("float32", "bfloat16", 4e-3),
        ("float32", "BF16_BF16_F32", 4e-3),
    ],
)
def test_noise_floor_follows_the_precision_of_products(dtype, precision, rounding):
    assert unit_rounding(dtype, precision) == pytest.approx(rounding, rel=1e-6)
    assert noise_floor(10.0, 100, dtype, precision) == pytest.approx(1000 * rounding, rel=1e-6)


def test_what_rounding_makes_of_zeros_lies_below_the_floor():
    """Eigenvalues of a kernel of low rank that were zero before products were rounded."""
    features = np.random.default_rng(1).normal(size=(80, 10)).astype("float32")
    values = eigenvalues(features @ features.T)
    assert np.abs(values[10:]).max() < noise_floor(values[0], 80, "float32")
    truncated = features.view("uint32") & np.uint32(0xFFFF0000)  # what bfloat16 keeps of a float32
    rounded = truncated.view("float32")
    exact = eigenvalues((features.astype(float)) @ features.astype(float).T)
    changed = eigenvalues(rounded.astype(float) @ rounded.astype(float).T)
    assert np.abs(changed - exact).max() < noise_floor(exact[0], 80, "float32", "bfloat16")


def test_results_remember_their_floor():
    kernel = np.diag([4.0, 1.0]).astype("float32")
    assert spectrum(kernel).attrs["noise_floor"] == pytest.approx(8 * 1.1920929e-07)
    tf32 = xr.DataArray(kernel, dims=("x1", "x2"), attrs={"precision": "tensorfloat32"})
    assert spectrum(tf32).attrs["noise_floor"] == pytest.approx(8 * 5e-4)
