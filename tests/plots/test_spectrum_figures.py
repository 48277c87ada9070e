"""Spectra: kernels of different size over one another, at limits that hold while one scrubs."""

import holoviews as hv
import numpy as np
import pytest
from holoviews import Store

from ntk_explorer.plots.spectrum import spectra, spectra_columns, spectrum_limits


def options(figure):
    return Store.lookup_options("bokeh", figure, "plot").kwargs


def curve(figure, label):
    (found,) = [e for e in figure if type(e).__name__ == "Curve" and e.label == label]
    return found


def ghosts(figure):
    return [e for e in figure if e.group.startswith("ghost")]


def test_entk_has_an_eigenvalue_at_each_rank(finished):
    drawn = curve(spectra(finished, 64, 1), "eNTK")
    np.testing.assert_array_equal(drawn.dimension_values(0), np.arange(1, 81))
    expected = finished["eigenvalues"].sel(kernel="entk", width=64, seed=1)
    np.testing.assert_allclose(drawn.dimension_values(1), expected, rtol=1e-12)


@pytest.mark.parametrize(("kernel", "label"), [("pntk", "pNTK"), ("trntk", "trNTK"), ("single_logit", "single logit")])
def test_other_kernels_are_drawn_as_the_lift_has_them(finished, kernel, label):
    """Eigenvalues of K ⊗ I from the lifted matrix itself, read at the ranks of the drawn steps."""
    drawn = curve(spectra(finished, 64, 0), label)
    gram = finished["gram"].sel(kernel=kernel, width=64, matrix_seed=0).values.astype(float)
    lifted = np.linalg.eigvalsh(np.kron(gram, np.eye(4)))[::-1]
    ranks = drawn.dimension_values(0).astype(int)
    assert ranks[0] == 1
    assert ranks[-1] == 80
    assert len(ranks) == 40
    np.testing.assert_allclose(drawn.dimension_values(1), lifted[ranks - 1], rtol=1e-4)


def test_with_one_output_nothing_is_repeated(finished):
    single = finished.isel(rank=slice(0, 20))
    np.testing.assert_array_equal(curve(spectra(single, 64), "pNTK").dimension_values(0), np.arange(1, 21))


def test_limits_are_those_of_the_whole_sweep(finished):
    chosen = [options(spectra(finished, width, seed)) for width in (16, 64, 256) for seed in (0, 2, "all")]
    assert len({(c["xlim"], c["ylim"]) for c in chosen}) == 1
    values = finished["eigenvalues"].values
    low, high = chosen[0]["ylim"]
    assert 0 < low < np.nanmin(values[values > 0])
    assert np.nanmax(values) < high


def test_eigenvalues_below_rounding_are_counted_and_do_not_spoil_the_axis(finished):
    ds = finished.copy(deep=True)
    ds["eigenvalues"].loc[{"kernel": "entk", "width": 64, "seed": 0, "rank": [78, 79, 80]}] = [1e-16, 0.0, -1e-9]
    figure = spectra(ds, 64, 0)
    assert "3 below rounding" in options(figure)["title"]
    assert len(curve(figure, "eNTK")) == 77
    assert options(figure)["ylim"] == options(spectra(finished, 64, 0))["ylim"]


@pytest.mark.parametrize("seed", [1, "all"])
def test_the_noise_floor_of_the_precision_is_shaded(finished, seed):
    """N·ε·λ1 in float64; in float32 the same picture has a floor 2²⁹ times as high, and more with TF32 products."""
    values = finished["eigenvalues"].sel(kernel="entk", width=64)
    largest = float(values.max() if seed == "all" else values.sel(seed=seed).max())
    for attrs, rounding in (
        ({}, 2**-52),
        ({"dtype": "float32"}, 2**-23),
        ({"dtype": "float32", "precision": "tensorfloat32"}, 5e-4),
    ):
        (shade,) = [e for e in spectra(finished.assign_attrs(attrs), 64, seed) if e.group == "rounding"]
        np.testing.assert_allclose(shade.dimension_values(2), 80 * rounding * largest, rtol=1e-12)
        assert (shade.dimension_values(1) < 1e-20 * largest).all()


def test_nothing_is_shaded_before_there_are_eigenvalues(unstarted):
    (shade,) = [e for e in spectra(unstarted, 64) if e.group == "rounding"]
    assert len(shade) == 0


def test_all_seeds_give_a_band(finished):
    figure = spectra(finished, 64, "all")
    values = finished["eigenvalues"].sel(kernel="entk", width=64)
    (band,) = [e for e in figure if type(e).__name__ == "Area" and e.label == "eNTK"]
    np.testing.assert_allclose(band.dimension_values(1), values.min("seed"), rtol=1e-12)
    np.testing.assert_allclose(band.dimension_values(2), values.max("seed"), rtol=1e-12)
    geometric = np.exp(np.log(values).mean("seed"))
    np.testing.assert_allclose(curve(figure, "eNTK").dimension_values(1), geometric, rtol=1e-10)
    assert "all 3 seeds" in options(figure)["title"]


def test_ghost_is_the_state_before(finished, ongoing):
    figure = spectra(finished, 64, 0, ghost=(finished, 16))
    before = curve(spectra(finished, 16, 0), "eNTK")
    np.testing.assert_array_equal(ghosts(figure)[0].dimension_values(1), before.dimension_values(1))
    assert all(len(ghost) == 0 for ghost in ghosts(spectra(finished, 64, 0)))
    assert all(len(ghost) == 0 for ghost in ghosts(spectra(finished, 64, 0, ghost=(finished, 999))))
    assert list(spectra(ongoing, 64, 0, ghost=(finished, 16)).data) == list(figure.data)


def test_elements_are_the_same_whatever_is_missing(finished, ongoing, unstarted):
    keys = [list(spectra(ds, 64, seed).data) for ds in (finished, ongoing, unstarted) for seed in (0, "all")]
    assert all(key == keys[0] for key in keys)


def test_an_empty_sweep_has_limits(unstarted):
    (left, right), (low, high) = spectrum_limits(unstarted)
    assert left < 1 < 80 < right
    assert 0 < low < high


def test_legend_says_which_curves_are_lifts(finished):
    texts = options(spectra(finished, 64))["legend_labels"]
    assert texts["eNTK"] == "eNTK"
    assert texts["pNTK"] == "pNTK ⊗ I"


@pytest.mark.parametrize("seed", [1, "all"])
def test_columns_are_what_the_figure_holds_source_by_source(finished, seed):
    """A figure drawn at one width and filled with another's columns is the figure of that width."""
    drawn = hv.render(spectra(finished, 256, seed, ghost=(finished, 16)))
    columns, title = spectra_columns(finished, 256, seed, ghost=(finished, 16))
    assert drawn.title.text == title
    for renderer, column in zip(drawn.renderers, columns, strict=True):
        held = renderer.data_source.data
        assert set(held) == set(column)
        for name, values in column.items():
            np.testing.assert_allclose(np.sort(held[name]), np.sort(values), rtol=1e-12)
    without, _ = spectra_columns(finished, 256, seed)
    assert len(without) == len(columns)
    assert len(without[1]["rank"]) == 0
