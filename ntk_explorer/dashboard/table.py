"""The table of what is stored: sorted by a click on a heading, filtered by words, selected by ticks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import panel as pn
from bokeh.models import NumberFormatter

from ntk_explorer.dashboard.holdings import Item
from ntk_explorer.dashboard.shelf import Shelf
from ntk_explorer.plots.theme import kernel_style
from ntk_explorer.sweeps.differences import network_in_words, span
from ntk_explorer.sweeps.kept import StoredSweep
from ntk_explorer.sweeps.kept_grams import StoredGram
from ntk_explorer.trajectories.kept import StoredTrajectory

PAGE = 8
TITLES = {"pinned": "pin", "bytes": "size (MB)", "seconds": "time (s)"}
NUMBERS = {"n": "0", "seeds": "0", "bytes": "0,0.0", "seconds": "0,0.0"}
# Columns and their widths, the most telling first: a narrow page shows as many as fit, and scrolls to the others.
COLUMNS = {
    "pinned": 54, "data": 144, "n": 54, "network": 158, "widths": 90, "contents": 142,
    "created": 144, "seeds": 74, "kernels": 176, "dtype": 84, "bytes": 100, "seconds": 90,
}  # fmt: skip
# Colours of the page round it, light or dark, where Tabulator's own are white.
LOOK = """
.tabulator { font-size: 14px; background: transparent; color: inherit; border: none; }
.tabulator .tabulator-header, .tabulator .tabulator-header .tabulator-col, .tabulator .tabulator-footer,
.tabulator .tabulator-tableholder .tabulator-table, .tabulator-row
  { background: transparent !important; color: inherit !important; }
.tabulator .tabulator-header { border-bottom: 1px solid #8886; font-weight: 500; }
.tabulator-row { border-bottom: 1px solid #8883 !important; min-height: 32px; }
.tabulator-row .tabulator-cell { padding: 5px 0 !important; height: 32px !important; text-overflow: clip; }
.tabulator-row .tabulator-cell[tabulator-field] { padding: 5px 8px !important; text-overflow: ellipsis; }
.tabulator-row:hover { background: #8882 !important; }
.tabulator-row.tabulator-selected { background: #4a90d938 !important; }
.tabulator .tabulator-footer .tabulator-page { color: inherit; background: transparent; border: 1px solid #8886; }
.tabulator .tabulator-footer .tabulator-page.active { color: #4a90d9; border-color: #4a90d9; }
"""


def rows(items: Sequence[Item]) -> pd.DataFrame:
    """One row per stored thing, by key."""
    return pd.DataFrame([_row(item) for item in items], [item.key for item in items], columns=[*COLUMNS])


def matching(table: pd.DataFrame, wanted: str) -> pd.DataFrame:
    """The rows that hold every one of some texts, separated by commas, whatever their case: ``digits, depth 3``."""
    parts = [part.strip() for part in wanted.lower().split(",")]
    texts = (" ".join(map(str, row)).lower() for row in table.itertuples(index=False))
    return table.loc[[all(part in text for part in parts) for text in texts]]


def contents(item: Item) -> str:
    """What is there of it: ``12 cells``, ``7 of 20 cells``, ``training, 100 epochs``, ``60 × 60 matrix``."""
    if isinstance(item, StoredTrajectory):
        part = "" if item.done == item.total else f", {item.done} of {item.total} parts"
        return f"training, {item.plan.training.epochs} epochs{part}"
    if not isinstance(item, StoredSweep):
        return f"{' × '.join(map(str, item.shape))} matrix"
    there = "" if item.done == item.total else f"{item.done} of "
    return f"{there}{item.total} cell" + "s" * (item.total != 1)


def _row(item: Item) -> dict[str, Any]:
    plan, kernels = (
        (item.plan.sweep, (item.plan.kernel,)) if isinstance(item, StoredGram) else (item.plan, item.plan.kernels)
    )
    classes = f", {plan.data.classes} classes" if plan.data.classes else ""
    return {
        "pinned": item.pinned,
        "data": f"{plan.data.name}{classes}",
        "n": plan.data.n,
        "network": network_in_words(plan),
        "widths": span(plan.widths),
        "seeds": plan.seeds,
        "contents": contents(item),
        "created": f"{item.created.astimezone():%Y-%m-%d %H:%M}",
        "kernels": ", ".join(kernel_style(name).label for name in kernels),
        "dtype": plan.dtype,
        "bytes": item.bytes / 1e6,
        "seconds": item.seconds,
    }


def _changes(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, list[tuple[int, Any]]]:
    """Cells of the same rows that differ, by column, as (place, value)."""
    pairs = {name: zip(before[name], after[name], strict=True) for name in COLUMNS}
    changed = {name: [(k, new) for k, (old, new) in enumerate(both) if old != new] for name, both in pairs.items()}
    return {name: cells for name, cells in changed.items() if cells}


class StoredTable(pn.viewable.Viewer):
    """The rows that match the filter; what is ticked is what the shelf has as chosen."""

    def __init__(self, shelf: Shelf, **params):
        """Follow the shelf."""
        super().__init__(**params)
        self._shelf, self._wanted, self._busy = shelf, "", False
        text = {name: {"type": "plaintext"} for name in COLUMNS if name not in NUMBERS and name != "pinned"}
        tick = {"pinned": {"type": "tickCross", "crossElement": False}}
        numbers = {name: NumberFormatter(format=form, text_align="right") for name, form in NUMBERS.items()}
        self._table = pn.widgets.Tabulator(
            rows([]),
            show_index=False,
            disabled=True,  # read, sorted and ticked, not edited
            selectable="checkbox",
            pagination="local",
            page_size=PAGE,
            titles=TITLES,
            widths=COLUMNS,
            formatters=text | tick | numbers,
            layout="fit_data_fill",
            configuration={"placeholder": "No row holds all of this.", "columnDefaults": {"sorter": "alphanum"}},
            sizing_mode="stretch_width",
            stylesheets=[LOOK],
            margin=(0, 12),
        )
        shelf.param.watch(self._show, "contents")
        shelf.param.watch(self._tick, "chosen")
        self._table.param.watch(self._ticked, "selection")
        self._show()

    def filter(self, wanted: str) -> None:
        """Show only some rows; what is hidden is no longer chosen: nothing unseen is deleted."""
        self._wanted = wanted
        self._show()
        self._shelf.choose([key for key in self._shelf.chosen if key in self._table.value.index])

    def _show(self, *_) -> None:
        table, before = matching(rows(self._shelf.items), self._wanted), self._table.value
        if table.index.equals(before.index):  # keeps the reader's place, order and ticks
            if changes := _changes(before, table):
                self._table.patch(changes, as_index=False)
            return
        self._busy = True
        try:
            self._table.selection = []  # first: ticks are places, and would be on other rows for a moment
            self._table.value = table
        finally:
            self._busy = False
        self._tick()

    def _tick(self, *_) -> None:
        index = self._table.value.index
        places = [index.get_loc(key) for key in self._shelf.chosen if key in index]
        if sorted(places) != sorted(self._table.selection):
            self._busy = True
            try:
                self._table.selection = places
            finally:
                self._busy = False

    def _ticked(self, event) -> None:
        if not self._busy:
            index = self._table.value.index
            self._shelf.choose([str(index[place]) for place in event.new])

    def __panel__(self):
        """The table."""
        return self._table
