"""Figures of training: what they show, sources that are filled in place, and the cases at the edges."""

import holoviews as hv
import numpy as np
import pytest
from bokeh.models import HoverTool
from holoviews.streams import Pipe
from trajectories_by_hand import trajectory

from ntk_explorer.errors import InvalidInput
from ntk_explorer.plots import along, epochs, errors, functions, regression, scatter, surfaces, trained, training
from ntk_explorer.plots.export import figure_png, figure_svg

AT = (0, 1, 3, 10)
# A figure, its columns, and its arguments but for the epoch.
FIGURES: dict[str, tuple] = {
    "loss": (training.learning_curves, training.learning_curves_columns, {"width": 64}),
    "accuracy": (training.learning_curves, training.learning_curves_columns, {"quantity": "accuracy", "seed": 1}),
    "rates": (training.learning_rates, training.learning_rates_columns, {"scale": "linear"}),
    "drift": (along.kernel_changes, along.kernel_changes_columns, {"width": 64}),
    "condition": (along.kernel_changes, along.kernel_changes_columns, {"quantity": "condition_number"}),
    "paths": (along.eigenvalues_along, along.eigenvalues_along_columns, {"kernel": "pntk"}),
    "kernel": (trained.trained_kernel, trained.trained_kernel_columns, {"kernel": "entk", "width": 64}),
    "spectra": (trained.trained_spectra, trained.trained_spectra_columns, {"width": 64, "seed": "all"}),
    "accuracies": (regression.accuracies, regression.accuracies_columns, {"start": "both"}),
    "test loss": (regression.accuracies, regression.accuracies_columns, {"quantity": "loss"}),
    "differences": (regression.regression_differences, regression.regression_differences_columns, {}),
    "errors": (errors.errors_along, errors.errors_along_columns, {}),
    "errors by width": (errors.errors_against_width, errors.errors_against_width_columns, {}),
    "scatter": (scatter.output_scatter, scatter.output_scatter_columns, {"predictor": "linearised"}),
}
PLANE: dict[str, tuple] = {
    "network": (surfaces.decision_surface, surfaces.decision_surface_columns, {}),
    "regression": (surfaces.decision_surface, surfaces.decision_surface_columns, {"predictor": "pntk"}),
}
LINE: dict[str, tuple] = {
    "functions": (functions.prediction_curves, functions.prediction_curves_columns, {"start": "zero"})
}


@pytest.fixture(scope="module")
def images():
    return trajectory(features=64, names=["cat", "dog", "ant"])


@pytest.fixture(scope="module")
def plane():
    return {c: trajectory(features=2, c=c) for c in (2, 3)}


@pytest.fixture(scope="module")
def line():
    return trajectory(task="regression", features=1)


def drawn(figure):
    return hv.renderer("bokeh").get_plot(figure).state


def sources(state):
    return [renderer.data_source.data for renderer in state.renderers]


def assert_same(columns, fresh):
    for here, there in zip(columns, fresh, strict=True):
        assert set(here) == set(there)
        for name, values in there.items():
            np.testing.assert_array_equal(np.asarray(here[name]), np.asarray(values), err_msg=name)


def check_in_place(ds, figure, columns, options):
    fresh = drawn(figure(ds, **options, epoch=5))
    filled, title = columns(ds, **options, epoch=5)
    assert_same(filled, sources(fresh))
    assert title == fresh.title.text


@pytest.mark.parametrize("name", FIGURES)
def test_sources_filled_in_place_equal_a_fresh_drawing(images, name):
    check_in_place(images, *FIGURES[name])


@pytest.mark.parametrize("c", [2, 3])
@pytest.mark.parametrize("name", PLANE)
def test_surfaces_filled_in_place_equal_a_fresh_drawing(plane, name, c):
    check_in_place(plane[c], *PLANE[name])


def test_functions_filled_in_place_equal_a_fresh_drawing(line):
    check_in_place(line, *LINE["functions"])


@pytest.mark.parametrize("name", ["loss", "rates", "paths", "kernel", "spectra", "accuracies", "scatter"])
def test_one_plot_serves_a_training_from_its_beginning(images, name):
    figure, _, options = FIGURES[name]
    nothing, some = (trajectory(features=64, names=["cat", "dog", "ant"], done=done) for done in (-1, 4))
    pipe = Pipe(data=nothing)
    state = drawn(hv.DynamicMap(lambda data: figure(data, **options, epoch=5), streams=[pipe]))
    renderers = list(state.renderers)
    for ds in (some, images):
        pipe.send(ds)
    assert list(state.renderers) == renderers
    fresh = drawn(figure(images, **options, epoch=5))
    assert state.title.text == fresh.title.text
    assert (state.y_range.start, state.y_range.end) == (fresh.y_range.start, fresh.y_range.end)
    assert [{k: len(v) for k, v in data.items()} for data in sources(state)] == [
        {k: len(v) for k, v in data.items()} for data in sources(fresh)
    ]


