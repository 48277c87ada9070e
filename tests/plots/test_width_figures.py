"""Errors and summaries against width: what is drawn, what is fitted, what is left out and said so."""

import numpy as np
import pytest
from holoviews import Store
from sweeps_by_hand import sweep

from ntk_explorer.comparison.scaling import fit_slope
from ntk_explorer.plots.theme import kernel_style
from ntk_explorer.plots.width import (
    REFERENCE,
    condition_numbers,
    convergence,
    distance_to_limit,
    run_at,
    seed_band,
    summaries,
)


def options(figure):
    return Store.lookup_options("bokeh", figure, "plot").kwargs


def parts(figure, label):
    return {type(e).__name__: e for e in figure if e.label == label}


@pytest.mark.parametrize("measure", ["relative_frobenius", "largest_eigenvalue_error"])
def test_each_run_is_a_dot_and_each_width_a_geometric_mean(finished, measure):
    figure = convergence(finished, measure)
    for name in finished["compared"].values:
        values = finished[measure].sel(compared=name)
        drawn = parts(figure, kernel_style(name).label)
        dots = drawn["Scatter"].dframe()
        assert len(dots) == values.size
        for width, value, seed in dots.itertuples(index=False):
            assert value == float(values.sel(width=width, seed=seed))
        mean = np.exp(np.log(values).mean("seed"))
        np.testing.assert_allclose(drawn["Curve"].dimension_values(1), mean.sel(width=[16, 64, 256]), rtol=1e-12)
        np.testing.assert_array_equal(drawn["Area"].dimension_values(1), values.min("seed"))
        np.testing.assert_array_equal(drawn["Area"].dimension_values(2), values.max("seed"))


def test_legend_gives_the_slope_with_its_interval(finished):
    texts = options(convergence(finished))["legend_labels"]
    fitted = fit_slope(finished["width"].values, finished["relative_frobenius"].sel(compared="pntk"))
    assert texts["pNTK"] == f"pNTK: slope {fitted}"
    assert "[" in texts["pNTK"]
    assert list(texts) == ["pNTK", "trNTK", "single logit"]


def test_reference_has_slope_one_half_and_starts_at_the_first_kernel(finished):
    figure = convergence(finished)
    line, first = parts(figure, REFERENCE)["Curve"], parts(figure, "pNTK")["Curve"]
    x, y = line.dimension_values(0), line.dimension_values(1)
    np.testing.assert_allclose(np.diff(np.log(y)) / np.diff(np.log(x)), -0.5)
    assert y[0] == pytest.approx(first.dimension_values(1)[0])
    assert "reference" in line.label


def test_axes_are_logarithmic_with_a_tick_at_each_width_and_hold_all_dots(finished):
    chosen = options(convergence(finished))
    assert chosen["logx"]
    assert chosen["logy"]
    assert chosen["xticks"] == [(16, "16"), (64, "64"), (256, "256")]
    values = finished["relative_frobenius"].values
    assert chosen["ylim"][0] < values.min()
    assert values.max() < chosen["ylim"][1]
    assert all(chosen["ylim"][0] <= tick <= chosen["ylim"][1] for tick, _ in chosen["yticks"])
    assert len(chosen["yticks"]) >= 2


def test_title_says_what_was_computed(finished, ongoing):
    title = options(convergence(finished))["title"]
    for part in ("Relative Frobenius error", "MLP", "depth 3", "digits", "n = 20", "c = 4", "3 seeds"):
        assert part in title
    assert "2 of 9 runs" in options(convergence(ongoing))["title"]


def test_axis_names_are_words_with_the_formula(finished):
    x, y = next(iter(convergence(finished))).dimensions()[:2]
    assert x.label == "width (hidden units or channels per layer)"
    assert y.label == "relative Frobenius error ‖K⊗I − Θ‖ / ‖Θ‖"


def test_what_is_there_of_an_unfinished_sweep_is_drawn(finished, ongoing):
    drawn = parts(convergence(ongoing), "pNTK")
    assert list(drawn["Curve"].dimension_values(0)) == [16, 64]
    assert len(drawn["Scatter"]) == 2
    assert options(convergence(ongoing))["xlim"] == options(convergence(finished))["xlim"]


@pytest.mark.parametrize("draw", [convergence, condition_numbers, distance_to_limit])
def test_elements_are_the_same_whatever_is_missing(finished, ongoing, unstarted, draw):
    keys = [list(draw(ds).data) for ds in (finished, ongoing, unstarted)]
    assert keys[0] == keys[1] == keys[2]


