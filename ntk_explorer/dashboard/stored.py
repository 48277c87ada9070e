"""The stored results and what can be done with them: the buttons above the table, and what they say."""

from __future__ import annotations

import io
from collections.abc import Callable

import panel as pn
import panel_material_ui as pmui

from ntk_explorer.amounts import human_bytes
from ntk_explorer.dashboard.holdings import Contents
from ntk_explorer.dashboard.layout import bar, tall
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.runbar import RED
from ntk_explorer.dashboard.safe_text import safe_text
from ntk_explorer.dashboard.shelf import Shelf
from ntk_explorer.dashboard.table import StoredTable

EMPTY = """
<div style="text-align:center; padding:36px 16px; line-height:1.6">
<b style="font-size:17px">Nothing is stored yet</b><br>
Press <b>Run</b> on the left, or choose a card of the <b>Start</b> tab: every network that is computed is kept here.<br>
Then open it again at once, tomorrow too, and lay several sweeps over one another.
</div>
"""
ANOTHER = "Another place: <code>ntk-explorer serve --store ADDRESS</code>; another size: NTK_EXPLORER_STORE_CAP."
HINT = "Tick a sweep or a training to open it, two or more sweeps to compare them. A click on a heading sorts."
MIDDLE = {"align-items": "center", "padding": "0 12px", "max-height": "none"}
LONG = 1000  # characters of a message: it may hold a command


class Stored(pn.viewable.Viewer):
    """Actions, table and a line about the store; read again whenever the tab is opened and a job has ended."""

    def __init__(self, model: ExplorerModel, shelf: Shelf, *, tab: str, **params):
        """Read the store beside the page."""
        super().__init__(**params)
        self._model, self._shelf, self._tab, self._shown = model, shelf, tab, False
        self._buttons = {
            "open": _button("Open", "open_in_new", shelf.open, variant="contained"),
            "compare": _button("Compare", "stacked_line_chart", shelf.compare),
            "pin": _button("Pin", "push_pin", shelf.pin),
            "delete": _button("Delete", "delete", shelf.ask_delete),
            "archive": _button("Export", "archive", lambda: shelf.archive(self._send)),
            "netcdf": _button("NetCDF", "download", lambda: shelf.netcdf(self._send)),
        }
        self._words = pmui.TextInput(label="filter", placeholder="digits, depth 3", size="small", width=170, margin=2)
        refresh = pmui.IconButton(icon="refresh", description="Refresh", size="small", margin=2)
        refresh.on_click(lambda _: shelf.refresh())
        self._said = pn.pane.HTML("", sizing_mode="stretch_width", margin=(2, 8))
        self._about = pn.pane.HTML("", sizing_mode="stretch_width", margin=(6, 14), styles={"opacity": ".8"})
        self._search = pn.Row(self._said, self._words, refresh, sizing_mode="stretch_width", styles=MIDDLE)
        self._table = StoredTable(shelf)
        self._empty = pn.pane.HTML(EMPTY, sizing_mode="stretch_width", visible=False)
        self._row = bar(*self._buttons.values())
        self._rows = tall(self._table, visible=False)
        self._carrier = pmui.FileDownload(callback=None, filename="results.tar", auto=True, visible=False)
        self._words.param.watch(lambda event: self._table.filter(event.new or ""), "value_input")
        shelf.param.watch(self._refresh, ["contents", "chosen", "doing", "note", "problem"])
        model.param.watch(self._follow, "state")
        model.param.watch(self._done, "status")
        self._refresh()
        pn.state.onload(self._follow)  # what is changed before a page is loaded may not reach the browser

    def _follow(self, *_) -> None:
        shown = self._model.state.view.tab == self._tab
        if shown and not self._shown:
            self._shelf.reload()
        self._shown = shown

    def _done(self, *_) -> None:
        """A quick sweep comes and goes between two looks at what runs."""
        if self._shown and not self._model.active:
            self._shelf.reload()

    def _refresh(self, *_) -> None:
        shelf, contents = self._shelf, self._shelf.contents
        selected, sweeps = shelf.selected, shelf.sweeps
        alone = shelf.opened
        possible = {
            "open": alone is not None,
            "compare": sum(sweep.done > 0 for sweep in sweeps) >= 2,
            "pin": bool(selected),
            "delete": bool(selected),
            "archive": bool(selected),
            "netcdf": alone is not None and alone.done > 0,
        }
        for name, button in self._buttons.items():
            button.disabled = bool(shelf.doing) or not possible[name]
        self._buttons["pin"].label = "Unpin" if selected and all(item.pinned for item in selected) else "Pin"
        self._said.object = self._sentence()
        self._said.styles = {"color": RED if shelf.problem else "inherit", "opacity": "1" if shelf.problem else ".8"}
        self._empty.visible = contents is not None and not contents.items
        for part in (self._row, self._words, self._rows):
            part.visible = bool(shelf.items)
        self._about.object = "" if contents is None else _about(self._model.store.address, contents)

    def _sentence(self) -> str:
        shelf = self._shelf
        if told := shelf.problem or shelf.doing or shelf.note:
            return safe_text(told, longest=LONG)
        if selected := shelf.selected:
            size = sum(item.bytes for item in selected)
            return f"{len(selected)} selected, {human_bytes(size)}."
        return HINT if self._model.state.view.text and shelf.items else ""

    def _send(self, name: str, content: bytes) -> None:
        """Have the browser save a file."""
        self._carrier.data = None  # the same file again would be no change, and nothing would be saved
        self._carrier.param.update(filename=name, file=io.BytesIO(content))
        self._carrier.transfer(download=True)
        self._shelf.note = f"{name}: {human_bytes(len(content))}."

    def __panel__(self):
        """Buttons, messages, table and the line about the store."""
        return tall(
            self._row, self._search, self._empty, self._rows, self._about, self._carrier, _Confirmation(self._shelf)
        )


