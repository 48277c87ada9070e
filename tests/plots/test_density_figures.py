"""Densities of spectra: what is drawn, within which limits, and with which words."""

from __future__ import annotations

import holoviews as hv
import jax
import numpy as np
import pytest
from holoviews import Store

from ntk_explorer import spectral_density
from ntk_explorer.plots.density import density
from ntk_explorer.plots.export import figure_png, figure_svg

VALUES = np.concatenate([[500.0, 300.0], np.geomspace(20, 0.5, 98)])


@pytest.fixture(scope="module")
def found():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(100, 100)))
    return spectral_density((q * VALUES) @ q.T, key=jax.random.key(0), samples=5, degree=20)


def options(figure):
    return Store.lookup_options("bokeh", figure, "plot").kwargs


def element(figure, kind, group):
    (one,) = [e for e in figure if type(e).__name__ == kind and e.group == group]
    return one


def test_curve_and_band_are_the_density_and_its_errors(found):
    figure = density(found)
    low, high = options(figure)["ylim"]
    curve, band = element(figure, "Curve", "curve"), element(figure, "Area", "band")
    np.testing.assert_array_equal(curve.dimension_values(0), found.eigenvalue)
    np.testing.assert_allclose(curve.dimension_values(1), np.maximum(found.density, low))
    expected = np.clip(found.density + 2 * found.standard_error, low, high)
    np.testing.assert_allclose(band.dimension_values(2), expected)
    assert (band.dimension_values(1) >= low).all()


def test_a_single_eigenvalue_is_within_the_limits_at_its_own_height(found):
    dots = element(density(found, top=[500.0, 300.0]), "Scatter", "top")
    height = 1 / (100 * 0.1 * (2 * np.pi) ** 0.5)
    np.testing.assert_array_equal(dots.dimension_values(0), [500, 300])
    np.testing.assert_allclose(dots.dimension_values(1), height)
    low, high = options(density(found))["ylim"]
    assert low < height < high
    assert len(element(density(found), "Scatter", "top")) == 0


def test_the_noise_floor_is_in_view_when_eigenvalues_lie_below_it(found):
    left, _ = options(density(found))["xlim"]
    assert left > found.attrs["noise_floor"]
    assert "noise floor" not in options(density(found))["title"]
    below = found.assign_attrs(noise_floor=0.1, below_floor=0.25)
    figure = density(below)
    left, _ = options(figure)["xlim"]
    assert left < 0.1
    np.testing.assert_allclose(element(figure, "Area", "floor").dimension_values(0), [left, 0.1])
    assert "25 % of them below the noise floor" in options(figure)["title"]
    assert "0.1" in options(figure)["legend_labels"]["rounding"]


def test_title_names_the_kernel_and_never_holds_a_formula(found):
    figure = density(found.assign_attrs(kernel="trntk"), caption="MLP $$x$$ \\(y\\)")
    title = options(figure)["title"]
    assert title.startswith("Density of the 100 eigenvalues of the trNTK\n")
    assert "$$" not in title
    assert "\\(" not in title


def test_a_figure_on_the_screen_and_in_files(found):
    figure = density(found, top=[500.0], caption="by hand")
    assert hv.render(figure).title.text == options(figure)["title"]
    assert figure_png(figure, dpi=50).startswith(b"\x89PNG")
    assert b"by hand" in figure_svg(figure)


def test_a_single_probe_has_no_band(found):
    alone = spectral_density(np.diag(VALUES), key=jax.random.key(0), samples=1, degree=10)
    band = element(density(alone), "Area", "band")
    np.testing.assert_allclose(band.dimension_values(1), band.dimension_values(2))
