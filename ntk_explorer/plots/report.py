"""A sweep as one HTML file: figures, a slider through the widths and the record; it opens without a network."""

from __future__ import annotations

import html
import json
from importlib.metadata import version
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr
import yaml
from bokeh.embed import components
from bokeh.layouts import column, row
from bokeh.model import Model
from bokeh.models import Button, CategoricalSlider, CustomJS
from bokeh.resources import Resources

from ntk_explorer.plots import captions
from ntk_explorer.plots.matrices import error_heatmap, kernel_heatmap
from ntk_explorer.plots.spectrum import spectra
from ntk_explorer.plots.width import condition_numbers, convergence, distance_to_limit, missing_limit

HEIGHT = 460
# Larger matrices would make a file of many megabytes, one picture per width.
MOST_EXAMPLES = 128

_SHOW = """
const k = names.indexOf(slider.value);
sources.forEach((source, s) => { source.data = states[k].data[s]; });
figures.forEach((figure, f) => { figure.title.text = states[k].titles[f]; });
mappers.forEach((mapper, m) => { [mapper.low, mapper.high] = states[k].colours[m]; });
"""
_PLAY = """
if (window.playing) { clearInterval(window.playing); window.playing = null; button.label = "▶ Play"; return; }
button.label = "❚❚ Pause";
window.playing = setInterval(() => {
  slider.value = names[(names.indexOf(slider.value) + 1) % names.length];
}, 800);
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{heading}</title>
<style>
  body {{ font-family: system-ui, sans-serif; max-width: 1160px; margin: 24px auto; padding: 0 16px; color: #222; }}
  pre {{ background: #f5f5f5; padding: 12px; overflow-x: auto; font-size: 14px; }}
  footer {{ color: #555; font-size: 14px; border-top: 1px solid #ddd; margin-top: 24px; }}
</style>
<script>{library}</script>
</head>
<body>
<h1>{heading}</h1>
<p>{setup}</p>
{figures}
<h2>Configuration</h2>
<pre>{configuration}</pre>
{code}
<footer><p>{record}</p></footer>
{script}
</body>
</html>
"""


def html_report(ds: xr.Dataset, *, heading: str = "Kernels against width", code: str = "") -> str:
    """The figures of a sweep, its configuration and where it came from, in one file without outside references.

    Args:
        ds: a sweep, finished or not.
        heading: the title of the page.
        code: Python lines to print, for instance those that compute the sweep again.

    Returns:
        The text of the HTML file, about 2 MB, most of it the Bokeh library.
    """
    figures = [convergence(ds), convergence(ds, "largest_eigenvalue_error"), condition_numbers(ds)]
    figures += [] if missing_limit(ds) else [distance_to_limit(ds)]
    widths = [int(width) for width in ds["width"].values]
    parts = [model(figure) for figure in figures]
    parts.insert(1, scrubbed("width", widths, [_at(ds, width) for width in widths]))
    return page(ds, parts, heading=heading, setup=f"{captions.setup(ds)} · {captions.runs(ds)}", code=code)


def page(ds: xr.Dataset, parts: list[Model], *, heading: str, setup: str, code: str) -> str:
    """The HTML file of some Bokeh models, with the plan and the record of the results."""
    script, places = components(parts, wrap_script=True)
    texts = {
        "heading": heading,
        "setup": setup,
        "configuration": yaml.safe_dump(json.loads(ds.attrs["plan"]), sort_keys=False, allow_unicode=True),
        "record": _record(ds),
    }
    return _PAGE.format(
        **{name: html.escape(text) for name, text in texts.items()},
        code=f"<h2>Python</h2>\n<pre>{html.escape(code)}</pre>" if code else "",
        figures="\n".join(places),
        script=script,
        # Not Bokeh's own page template: that one also asks for the files of every extension that happens to be loaded.
        library="\n".join(Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).js_raw),
    )


def scrubbed(what: str, places: list[int], states: list[list[hv.Overlay]]) -> Model:
    """Figures with a slider through their states that needs no server; at first they show the last state.

    Args:
        what: the slider moves through.
        places: its values.
        states: the same figures at each of them; the first stands above the others.
    """
    drawn, names = [[model(figure) for figure in figures] for figures in states], [str(place) for place in places]
    shown = drawn[-1]
    slider = CategoricalSlider(categories=names, value=names[-1], title=what, width=400)
    button = Button(label="▶ Play", width=90)
    things = {
        "slider": slider,
        "names": names,
        "sources": [renderer.data_source for figure in shown for renderer in figure.renderers],
        "figures": shown,
        "mappers": _mappers(shown),
        "states": [_state(figures) for figures in drawn],
    }
    slider.js_on_change("value", CustomJS(args=things, code=_SHOW))
    button.js_on_click(CustomJS(args={"slider": slider, "button": button, "names": names}, code=_PLAY))
    first, *others = shown
    return column(row(slider, button), first, row(*others), sizing_mode="stretch_width")


def _at(ds: xr.Dataset, width: int) -> list[hv.Overlay]:
    figures = [spectra(ds, width)]
    if captions.counts(ds)[0] <= MOST_EXAMPLES:
        kernel = str(ds["compared"].values[0])
        figures += [kernel_heatmap(ds, "entk", width), error_heatmap(ds, kernel, width)]
    return figures


def _state(figures: list) -> dict:
    """What differs from width to width: the columns of all sources, the titles and the colour ranges."""
    return {
        "data": [
            {name: _narrow(values) for name, values in renderer.data_source.data.items()}
            for figure in figures
            for renderer in figure.renderers
        ],
        "titles": [figure.title.text for figure in figures],
        "colours": [[mapper.low, mapper.high] for mapper in _mappers(figures)],
    }


def _narrow(values):
    """Screens need no float64: half the bytes."""
    values = np.asarray(values) if not isinstance(values, list) else values
    return values.astype(np.float32) if isinstance(values, np.ndarray) and values.dtype == np.float64 else values


def _mappers(figures: list) -> list:
    return [r.glyph.color_mapper for figure in figures for r in figure.renderers if hasattr(r.glyph, "color_mapper")]


def model(figure: hv.Overlay) -> Any:
    """The Bokeh model of a figure, as wide as the page unless it has a size of its own."""
    drawn = hv.renderer("bokeh").get_plot(figure).state
    if not drawn.frame_width:
        drawn.update(sizing_mode="stretch_width", height=HEIGHT)
    return drawn


def _record(ds: xr.Dataset) -> str:
    versions = json.loads(ds.attrs.get("versions", "{}")) | {
        "bokeh": version("bokeh"),
        "holoviews": version("holoviews"),
    }
    facts = [f"computed {ds.attrs['created']}"] if "created" in ds.attrs else []
    facts += [f"on {ds.attrs['device']}"] if ds.attrs.get("device") else []
    facts += [f"in {ds.attrs['dtype']}"] if "dtype" in ds.attrs else []
    return " ".join(facts) + " with " + ", ".join(f"{name} {number}" for name, number in versions.items())
