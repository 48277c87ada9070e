"""The Export menu: figure, data, page, configuration and code of what is on the screen."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import panel as pn
import panel_material_ui as pmui

from ntk_explorer.plots import FIGURES
from ntk_explorer.sweeps import files
from ntk_explorer.sweeps.code import python_lines

if TYPE_CHECKING:
    from ntk_explorer.dashboard.model import ExplorerModel

DEFAULT = "convergence"  # of tabs without a figure of their own


@dataclass(frozen=True)
class Figure:
    """A tab's main figure: its name in ``FIGURES`` and the arguments that the view gives it."""

    name: str
    choices: dict[str, Any]

    def draw(self, result):
        """The figure of a result, as a notebook would draw it."""
        return FIGURES[self.name](result, **self.choices)


def shown_figure(model: ExplorerModel) -> Figure:
    """The main figure of the open tab."""
    choose = model.figures.get(model.state.view.tab)
    return choose(model) if choose else Figure(DEFAULT, {})


def png(model: ExplorerModel) -> bytes:
    """The open tab's figure as a picture."""
    from ntk_explorer.plots.export import figure_png  # not above: matplotlib is slow to import and seldom needed

    return figure_png(shown_figure(model).draw(model.result))


def svg(model: ExplorerModel) -> bytes:
    """The open tab's figure as a drawing."""
    from ntk_explorer.plots.export import figure_svg

    return figure_svg(shown_figure(model).draw(model.result))


def page(model: ExplorerModel) -> bytes:
    """The sweep as one HTML file that opens without a network."""
    from ntk_explorer.plots.report import html_report

    return html_report(model.result, code=python_lines(model.shown.plan)).encode()


def code(model: ExplorerModel) -> bytes:
    """Python lines that compute the sweep and draw the open tab's figure."""
    figure = shown_figure(model)
    return python_lines(model.shown.plan, figure.name, **figure.choices).encode()


DOWNLOADS: list[tuple[str, str, Callable[[ExplorerModel], bytes]]] = [
    ("Figure (PNG)", "figure.png", png),
    ("Figure (SVG)", "figure.svg", svg),
    ("Data (CSV)", "sweep.csv", lambda model: files.to_csv(model.result)),
    ("Data (NetCDF)", "sweep.nc", lambda model: files.to_netcdf(model.result)),
    ("Page (HTML)", "sweep.html", page),
    ("Configuration (YAML)", "sweep.yaml", lambda model: files.plan_to_yaml(model.shown.plan).encode()),
    ("Python code", "sweep.py", code),
]


def export_menu(model: ExplorerModel) -> pn.Row:
    """A button that opens a list of downloads; each file is made when it is asked for."""
    button = pmui.Button(
        label="Export", icon="download", variant="text", sx={"color": "white"}, margin=2, disabled=True
    )
    popup = pmui.Popup(*(_download(model, *item) for item in DOWNLOADS), open=False)
    button.param.watch(lambda _: popup.param.update(open=True), "clicks")
    model.param.watch(lambda event: button.param.update(disabled=event.new is None), "result")
    return pn.Row(button, popup, margin=0)


def _download(model: ExplorerModel, label: str, filename: str, content) -> pmui.FileDownload:
    return pmui.FileDownload(
        callback=lambda: io.BytesIO(content(model)),
        filename=filename,
        label=label,
        variant="text",
        width=230,
        margin=(0, 8),
    )
