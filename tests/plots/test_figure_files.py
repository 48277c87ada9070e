"""Figures as PNG and SVG, sweeps as one HTML file."""

import re
import struct
from xml.etree import ElementTree

import holoviews as hv
import numpy as np
import pytest
from sweeps_by_hand import sweep

from ntk_explorer.datasets import load_dataset
from ntk_explorer.errors import InvalidInput
from ntk_explorer.plots.blocks import block_entries, block_heatmap
from ntk_explorer.plots.examples import example_picture
from ntk_explorer.plots.export import figure_png, figure_svg
from ntk_explorer.plots.matrices import kernel_heatmap
from ntk_explorer.plots.report import html_report
from ntk_explorer.plots.spectrum import spectra
from ntk_explorer.plots.width import condition_numbers, convergence

HOSTILE = "</script><img src=x onerror=document.title='owned'>"
BLOCK = {"block": np.array([[2.0, -0.1], [-0.1, 1.5]]), "values": {"pntk": 1.65}}
FIGURES = {
    "convergence": convergence,
    "condition_numbers": condition_numbers,
    "spectra": lambda ds: spectra(ds, 64, "all", ghost=(ds, 16)),
    "gram": lambda ds: kernel_heatmap(ds, "entk", 64, selected=(1, 2)),
    "block": lambda ds: block_heatmap(BLOCK, 0, 1),
    "entries": lambda ds: block_entries(BLOCK),
    "image": lambda ds: example_picture(load_dataset("digits", n=20), 0),
    "points": lambda ds: example_picture(load_dataset("rings", n=20), 0),
    "curve": lambda ds: example_picture(load_dataset("sphere", n=20), 0),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_picture_and_a_drawing(finished, name):
    figure = FIGURES[name](finished)
    png = figure_png(figure, dpi=50)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    assert width >= 300
    assert height >= 200
    root = ElementTree.fromstring(figure_svg(figure))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_drawings_hold_the_data(finished):
    """The path of the pNTK's line has a corner per width, and another sweep gives another drawing."""
    drawing = figure_svg(convergence(finished)).decode()
    assert drawing == figure_svg(convergence(finished)).decode()
    assert drawing != figure_svg(convergence(finished.isel(seed=[0]))).decode()
    assert "#0072b2" in drawing


def test_figures_without_data_are_files_too(unstarted):
    assert figure_png(convergence(unstarted), dpi=50).startswith(b"\x89PNG")
    assert figure_png(spectra(unstarted, 64), dpi=50).startswith(b"\x89PNG")


def test_drawing_leaves_the_shared_backends_alone(finished):
    before = hv.Store.current_backend
    figure_png(convergence(finished), dpi=50)
    assert hv.Store.current_backend == before


def test_elements_of_others_are_refused():
    with pytest.raises(InvalidInput, match="Bars"):
        figure_png(hv.Overlay([hv.Bars([("a", 1)])]))


def test_a_report_refers_to_nothing_outside(finished):
    report = html_report(finished)
    tags = re.sub(r"<script\b.*?</script>", "", report, flags=re.S)
    assert not re.findall(r"\b(?:src|href|action|data)\s*=|url\(|@import|https?:", tags)
    assert not re.search(r"<script[^>]*\bsrc", report)
    assert "bokeh-mathjax" not in report


def test_a_report_says_where_it_came_from(finished):
    report = html_report(finished, code="print('how')")
    for part in (
        "Configuration",
        "name: digits",
        "n = 20, c = 4",
        "3 seeds",
        "print(&#x27;how&#x27;)",
        "jax",
        "by hand",
    ):
        assert part in report
    assert finished.attrs["created"] in report


def test_an_unfinished_sweep_has_a_report(ongoing):
    assert "2 of 9 runs" in html_report(ongoing)


@pytest.mark.browser
def test_a_report_opens_offline_scrubs_and_stays_inert(page, tmp_path):
    path = tmp_path / "report.html"
    ds = sweep(n=12, c=3, names=[HOSTILE, "<b>bold</b> $$x$$", '"'])
    path.write_text(html_report(ds, heading=HOSTILE, code=HOSTILE), encoding="utf-8")
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_viewport_size({"width": 1280, "height": 3100})
    page.goto(path.as_uri())
    title = "Bokeh.documents[0]._all_models.values().find(m => m.type == 'Title' && m.text.startsWith('Eigen')).text"
    page.wait_for_function("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
    assert "width 256" in page.evaluate(title)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"!{title}.includes('width 256')")
    page.get_by_role("button", name="Pause").click()
    shown = page.evaluate(title)
    page.wait_for_timeout(1000)
    assert page.evaluate(title) == shown
    # The four figures that stand alone are found first, then those under the slider, the spectrum before the matrix.
    heatmap = page.locator(".bk-Figure").nth(5).bounding_box()
    page.mouse.move(heatmap["x"] + heatmap["width"] / 2, heatmap["y"] + heatmap["height"] / 2)
    tip = page.locator(".bk-Tooltip").last
    tip.wait_for(state="attached")
    assert "(class " in tip.evaluate("element => element.shadowRoot.textContent")
    assert requests == [path.as_uri()]
    assert errors == []
    assert page.title() == HOSTILE
    assert page.locator("img[onerror]").count() == 0
