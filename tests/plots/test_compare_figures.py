"""Several sweeps in one figure: which line is which sweep and kernel, and what is left out."""

import numpy as np
import pytest
from holoviews import Store
from sweeps_by_hand import sweep

from ntk_explorer.errors import InvalidInput
from ntk_explorer.plots.compare import COLOURS, comparison, quantities, sweep_colours
from ntk_explorer.plots.export import figure_png, figure_svg
from ntk_explorer.plots.theme import SEQUENTIAL


@pytest.fixture(scope="module")
def other():
    return sweep(widths=(8, 16), seeds=2, n=12, c=3)


def options(element, group="plot"):
    return Store.lookup_options("bokeh", element, group).kwargs


def curves(figure):
    return [element for element in figure if type(element).__name__ == "Curve"]


def test_a_colour_for_each_sweep_and_a_kind_of_line_for_each_kernel(finished, other):
    figure = comparison([("first", finished), ("second", other)])
    lines = [c for c in curves(figure) if "reference" not in c.label]
    styles = [options(line, "style") for line in lines]
    assert [line.label for line in lines] == ["first"] * 3 + ["second"] * 3
    assert [style["color"] for style in styles] == [COLOURS[0]] * 3 + [COLOURS[1]] * 3
    assert [style["line_dash"] for style in styles] == ["solid", "dashed", "dotted"] * 2
    assert "solid: pNTK · dashed: trNTK · dotted: single logit" in options(figure)["title"]
    assert list(options(figure)["legend_labels"]) == ["first", "second"]


def test_lines_are_geometric_means_and_bands_span_the_seeds(finished, other):
    figure = comparison([("first", finished), ("second", other)], kernels=["trntk"])
    first, second = curves(figure)[:2]
    values = finished["relative_frobenius"].sel(compared="trntk")
    np.testing.assert_allclose(first.dimension_values(1), np.exp(np.log(values).mean("seed")), rtol=1e-12)
    assert list(second.dimension_values(0)) == [8, 16]
    band = next(element for element in figure if type(element).__name__ == "Area")
    np.testing.assert_array_equal(band.dimension_values(1), values.min("seed"))
    np.testing.assert_array_equal(band.dimension_values(2), values.max("seed"))


def test_axes_hold_all_sweeps_and_have_a_tick_at_each_width(finished, other):
    chosen = options(comparison([("first", finished), ("second", other)]))
    assert (chosen["logx"], chosen["logy"]) == (True, True)
    assert [tick for tick, _ in chosen["xticks"]] == [8, 16, 64, 256]
    for ds in (finished, other):
        assert chosen["ylim"][0] < ds["relative_frobenius"].min()
        assert ds["relative_frobenius"].max() < chosen["ylim"][1]


def test_the_reference_belongs_to_power_laws_and_starts_at_the_first_mean(finished, other):
    sweeps = [("first", finished), ("second", other)]
    line = curves(comparison(sweeps))[-1]
    x, y = line.dimension_values(0), line.dimension_values(1)
    np.testing.assert_allclose(np.diff(np.log(y)) / np.diff(np.log(x)), -0.5)
    assert y[list(x).index(16)] == pytest.approx(curves(comparison(sweeps))[0].dimension_values(1)[0])
    assert not any("reference" in c.label for c in curves(comparison(sweeps, "condition_number")))


@pytest.mark.parametrize("quantity", quantities())
def test_every_quantity_is_drawn_and_written(finished, other, quantity):
    figure = comparison([("first", finished), ("second", other)], quantity)
    assert quantities()[quantity] in options(figure)["title"]
    assert len(curves(figure)) >= 2
    if quantity == "relative_frobenius":
        assert figure_png(figure, dpi=50).startswith(b"\x89PNG")
        assert "second" in figure_svg(figure).decode() or COLOURS[1] in figure_svg(figure).decode()


def test_unfinished_sweeps_are_drawn_as_far_as_they_are(finished, ongoing):
    figure = comparison([("all", finished), ("part", ongoing)], kernels=["pntk"])
    assert [len(line.dimension_values(0)) for line in curves(figure)[:2]] == [3, 2]


def test_what_has_no_place_on_the_axis_is_counted(finished, other):
    ds = finished.copy(deep=True)
    ds["condition_number"].loc[{"kernel": "entk", "width": 16}] = np.inf
    title = options(comparison([("a", ds), ("b", other)], "condition_number", ["entk"]))["title"]
    assert "3 infinite or not positive, not drawn" in title


def test_a_kernel_that_one_sweep_lacks(finished):
    lacking = finished.sel(compared=["trntk"])
    lines = [c for c in curves(comparison([("a", finished), ("b", lacking)])) if "reference" not in c.label]
    assert [line.label for line in lines] == ["a", "a", "a", "b"]
    assert options(lines[-1], "style")["line_dash"] == "dashed"


def test_nothing_to_draw_says_so(finished):
    with pytest.raises(InvalidInput, match="hold no values of: Distance to the infinite-width NTK"):
        comparison([("a", finished.drop_vars("distance_to_limit"))], "distance_to_limit")
    with pytest.raises(InvalidInput, match="Choose another"):
        comparison([("a", finished)], kernels=["nothing"])


def test_more_sweeps_than_colours_take_steps_of_one_map():
    assert len(set(sweep_colours(12))) == 12
    assert set(sweep_colours(12)) <= set(SEQUENTIAL)


def test_hostile_names_are_no_formulas(finished):
    figure = comparison([("$$x$$ \\(y\\)", finished)])
    assert not any("$$" in text or "\\(" in text for text in options(figure)["legend_labels"])


def test_the_legend_names_every_sweep_however_many_lines_there_are(finished):
    names = [f"sweep {number}" for number in range(5)]
    plot = Store.renderers["bokeh"].get_plot(comparison([(name, finished) for name in names]))
    (legend,) = plot.state.legend
    assert legend.visible
    assert [item.label.value for item in legend.items][:5] == names
