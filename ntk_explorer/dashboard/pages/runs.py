"""Runs: what is computed now, what has been, and several sweeps in one figure."""

from __future__ import annotations

import panel as pn

from ntk_explorer.dashboard.compared import Compared
from ntk_explorer.dashboard.layout import tall
from ntk_explorer.dashboard.lesson import Lesson
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.dashboard.reproduce import Reproduce
from ntk_explorer.dashboard.running import RunningNow
from ntk_explorer.dashboard.shelf import Shelf
from ntk_explorer.dashboard.stored import Stored

LESSON = Lesson(
    text="Every network that is computed is kept under a key: a fingerprint of everything its numbers depend on, and "
    "of nothing else. The same question therefore has the same key, and its answer is found instead of computed. "
    "More widths or seeds are new questions for the new networks only.",
    formula=r"\text{key} = \text{SHA-256}\big(\text{network},\ \text{data},\ \dots\big)",
    try_this="Tick two sweeps that differ in depth and press Compare. Guess first which curve lies higher.",
    notice="Compare has one colour per sweep and one kind of line per kernel; its legend names only what differs. "
    "A sweep that was stopped says how many of its networks are there; Open computes the others.",
    numbers=lambda _model: [],
)


@PAGES.register("runs", label="Runs", order=8, lesson=LESSON)
def page(model: ExplorerModel) -> pn.viewable.Viewable:
    """Running jobs, the table of stored results with its actions, and the comparison."""
    shelf = Shelf(model)
    # The comparison stands above the table, where it is seen as soon as it is asked for.
    return tall(
        RunningNow(model, tab="runs", changed=shelf.reload),
        Compared(model, shelf),
        Stored(model, shelf, tab="runs"),
        Reproduce(shelf),
    )
