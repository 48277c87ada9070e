"""The Export menu: figure, data, page, configuration and code of what is on the screen."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import panel as pn
import panel_material_ui as pmui

from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.plots import FIGURES
from ntk_explorer.sweeps import files
from ntk_explorer.sweeps.code import python_lines
from ntk_explorer.trajectories.code import trajectory_lines
from ntk_explorer.trajectories.files import to_csv as training_csv

if TYPE_CHECKING:
    from ntk_explorer.dashboard.model import ExplorerModel

DEFAULT = "convergence"  # of tabs without a figure of their own
TRAINING = "learning_curves"


@dataclass(frozen=True)
class Figure:
    """A tab's main figure: its name in ``FIGURES`` and the arguments that the view gives it."""

    name: str
    choices: dict[str, Any]

    def draw(self, result):
        """The figure of a result, as a notebook would draw it."""
        return FIGURES[self.name](result, **self.choices)


def trains(model: ExplorerModel) -> bool:
    """Whether the open tab shows a training."""
    return bool(PAGES[model.state.view.tab].extras.get("trains"))


def shown_result(model: ExplorerModel) -> Any:
    """What the open tab shows: a training, or the sweep."""
    return model.training.result if trains(model) else model.result


def shown_figure(model: ExplorerModel) -> Figure:
    """The main figure of the open tab."""
    choose = model.figures.get(model.state.view.tab)
    return choose(model) if choose else Figure(TRAINING if trains(model) else DEFAULT, {})


def png(model: ExplorerModel) -> bytes:
    """The open tab's figure as a picture."""
    from ntk_explorer.plots.export import figure_png  # not above: matplotlib is slow to import and seldom needed

    return figure_png(shown_figure(model).draw(shown_result(model)))


def svg(model: ExplorerModel) -> bytes:
    """The open tab's figure as a drawing."""
    from ntk_explorer.plots.export import figure_svg

    return figure_svg(shown_figure(model).draw(shown_result(model)))


def page(model: ExplorerModel) -> bytes:
    """What the open tab shows as one HTML file that opens without a network."""
    from ntk_explorer.plots.report import html_report
    from ntk_explorer.plots.training_report import training_report

    result, lines = shown_result(model), lines_of(model)
    if trains(model):
        return training_report(result, width=model.training.width, code=lines).encode()
    return html_report(result, code=lines).encode()


def code(model: ExplorerModel) -> bytes:
    """Python lines that compute what the open tab shows and draw its figure."""
    figure = shown_figure(model)
    return lines_of(model, figure.name, **figure.choices).encode()


def lines_of(model: ExplorerModel, figure: str = "", **choices) -> str:
    """Python lines that compute what the open tab shows and draw a figure of it."""
    return (trajectory_lines if trains(model) else python_lines)(shown_plan(model), figure, **choices)


def shown_plan(model: ExplorerModel) -> Any:
    """The plan behind what the open tab shows."""
    return model.training.drawn if trains(model) else model.shown.plan


def csv(model: ExplorerModel) -> bytes:
    """The curves of what the open tab shows."""
    return (training_csv if trains(model) else files.to_csv)(shown_result(model))


DOWNLOADS: list[tuple[str, str, Callable[[ExplorerModel], bytes]]] = [
    ("Figure (PNG)", "figure.png", png),
    ("Figure (SVG)", "figure.svg", svg),
    ("Data (CSV)", "{}.csv", csv),
    ("Data (NetCDF)", "{}.nc", lambda model: files.to_netcdf(shown_result(model))),
    ("Page (HTML)", "{}.html", page),
    ("Configuration (YAML)", "{}.yaml", lambda model: files.plan_to_yaml(shown_plan(model)).encode()),
    ("Python code", "{}.py", code),
]


def export_menu(model: ExplorerModel) -> pn.Row:
    """A button that opens a list of downloads; each file is made when it is asked for."""
    button = pmui.Button(
        label="Export", icon="download", variant="text", sx={"color": "white"}, margin=2, disabled=True
    )
    popup = pmui.Popup(*(_download(model, *item) for item in DOWNLOADS), open=False)
    button.param.watch(lambda _: popup.param.update(open=True), "clicks")

    def enable(*_) -> None:
        button.disabled = shown_result(model) is None

    model.param.watch(enable, ["result", "state"])
    model.training.param.watch(enable, "result")
    return pn.Row(button, popup, margin=0)


def _download(model: ExplorerModel, label: str, filename: str, content) -> pmui.FileDownload:
    item = pmui.FileDownload(
        callback=lambda: io.BytesIO(content(model)),
        filename=filename,
        label=label,
        variant="text",
        width=230,
        margin=(0, 8),
    )

    def follow(*_) -> None:
        """Files are called after what they hold."""
        item.filename = filename.format("training" if trains(model) else "sweep")

    model.param.watch(follow, "state")
    follow()
    return item
