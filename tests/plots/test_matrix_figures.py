"""Gram matrices: order, separators, colours shared between kernels, and which cell is which."""

import holoviews as hv
import numpy as np
import pytest
from bokeh.embed import file_html
from bokeh.resources import INLINE
from holoviews import Store
from sweeps_by_hand import labels_of, sweep

from ntk_explorer.plots.hover import cell_names
from ntk_explorer.plots.matrices import (
    MOST_CELLS,
    Grid,
    boundaries,
    cell_at,
    difference_heatmap,
    error_heatmap,
    grid,
    kernel_heatmap,
)


def options(element):
    return Store.lookup_options("bokeh", element, "plot").kwargs


def image(figure):
    return next(e for e in figure if isinstance(e, hv.Image))


def rendered(figure):
    """The Bokeh renderer of the image and the hover tool that reads it."""
    plot = hv.renderer("bokeh").get_plot(figure).state
    renderer = next(r for r in plot.renderers if "image" in r.data_source.data)
    (tool,) = [t for t in plot.tools if type(t).__name__ == "HoverTool"]
    return plot, renderer, tool


def test_rows_and_columns_are_sorted_by_class(finished):
    values = image(kernel_heatmap(finished, "pntk", 64)).dimension_values(2, flat=False)
    order = np.argsort(labels_of(20, 4), kind="stable")
    gram = finished["gram"].sel(kernel="pntk", width=64, matrix_seed=0).values
    np.testing.assert_array_equal(values, gram[np.ix_(order, order)])


def test_what_the_screen_shows_at_row_i_and_column_j_is_entry_i_j(finished):
    """From the pixels that Bokeh gets, their coordinates and the hover tool's names back to the matrix."""
    skewed = finished.copy(deep=True)
    skewed["gram"].loc[{"kernel": "pntk", "width": 64, "matrix_seed": 0}] = np.arange(400.0).reshape(20, 20)
    plot, renderer, tool = rendered(kernel_heatmap(skewed, "pntk", 64))
    pixels, glyph = renderer.data_source.data["image"][0], renderer.data_source.data
    assert (glyph["x"][0], glyph["y"][0], glyph["dw"][0], glyph["dh"][0]) == (-0.5, -0.5, 20, 20)
    assert plot.y_range.start > plot.y_range.end, "row 0 is at the top"
    names = tool.formatters["$y"].args["names"]
    assert dict(tool.tooltips) == {"i": "$y{custom}", "j": "$x{custom}", "value": "@image"}
    for row, column in [(0, 0), (0, 19), (7, 3), (19, 0)]:
        i, j = cell_at(skewed, column, row)
        assert pixels[row, column] == 20 * i + j
        label = labels_of(20, 4)
        assert names[row] == f"{i} (class {label[i]})"
        assert names[column] == f"{j} (class {label[j]})"


@pytest.mark.parametrize(("x", "y", "inside"), [(-0.49, 19.49, True), (-0.51, 3, False), (3, 19.51, False)])
def test_clicks_beside_the_matrix_choose_nothing(finished, x, y, inside):
    assert (cell_at(finished, x, y) is not None) == inside


def test_separators_lie_between_the_classes(finished):
    where = grid(finished)
    lines = boundaries(where)
    assert list(lines) == [4.5, 9.5, 14.5]
    for line in lines:
        assert where.labels[int(line - 0.5)] != where.labels[int(line + 0.5)]
    segments = next(e for e in kernel_heatmap(finished, "entk", 64) if isinstance(e, hv.Segments))
    assert len(segments) == 6


def test_classes_are_named_at_the_middle_of_their_rows():
    ds = sweep(n=20, c=4, widths=(16,), seeds=1, names=["cat", "dog", "a very long name of a class", "bird"])
    ticks = options(kernel_heatmap(ds, "entk", 16))["xticks"]
    assert [text for _, text in ticks] == ["cat", "dog", "a very long…", "bird"]
    assert [position for position, _ in ticks] == [2.0, 7.0, 12.0, 17.0]


def test_regression_targets_have_no_classes(finished):
    ds = finished.assign_coords(label=("x1", np.linspace(1, -1, 20)))
    figure = kernel_heatmap(ds, "entk", 64)
    assert boundaries(grid(ds)).size == 0
    assert [text for _, text in options(figure)["xticks"]][::4] == ["-1", "1"]
    assert cell_at(ds, 0, 0) == (19, 19)
    _, _, tool = rendered(figure)
    assert tool.formatters["$x"].args["names"][0] == "19 (label -1)"