EDGES = {
    "as little as there can be": {"epochs": 1, "at": (0,), "widths": (16,), "seeds": 1, "linearised": False},
    "a regression still running": {"task": "regression", "done": 2},
}


@pytest.mark.parametrize("name", EDGES)
def test_every_figure_is_drawn_at_the_edges(name):
    ds = trajectory(features=64, **EDGES[name])
    for figure, _, options in FIGURES.values():
        options = {k: v for k, v in options.items() if v != 64}
        if "linearised" in options.values() and "linearised_output" not in ds:
            continue
        if figure in (trained.trained_kernel, trained.trained_spectra):
            options["width"] = 16
        overlay = figure(ds, **options)
        assert drawn(overlay).renderers
    assert figure_png(training.learning_curves(ds, epoch=1), dpi=30).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["loss", "rates", "kernel", "scatter", "network", "functions"])
def test_every_kind_of_figure_is_a_file(images, plane, line, name):
    figure, _, options = (FIGURES | PLANE | LINE)[name]
    ds = images if name in FIGURES else plane[2] if name in PLANE else line
    assert figure_svg(figure(ds, **options, epoch=3)).startswith(b"<?xml")


def curves(overlay, kind=hv.Curve):
    return {element.group: element for element in overlay if isinstance(element, kind)}


def test_epoch_0_stands_left_of_1_and_hovering_says_0(images):
    (network, *_) = curves(training.learning_curves(images)).values()
    place, _, epoch = (network.dimension_values(k) for k in range(3))
    assert place[0] < place[1] == 1
    assert list(epoch) == list(range(11))
    axis = epochs.epoch_axis(images)
    assert axis["xticks"][0] == (place[0], "0")
    assert axis["xlim"][0] < place[0]
    assert list(epochs.place([0, 5], "linear")) == [0, 5]


def test_learning_curves_show_the_means_and_ranges_over_seeds(images):
    loss = training.learning_curves(images, "loss", 64)
    every = images["test_loss"].sel(width=64)
    np.testing.assert_allclose(
        curves(loss)["network_test"].dimension_values(1), np.exp(np.log(every).mean("seed")).values
    )
    band = curves(loss, hv.Area)["network_test"]
    np.testing.assert_array_equal(band.dimension_values(2), every.max("seed").values)
    one = training.learning_curves(images, "accuracy", 64, seed=1)
    np.testing.assert_allclose(
        curves(one)["linearised_train"].dimension_values(1),
        100 * images["linearised_train_accuracy"].sel(width=64, seed=1).values,
    )


def test_the_marker_line_stands_at_the_epoch_and_the_title_reads_the_curves(images):
    columns, title = training.learning_curves_columns(images, "accuracy", 64, 0, 7)
    assert list(columns[-1]["place"]) == [7, 7]
    at = images.sel(width=64, epoch=7, seed=0)
    assert f"epoch 7: training {100 * at['train_accuracy']:.1f} %, test {100 * at['test_accuracy']:.1f} %" in title
    columns, title = training.learning_curves_columns(images)
    assert columns[-1]["place"].size == 0
    assert "epoch 7" not in title


def test_axes_hold_still_from_width_to_width_and_while_a_training_runs(images):
    def limits(ds, **options):
        return hv.Store.lookup_options("bokeh", training.learning_curves(ds, **options), "plot").kwargs

    narrow, wide = limits(images, width=16), limits(images, width=64)
    assert narrow["ylim"] == wide["ylim"]
    assert limits(trajectory(features=64, done=2))["xlim"] == narrow["xlim"]


def test_the_kernels_shown_are_those_of_the_last_kernel_epoch(images):
    assert [epochs.kernel_epoch(images, epoch) for epoch in (0, 2, 3, 9, 10, 99, None)] == [0, 1, 3, 3, 10, 10, 10]
    running = trajectory(features=64, done=4)
    assert epochs.kernel_epoch(running, None) == 3
    assert epochs.last_epoch(running) == 4
    assert epochs.kernel_epoch(trajectory(done=-1), 5) == 0
    one = images.copy()
    one["eigenvalues"] = one["eigenvalues"].where((one["width"] == 16) | (one["at"] < 3))
    assert epochs.kernel_epoch(one, None) == 10
    assert epochs.kernel_epoch(one, None, width=64) == 1