class _Confirmation(pn.viewable.Viewer):
    """Asks once before anything is deleted, and says what will be lost."""

    def __init__(self, shelf: Shelf, **params):
        super().__init__(**params)
        self._text = pn.pane.HTML("", sizing_mode="stretch_width")
        yes = pmui.Button(label="Delete", color="error", variant="contained")
        no = pmui.Button(label="Keep", variant="outlined")
        yes.on_click(lambda _: shelf.delete())
        no.on_click(lambda _: setattr(shelf, "doomed", None))
        self._dialog = pmui.Dialog(self._text, pn.Row(yes, no), title="Delete?", title_variant="h6", open=False)
        self._dialog.param.watch(lambda event: event.new or setattr(shelf, "doomed", None), "open")
        shelf.param.watch(self._show, "doomed")

    def _show(self, event) -> None:
        if event.new is not None:
            self._text.object = safe_text(event.new.text)
        self._dialog.open = event.new is not None

    def __panel__(self):
        """The dialog, closed."""
        return self._dialog


def _about(address: str, contents: Contents) -> str:
    usage = contents.usage
    limit = f" of at most {human_bytes(usage.cap)}" if usage.enforced else ""
    line = (
        f"Store: <code>{safe_text(address)}</code>, {human_bytes(usage.bytes)}{limit} in "
        f"{usage.artefacts} artefacts. {ANOTHER}"
    )
    if contents.others:
        line += f" <br>{contents.others} made by another version or plugin: see <code>ntk-explorer store ls</code>."
    if contents.quarantined:
        line += f" <br>Damaged and set aside: {contents.quarantined}; computed again when a sweep needs it."
    return line


def _button(label: str, icon: str, action: Callable[[], None], variant: str = "outlined") -> pmui.Button:
    button = pmui.Button(label=label, icon=icon, size="small", variant=variant, disabled=True, margin=2)
    button.on_click(lambda _: action())
    return button
