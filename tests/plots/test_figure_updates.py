"""Figures as the page uses them: one plot whose sources change, from before the first run to the last."""

import holoviews as hv
import pytest
from holoviews.streams import Pipe

from ntk_explorer.plots.matrices import error_heatmap, kernel_heatmap
from ntk_explorer.plots.spectrum import spectra
from ntk_explorer.plots.theme import kernel_style
from ntk_explorer.plots.width import condition_numbers, convergence

DRAWN = {
    "convergence": convergence,
    "condition_numbers": condition_numbers,
    "spectra": lambda ds: spectra(ds, 64, 0, ghost=(ds, 16)),
    "all seeds": lambda ds: spectra(ds, 64, "all"),
    "gram": lambda ds: kernel_heatmap(ds, "entk", 64, selected=(1, 2)),
    "error": lambda ds: error_heatmap(ds, "pntk", 64),
}


def live(draw, first):
    pipe = Pipe(data=first)
    plot = hv.renderer("bokeh").get_plot(hv.DynamicMap(lambda data: draw(data), streams=[pipe]))
    return pipe, plot.state


@pytest.mark.parametrize("name", DRAWN)
def test_one_plot_serves_a_sweep_from_its_beginning(finished, ongoing, unstarted, name):
    pipe, figure = live(lambda data: DRAWN[name](data), unstarted)
    renderers = list(figure.renderers)
    for ds in (ongoing, finished, unstarted, finished):
        pipe.send(ds)
    assert list(figure.renderers) == renderers
    fresh = hv.renderer("bokeh").get_plot(DRAWN[name](finished)).state
    assert figure.title.text == fresh.title.text
    assert (figure.y_range.start, figure.y_range.end) == (fresh.y_range.start, fresh.y_range.end)
    for here, there in zip(renderers, fresh.renderers, strict=True):
        assert {k: len(v) for k, v in here.data_source.data.items()} == {
            k: len(v) for k, v in there.data_source.data.items()
        }


def test_the_legend_follows_the_slopes(finished, ongoing):
    pipe, figure = live(convergence, ongoing)
    before = [item.label["value"] for item in figure.legend[0].items]
    pipe.send(finished)
    after = [item.label["value"] for item in figure.legend[0].items]
    assert len(before) == len(after) == 4
    expected = hv.Store.lookup_options("bokeh", convergence(finished), "plot").kwargs["legend_labels"]
    assert after[:3] == list(expected.values())
    assert before[0] != after[0]


def test_a_zoom_survives_scrubbing_and_ends_with_new_limits(finished, ongoing):
    pipe, figure = live(lambda data: spectra(data[0], data[1]), (finished, 16))
    figure.y_range.update(start=1.0, end=2.0)
    pipe.send((finished, 64))
    assert (figure.y_range.start, figure.y_range.end) == (1.0, 2.0)
    pipe.send((ongoing, 64))
    assert (figure.y_range.start, figure.y_range.end) != (1.0, 2.0)


def test_hover_names_follow_the_examples(finished):
    pipe, figure = live(lambda data: kernel_heatmap(data, "pntk", 64), finished)
    pipe.send(finished.assign_coords(label=("x1", finished["label"].values[::-1].copy())))
    (tool,) = [t for t in figure.tools if type(t).__name__ == "HoverTool"]
    names = tool.formatters["$x"].args["names"]
    first = int(names[0].split()[0])
    assert finished["label"].values[::-1][first] == 0


def test_a_click_on_the_legend_hides_all_of_a_kernel(finished):
    _, figure = live(convergence, finished)
    legend = figure.legend[0]
    assert legend.click_policy == "hide"
    item = next(i for i in legend.items if i.label["value"].startswith("pNTK"))
    assert len(item.renderers) == 3
    assert {r.glyph.fill_color if hasattr(r.glyph, "fill_color") else r.glyph.line_color for r in item.renderers} == {
        kernel_style("pntk").color
    }


def test_an_update_sends_at_most_a_megabyte(finished):
    plot = hv.renderer("bokeh").get_plot(kernel_heatmap(finished, "entk", 64)).state
    pixels = [r.data_source.data["image"][0] for r in plot.renderers if "image" in r.data_source.data]
    assert [p.dtype.name for p in pixels] == ["float32"]