def test_a_kernel_at_an_epoch_is_sorted_and_divided_by_its_mean_diagonal(images):
    overlay = trained.trained_kernel(images, "pntk", 64, 1, 4)
    image = next(element for element in overlay if isinstance(element, hv.Image))
    gram = images["gram"].sel(kernel="pntk", width=64, seed=1, at=3).values.astype(float)
    order = np.argsort(images["label"].values, kind="stable")
    expected = gram[np.ix_(order, order)] / np.diag(gram).mean()
    np.testing.assert_allclose(image.dimension_values(2, flat=False), expected, rtol=1e-5)
    every = images["gram"].sel(width=64, seed=1).values
    colours = hv.Store.lookup_options("bokeh", trained_image(images, relative=False), "plot").kwargs["clim"]
    assert colours == (-np.abs(every).max(), np.abs(every).max())


def trained_image(ds, **options):
    return next(e for e in trained.trained_kernel(ds, "entk", 64, 1, 0, **options) if isinstance(e, hv.Image))


def test_spectra_leave_the_initial_ones_behind(images):
    overlay = trained.trained_spectra(images, 64, 0, 10)
    lines = curves(overlay)
    values = images["eigenvalues"].sel(kernel="entk", width=64, seed=0)
    np.testing.assert_allclose(lines["ghost_entk"].dimension_values(1), values.sel(at=0).values)
    np.testing.assert_allclose(lines["entk"].dimension_values(1), values.sel(at=10).values)


def test_axes_of_a_kernel_say_what_its_examples_are_sorted_by(images):
    line = trajectory(task="regression", features=1)
    drawn = [hv.render(trained.trained_kernel(ds, "pntk", int(ds["width"][0]))) for ds in (images, line)]
    assert [figure.yaxis.axis_label for figure in drawn] == ["example i, by class", "example i, by target"]


def test_paths_of_eigenvalues_have_the_ranks_of_the_lifted_kernel(images):
    c = images.sizes["output"]
    paths = curves(along.eigenvalues_along(images, "pntk", 64, 0))
    values = images["eigenvalues"].sel(kernel="pntk", width=64, seed=0)
    for rank in (1, 2, 5, 48):
        row = (rank - 1) // c
        np.testing.assert_allclose(paths[f"rank{rank}"].dimension_values(1), values.isel(rank=row).values)
    entk = curves(along.eigenvalues_along(images, "entk", 64, 0))
    assert list(entk) == list(paths)


def test_errors_over_widths_follow_the_epoch(images):
    columns, title = errors.errors_against_width_columns(images, seed=0, epoch=4)
    values = images["relative_frobenius"].sel(compared="pntk", seed=0)
    np.testing.assert_allclose(columns[0]["relative_frobenius"], values.sel(at=0).values)
    np.testing.assert_allclose(columns[2]["relative_frobenius"], values.sel(at=3).values)
    assert "epoch 3" in title


def test_surfaces_show_each_output_at_its_place(plane):
    ds = plane[2]
    overlay = surfaces.decision_surface(ds, "entk", 64, 0, 3)
    image = next(element for element in overlay if isinstance(element, hv.Image))
    outputs = ds["regression_output_on_grid"].sel(kernel="entk", start="network", width=64, seed=0, at=3).values
    for place, (zero, one) in zip(ds["grid_input"].values, outputs, strict=True):
        assert image[tuple(place)] == pytest.approx(one - zero, rel=1e-5)


def test_boundaries_lie_where_two_classes_are_even():
    ds = trajectory(features=2, c=2)
    ramp = ds["grid_input"].values[:, 0] - 0.5
    outputs = np.stack([np.zeros_like(ramp), ramp], axis=1)
    ds["network_output_on_grid"] = ds["network_output_on_grid"] * 0 + outputs
    overlay = surfaces.decision_surface(ds, "network")
    segments = next(element for element in overlay if isinstance(element, hv.Segments))
    assert len(segments) > 0
    np.testing.assert_allclose(segments.dimension_values(0), 0.5)
    np.testing.assert_allclose(segments.dimension_values(2), 0.5)


def test_of_three_classes_the_winner_gives_the_colour():
    surface = np.array([[[5.0, 0, 0], [0, 1, 0.5], [0, 0, 0], [np.nan, 0, 0]]])
    colours = surfaces._colours(surface, 5.0)
    assert list(colours[0, 0]) == [0x00, 0x72, 0xB2]
    assert list(colours[0, 2]) == list(colours[0, 3]) == [255, 255, 255]
    assert colours[0, 1, 0] > colours[0, 1, 2]  # a tint of the second class, vermillion


