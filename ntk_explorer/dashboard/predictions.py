"""What the network, its linearisation and kernel regression say of the same test points, drawn as the data allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn

from ntk_explorer.dashboard.layout import side_by_side, table, tall
from ntk_explorer.dashboard.pictures import Picture
from ntk_explorer.dashboard.safe_text import safe_text
from ntk_explorer.dashboard.training_model import TrainingModel
from ntk_explorer.plots import functions, predictors, scatter, surfaces
from ntk_explorer.plots.theme import predictor_style

SURFACE, CLOUD = (320, 372), (420, 430)


class Predictions(pn.viewable.Viewer):
    """Curves of one input, decision surfaces of two, else outputs against one another and the examples in dispute."""

    def __init__(self, training: TrainingModel, *, tab: str, **params):
        """Follow the result: what can be drawn is known with the data."""
        super().__init__(**params)
        self._training, self._tab = training, tab
        self._kind: tuple = ()
        self._place = tall()
        training.param.watch(self._follow, "result")
        self._follow()

    def _follow(self, *_) -> None:
        result = self._training.result
        if result is None:
            return
        features = result.sizes.get("feature", 0) if "grid_input" in result.coords else 0
        kind = (features, *predictors.names(result))
        if kind != self._kind:
            self._kind = kind
            self._place[:] = {1: self._curves, 2: self._surfaces}.get(features, self._clouds)(kind[1:])

    def _curves(self, _names) -> list:
        return [self._picture(functions, "prediction_curves", height=470)]

    def _surfaces(self, names) -> list:
        shown = [self._picture(surfaces, "decision_surface", lambda _, who=who: (who,), size=SURFACE) for who in names]
        return [side_by_side(*shown)]

    def _clouds(self, names) -> list:
        kernel = self._picture(scatter, "output_scatter", lambda m: (m.kernel,), size=CLOUD)
        linear = [self._picture(scatter, "output_scatter", lambda _: ("linearised",), size=CLOUD)]
        disputed = table(self._training, disagreements, tab=self._tab)
        return [side_by_side(kernel, *linear * ("linearised" in names)), disputed]

    def _picture(self, module, name: str, first: Callable[[TrainingModel], tuple] = lambda _: (), **options) -> Picture:
        """A figure of plots at the epoch that is looked at; ``first`` are its arguments before the place."""

        def chosen(draw: Callable) -> Callable:
            return lambda m: draw(m.result, *first(m), m.width, m.view.draw, m.epoch, start=m.view.start)

        return Picture(
            self._training,
            chosen(getattr(module, name)),
            columns=chosen(getattr(module, f"{name}_columns")),
            tab=self._tab,
            key=lambda m: (m.epoch, m.width, m.view),
            frame=lambda m: (m.width, m.view.draw, m.view.start, first(m)),
            **options,
        )

    def __panel__(self):
        """The figures, or nothing before there is a result."""
        return self._place


def disagreements(training: TrainingModel) -> str:
    """HTML table of test examples that the predictors disagree on most."""
    if training.drawn is None:
        return ""
    view = training.view
    rows = scatter.disagreements(training.result, training.width, view.draw, training.epoch, start=view.start)
    if not rows:
        return ""
    names = [name for name in rows[0] if name not in ("row", "example", "target")]
    head = "".join(f"<th>{safe_text(title)}</th>" for title in ("true", *map(_label, names)))
    body = "".join(_row(row, names) for row in rows)
    caption = f"Test examples on which predictors disagree, epoch {training.epoch}"
    return f'<table class="summary"><caption>{caption}</caption><tr><th>test example</th>{head}</tr>{body}</table>'


def _label(name: str) -> str:
    return predictor_style(name).label


def _row(row: dict[str, Any], names: list[str]) -> str:
    cells = "".join(_cell(row[name], row["target"]) for name in names)
    return f"<tr><th>{safe_text(row['example'])}</th><td><b>{safe_text(row['target'])}</b></td>{cells}</tr>"


def _cell(value: Any, target: Any) -> str:
    """What a predictor says, faint where it is right."""
    return f"<td{' style=opacity:.5' if value == target else ''}>{safe_text(value)}</td>"
