"""Test examples on which the network, its linearisation and kernel regression disagree, as a table."""

from __future__ import annotations

from typing import Any

from ntk_explorer.dashboard.safe_text import safe_text
from ntk_explorer.dashboard.training_model import TrainingModel
from ntk_explorer.plots import scatter
from ntk_explorer.plots.theme import predictor_style

ROWS = 8


def disagreements(training: TrainingModel) -> str:
    """HTML table of test examples that the predictors disagree on most."""
    if training.drawn is None:
        return ""
    view = training.view
    rows = scatter.disagreements(
        training.result, training.width, view.draw, training.epoch, start=view.start, most=ROWS
    )
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