def test_surfaces_side_by_side_share_their_colours(plane):
    layout = surfaces.decision_surfaces(plane[2])
    assert len(layout) == 5
    pictures = [element for overlay in layout for element in overlay if isinstance(element, hv.Image)]
    assert len({hv.Store.lookup_options("bokeh", p, "plot").kwargs["clim"] for p in pictures}) == 1
    assert figure_png(layout, dpi=30).startswith(b"\x89PNG")
    assert drawn(layout) is not None


def test_functions_are_those_on_the_grid(line):
    overlay = functions.prediction_curves(line, 64, 1, 3)
    expected = line["linearised_output_on_grid"].sel(width=64, seed=1, at=3).values[:, 0]
    np.testing.assert_array_equal(curves(overlay)["linearised"].dimension_values(1), expected)
    truth = curves(overlay)["truth"]
    assert (np.diff(truth.dimension_values(0)) > 0).all()


def test_inputs_of_other_dimension_are_refused(images):
    with pytest.raises(InvalidInput, match="more than one feature"):
        functions.prediction_curves(images)
    with pytest.raises(InvalidInput, match="two features"):
        surfaces.decision_surface(images)


def test_scatter_shows_every_output_once_the_true_class_apart(images):
    overlay = scatter.output_scatter(images, "trntk", 64, 0, 10, start="zero")
    others, true = (element for element in overlay if isinstance(element, hv.Scatter))
    assert len(true) == images.sizes["test"]
    assert len(others) == images.sizes["test"] * (images.sizes["output"] - 1)
    at = images.sel(width=64, seed=0, at=10)
    row, label = 4, int(images["test_label"][4])
    shown = {name: true.dimension_values(name)[row] for name in ("across", "up", "example", "truth")}
    assert shown == {
        "across": at["network_output"].values[row, label],
        "up": at["regression_output"].sel(kernel="trntk", start="zero").values[row, label],
        "example": images["test_ids"].values[row],
        "truth": ["cat", "dog", "ant"][label],
    }
    tools = hv.render(overlay).select({"type": HoverTool})
    assert {tool.limit for tool in tools} == {scatter.MOST_TIPS}


def test_many_outputs_are_thinned_and_that_is_said():
    overlay = scatter.output_scatter(trajectory(features=64, test=1200, widths=(16,), seeds=1))
    assert sum(len(element) for element in overlay if isinstance(element, hv.Scatter)) == 1200
    assert "1 in 3 drawn" in hv.Store.lookup_options("bokeh", overlay, "plot").kwargs["title"]


def test_disagreements_are_listed_the_networks_surest_first():
    ds = trajectory(features=64, names=["cat", "dog", "ant"], widths=(16,), seeds=1)
    same = np.eye(3)[ds["test_label"].values]
    for name in ("network_output", "linearised_output", "regression_output"):
        ds[name] = ds[name] * 0 + same
    assert scatter.disagreements(ds) == []
    at = {"width": 16, "seed": 0, "at": 10}
    ds["regression_output"].loc[{**at, "kernel": "pntk", "start": "network", "test": 5}] = [1.0, 0.0, 0.0]
    ds["network_output"].loc[{**at, "test": 7}] = [9.0, 0.0, 0.0]
    rows = scatter.disagreements(ds)
    assert [row["row"] for row in rows] == [7, 5]
    assert rows[1] == {
        "row": 5, "example": 105, "target": "ant",
        "network": "ant", "linearised": "ant", "entk": "ant", "pntk": "cat", "trntk": "ant",
    }  # fmt: skip
    assert [row["row"] for row in scatter.disagreements(ds, start="zero")] == [7]
    assert len(scatter.disagreements(ds, most=1)) == 1


def test_disagreements_of_a_regression_are_numbers(line):
    (row,) = scatter.disagreements(line, most=1)
    assert row["target"] == f"{line['test_target'].values[row['row'], 0]:.3g}"
    assert scatter.disagreements(trajectory(done=-1)) == []


def test_without_an_entk_the_other_figures_are_drawn():
    ds = trajectory(features=64, names=["cat", "dog", "ant"]).drop_vars(["relative_frobenius", "regression_difference"])
    ds = ds.sel(kernel=["pntk", "trntk"]).isel(rank=slice(16), compared=slice(0))
    for draw in (errors.errors_along, errors.errors_against_width, regression.regression_differences):
        with pytest.raises(InvalidInput, match="did not follow the eNTK"):
            draw(ds)
    values = ds["eigenvalues"].sel(kernel="pntk", width=64, seed=0, at=3).values
    spectra = curves(trained.trained_spectra(ds, 64, epoch=3))
    np.testing.assert_allclose(spectra["pntk"].dimension_values(1), values)
    assert "pntk_network" in curves(regression.accuracies(ds))
    assert "rank16" in curves(along.eigenvalues_along(ds, "pntk", 64))
