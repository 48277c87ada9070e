"""What computes a stored result again: a line for the shell, Python lines or a YAML file, to be copied."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import panel as pn
import panel_material_ui as pmui

from ntk_explorer.dashboard.header import copy_script
from ntk_explorer.dashboard.holdings import Item
from ntk_explorer.dashboard.layout import tall
from ntk_explorer.dashboard.safe_text import safe_text
from ntk_explorer.dashboard.shelf import Shelf
from ntk_explorer.store.addresses import own_folder
from ntk_explorer.sweeps.code import command_line, gram_lines, python_lines
from ntk_explorer.sweeps.files import plan_to_yaml
from ntk_explorer.sweeps.kept_grams import StoredGram
from ntk_explorer.sweeps.plan import NetworksPlan
from ntk_explorer.trajectories.code import trajectory_command, trajectory_lines
from ntk_explorer.trajectories.kept import StoredTrajectory

CODE_CSS = """
pre { margin: 0; padding: 10px 12px; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere;
      font-size: 13px; line-height: 1.45; border: 1px solid #8885; border-radius: 6px; max-height: 320px; }
pre span { white-space: nowrap; }
"""
LONGEST = 20_000  # characters
YOUR_FILE = "your-file.npz"

P = TypeVar("P", bound=NetworksPlan)


def ways(item: Item, store: str | None) -> dict[str, str]:
    """Texts that compute an item again, or find it in a store that is not the user's own, by the name of the way."""
    if isinstance(item, StoredGram):
        return {"Python": gram_lines(item.plan, store=store)}
    if isinstance(item, StoredTrajectory):
        plan = _without_lost_file(item.plan)
        yaml = f"# Save as training.yaml, then: ntk-explorer train --config training.yaml\n{plan_to_yaml(plan)}"
        lines = trajectory_lines(plan, store=store)
        return {"Command": trajectory_command(plan, store=store) + "\n", "Python": lines, "YAML": yaml}
    plan = _without_lost_file(item.plan)
    yaml = f"# Save as sweep.yaml, then: ntk-explorer sweep --config sweep.yaml\n{plan_to_yaml(plan)}"
    return {"Command": command_line(plan, store=store) + "\n", "Python": python_lines(plan, store=store), "YAML": yaml}


def _without_lost_file(plan: P) -> P:
    """The plan with a name in place of an uploaded file that is no longer here."""
    if plan.data.path is None or Path(plan.data.path).exists():
        return plan
    return plan.model_copy(update={"data": plan.data.model_copy(update={"path": YOUR_FILE})})


class Reproduce(pn.viewable.Viewer):
    """The texts of the one item that is selected; hidden while none or several are."""

    def __init__(self, shelf: Shelf, **params):
        """Follow the selection."""
        super().__init__(**params)
        self._shelf = shelf
        self._way = pmui.RadioButtonGroup(options=["Command", "Python", "YAML"], value="Command", size="small")
        self._text = pn.pane.HTML("", stylesheets=[CODE_CSS], sizing_mode="stretch_width", margin=(6, 12))
        self._carrier = pn.widgets.TextAreaInput(visible=False, max_length=LONGEST)
        copy = pmui.Button(label="Copy", icon="content_copy", size="small", variant="outlined")
        copy.js_on_click(args={"carrier": self._carrier}, code=copy_script("carrier.value"))
        self._title = pn.pane.HTML("", margin=(8, 0, 0, 12))
        head = pn.Row(self._title, self._way, copy, styles={"flex-wrap": "wrap", "align-items": "center", "gap": "8px"})
        self._place = tall(head, self._text, self._carrier, visible=False)
        self._way.param.watch(self._write, "value")
        shelf.param.watch(self._show, ["chosen", "contents"])

    def _show(self, *_) -> None:
        selected = self._shelf.selected
        self._place.visible = len(selected) == 1
        if self._place.visible:
            self._way.options = list(self._ways())
            if self._way.value not in self._way.options:
                self._way.value = self._way.options[0]
            self._title.object = "<b>Compute it again</b>"
            self._write()

    def _ways(self) -> dict[str, str]:
        address = self._shelf.address
        return ways(self._shelf.selected[0], None if address == own_folder() else address)

    def _write(self, *_) -> None:
        if len(self._shelf.selected) == 1:
            text = self._ways().get(self._way.value, "")
            self._carrier.value = text
            shown = safe_text(text, longest=LONGEST)
            if self._way.value == "Command":  # browsers would break a line behind the hyphens of an option
                shown = " ".join(f"<span>{word}</span>" for word in shown.split(" "))
            self._text.object = f"<pre>{shown}</pre>"

    def __panel__(self):
        """The texts, or nothing."""
        return self._place