def test_a_single_run_has_no_slope():
    ds = sweep(widths=(16, 64), seeds=1, missing=[(64, 0)])
    assert options(convergence(ds))["legend_labels"]["pNTK"] == "pNTK"


def test_singular_kernels_are_counted_and_not_drawn(finished):
    ds = finished.copy(deep=True)
    ds["condition_number"].loc[{"kernel": "entk", "width": 16}] = np.inf
    figure = condition_numbers(ds)
    assert "3 infinite not drawn" in options(figure)["title"]
    drawn = parts(figure, "eNTK")
    assert list(drawn["Curve"].dimension_values(0)) == [64, 256]
    assert np.isfinite(options(figure)["ylim"]).all()


def test_no_error_at_all_as_with_one_output_is_said_in_words():
    ds = sweep(widths=(16, 64), seeds=2)
    ds["relative_frobenius"][:] = 0.0
    ds["relative_frobenius"].loc[{"seed": 1}] = np.nan  # still to come
    assert "0 everywhere: each of these kernels is the eNTK" in options(convergence(ds))["title"]


def test_errors_of_zero_are_counted_and_not_drawn():
    ds = sweep(c=4, widths=(16, 64), seeds=2)
    ds["relative_frobenius"].loc[{"compared": "trntk"}] = 0.0
    figure = convergence(ds)
    assert "4 not positive not drawn" in options(figure)["title"]
    assert len(parts(figure, "trNTK")["Scatter"]) == 0
    assert options(figure)["ylim"][0] > 0


def test_condition_numbers_show_the_entk_beside_the_others(finished):
    labels = [label for label in options(condition_numbers(finished))["legend_labels"]]
    assert labels == ["eNTK", "pNTK", "trNTK", "single logit"]


def test_distance_to_the_limit_is_drawn_and_fitted_for_the_entk_and_what_is_made_of_it(finished):
    figure = distance_to_limit(finished)
    texts = options(figure)["legend_labels"]
    assert list(texts) == ["eNTK", "pNTK", "trNTK", "single logit"]
    values = finished["distance_to_limit"].sel(kernel="entk")
    assert texts["eNTK"] == f"eNTK: slope {fit_slope(finished['width'].values, values)}"
    assert options(figure)["title"].startswith("Distance to the infinite-width NTK")
    drawn = parts(figure, "eNTK")["Scatter"].dframe()
    assert len(drawn) == values.size
    for width, value, seed in drawn.itertuples(index=False):
        assert value == float(values.sel(width=width, seed=seed))
    first = parts(figure, "eNTK")["Curve"].dimension_values(1)[0]
    assert parts(figure, REFERENCE)["Curve"].dimension_values(1)[0] == pytest.approx(first)


def test_without_a_limit_the_figure_is_empty_and_says_why(finished):
    unknown = finished.copy().assign_attrs(no_limit="tanh has no closed form")
    unknown["distance_to_limit"] = unknown["distance_to_limit"] * np.nan
    for ds, reason in (
        (unknown, "tanh has no"),
        (finished.drop_vars("distance_to_limit"), "it was computed by an earlier version"),
    ):
        figure = distance_to_limit(ds)
        assert f"No distance to infinite width: {reason}" in options(figure)["title"]
        assert len(parts(figure, "eNTK")["Scatter"]) == 0


def test_any_summary_can_be_drawn(finished):
    figure = summaries(finished, "effective_rank")
    assert options(figure)["title"].startswith("Effective rank")
    values = finished["effective_rank"].sel(kernel="entk", seed=0)
    drawn = parts(figure, "eNTK")["Scatter"].dframe().query("seed == 0")
    np.testing.assert_array_equal(drawn["effective_rank"], values)


def test_band_of_widths_without_values_is_nan():
    mean, low, high = seed_band(np.array([[1.0, 4.0, np.nan], [np.nan] * 3]))
    assert (mean[0], low[0], high[0]) == (2.0, 1.0, 4.0)
    assert np.isnan([mean[1], low[1], high[1]]).all()


def test_a_click_finds_the_run_of_the_nearest_dot(finished, unstarted):
    value = float(finished["relative_frobenius"].sel(compared="trntk", width=64, seed=2))
    assert run_at(finished, "relative_frobenius", 66.0, value * 1.001) == (64, 2)
    assert run_at(unstarted, "relative_frobenius", 64.0, 0.1) is None
    assert run_at(finished, "relative_frobenius", -1.0, 0.1) is None
