"""Densities of spectra that are known: they integrate to the share above the floor, and their moments are the map's."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ntk_explorer import spectral_density
from ntk_explorer.errors import InvalidInput

KEY = jax.random.key(0)
DIAGONAL = np.concatenate([[1e4, 3e3], np.geomspace(300, 1, 148)])


@pytest.fixture(scope="module")
def found():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(150, 150)))
    return spectral_density((q * DIAGONAL) @ q.T, key=KEY, samples=40, degree=40)


def test_integrates_to_one(found):
    assert found.attrs["below_floor"] == 0
    assert np.trapezoid(found.density, np.log10(found.eigenvalue)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("power", [1, 2])
def test_moments_are_trace_and_squared_norm(found, power):
    each = (found.weights * found.nodes**power).sum("node").values
    error = each.std(ddof=1) / 40**0.5
    assert abs(each.mean() - (DIAGONAL**power).mean()) < 4 * error
    assert error < 0.5 * (DIAGONAL**power).mean()


def test_follows_the_histogram_of_the_eigenvalues(found):
    """146 of 150 eigenvalues are spread evenly over the decades from 1 to 300."""
    level = 148 / 150 / np.log10(300)
    inside = found.density.sel(eigenvalue=slice(3, 100))
    np.testing.assert_allclose(inside, level, rtol=0.25)
    gap = found.density.sel(eigenvalue=slice(800, 1200))
    assert (gap < 0.05 * level).all()


def test_errors_are_those_over_probes(found):
    pulls = (found.density.sel(eigenvalue=slice(5, 60)) - 148 / 150 / np.log10(300)) / found.standard_error
    assert abs(pulls).max() < 6
    assert (found.standard_error > 0).all()
    alone = spectral_density(np.diag(DIAGONAL), key=KEY, samples=1, degree=10)
    assert np.isnan(alone.standard_error).all()


def test_what_lies_below_the_floor_is_counted_and_not_drawn():
    values = np.concatenate([np.full(30, 10.0), np.zeros(70)])
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(100, 100)))
    found = spectral_density((q * values) @ q.T, key=KEY, samples=30, degree=10)
    assert found.attrs["below_floor"] == pytest.approx(0.7, abs=4 * found.attrs["below_floor_error"])
    assert 0 < found.attrs["below_floor_error"] < 0.05
    mass = np.trapezoid(found.density, np.log10(found.eigenvalue))
    assert mass + found.attrs["below_floor"] == pytest.approx(1, abs=1e-4)
    assert found.eigenvalue.min() > 1


def test_float32_has_a_higher_floor():
    floors = [
        spectral_density(np.diag(DIAGONAL).astype(dtype), key=KEY, samples=2, degree=5).attrs["noise_floor"]
        for dtype in ("float64", "float32")
    ]
    assert floors[1] / floors[0] == pytest.approx(2**29, rel=0.01)


def test_steps_end_at_the_size_of_the_map():
    assert spectral_density(np.diag(DIAGONAL[:7]), key=KEY).attrs["degree"] == 7


def test_results_are_a_file(found, tmp_path):
    found.to_netcdf(tmp_path / "density.nc", engine="h5netcdf")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"degree": 151}, "degree is 151.*between 1 and 150"),
        ({"degree": 0}, "degree is 0"),
        ({"smoothing": 0.0}, "smoothing is 0.0"),
        ({"smoothing": float("nan")}, "smoothing is nan"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(InvalidInput, match=message):
        spectral_density(np.diag(DIAGONAL), key=KEY, **options)


def test_a_kernel_of_zeros_is_refused():
    with pytest.raises(InvalidInput, match="zero up to rounding"):
        spectral_density(np.zeros((5, 5)), key=KEY)