def test_kernels_share_their_colours_and_errors_theirs(finished):
    kernels = [image(kernel_heatmap(finished, k, 64, 1)) for k in finished["kernel"].values]
    assert len({options(k)["clim"] for k in kernels}) == 1
    low, high = options(kernels[0])["clim"]
    every = finished["gram"].sel(width=64, matrix_seed=1).values
    assert low <= every.min()
    assert every.max() <= high
    errors = [image(error_heatmap(finished, k, 64, 1)) for k in finished["compared"].values]
    assert len({options(e)["clim"] for e in errors}) == 1
    assert options(errors[0])["clim"][0] == 0


def test_differences_are_signed_about_zero(finished):
    shown = image(difference_heatmap(finished, "pntk", "trntk", 64))
    low, high = options(shown)["clim"]
    assert low == -high
    assert shown.dimension_values(2).min() < 0 < shown.dimension_values(2).max()


def test_a_chosen_pair_is_marked_where_it_is_drawn(finished):
    mark = next(e for e in kernel_heatmap(finished, "entk", 64, selected=(3, 7)) if isinstance(e, hv.Points))
    x, y = mark.dimension_values(0)[0], mark.dimension_values(1)[0]
    assert cell_at(finished, x, y) == (3, 7)
    unmarked = next(e for e in kernel_heatmap(finished, "entk", 64) if isinstance(e, hv.Points))
    assert len(unmarked) == 0


def test_cells_are_square(finished):
    chosen = options(kernel_heatmap(finished, "entk", 64))
    assert chosen["frame_width"] == chosen["frame_height"]
    assert chosen["xlim"] == chosen["ylim"]
    assert chosen["invert_yaxis"]


def test_large_matrices_are_averaged_to_a_megabyte_at_most():
    n = 1100
    labels = np.arange(n) % 3
    where = Grid(np.argsort(labels, kind="stable"), np.sort(labels), 3)
    matrix = np.random.default_rng(0).normal(size=(n, n))
    shown = where.arrange(matrix)
    assert shown.shape == (367, 367)
    assert shown.dtype == np.float32
    assert shown.nbytes <= 2**20
    ordered = matrix[np.ix_(where.order, where.order)]
    np.testing.assert_allclose(shown[5, 100], ordered[15:18, 300:303].mean(), rtol=1e-5)
    np.testing.assert_allclose(shown[-1, -1], ordered[1098:, 1098:].mean(), rtol=1e-5)
    assert where.example(100) == where.order[300]
    assert len(cell_names(where.order, where.labels, ["a", "b", "c"], 3)) == 367


def test_averaging_is_stated_and_starts_beyond_512(finished):
    n = MOST_CELLS + 1
    small = finished.isel(x1=0, x2=0, drop=True)
    gram = small["gram"].expand_dims(x1=n, x2=n, axis=(3, 4))
    ds = small.drop_vars(["gram", "block_error"]).assign(gram=gram).assign_coords(label=("x1", np.arange(n) % 4))
    figure = kernel_heatmap(ds, "entk", 64)
    assert "a cell = mean of 2×2 entries" in options(figure)["title"]
    assert image(figure).dimension_values(2, flat=False).shape == (257, 257)
    assert "mean of" not in options(kernel_heatmap(finished, "entk", 64))["title"]


def test_seeds_whose_matrices_were_not_kept_are_empty_and_say_so(finished):
    kept = finished.isel(matrix_seed=[0])
    assert np.isnan(image(kernel_heatmap(kept, "entk", 64, 2)).dimension_values(2)).all()
    assert "no matrix kept" in options(kernel_heatmap(kept, "entk", 64, 2))["title"]
    assert "no matrix kept" not in options(kernel_heatmap(kept, "entk", 64, 0))["title"]


def test_elements_are_the_same_whatever_is_missing(finished, ongoing, unstarted):
    figures = [
        kernel_heatmap(ds, "entk", 256, selected=s) for ds in (finished, ongoing, unstarted) for s in (None, (1, 2))
    ]
    assert all(list(figure.data) == list(figures[0].data) for figure in figures)


def test_a_heatmap_draws_without_a_warning(finished, caplog):
    plot, _, _ = rendered(kernel_heatmap(finished, "entk", 64))
    assert "<html" in file_html(plot, INLINE)
    assert caplog.text == ""
