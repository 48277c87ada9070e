"""The row beside the title: presets, seed, link, export, Explain."""

from __future__ import annotations

import secrets

import panel as pn
import panel_material_ui as pmui

from ntk_explorer.dashboard.exports import export_menu
from ntk_explorer.dashboard.links import to_query
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.dashboard.presets import presets
from ntk_explorer.sweeps.estimate import LARGE

LAST_SEED = 2**31 - 1
WHITE = {
    "color": "white",
    "& .MuiInputLabel-root, & .MuiInputBase-root, & .MuiSvgIcon-root, & .MuiIconButton-root": {"color": "white"},
    "& .MuiOutlinedInput-notchedOutline": {"borderColor": "rgba(255,255,255,.5) !important"},
}
# A page that is not served over https, other than from this machine, may not use the clipboard interface.
COPY = """
const text = %s
const fallback = () => {
  const area = document.createElement('textarea')
  area.value = text; document.body.appendChild(area); area.select()
  document.execCommand('copy'); area.remove()
}
if (navigator.clipboard) { navigator.clipboard.writeText(text).catch(fallback) } else { fallback() }
"""
# After Enter, the number inputs of panel-material-ui ignore what is typed until they are left and entered again.
ENTER = """
if (!window.ntkExplorerEnter) {
  window.ntkExplorerEnter = true
  document.addEventListener('keydown', (event) => {
    const input = event.composedPath()[0]
    if (event.key !== 'Enter' || input.tagName !== 'INPUT') { return }
    setTimeout(() => { input.blur(); setTimeout(() => input.focus(), 30) }, 30)
  })
}
"""


def header(model: ExplorerModel, explain: pmui.Button) -> list:
    """Everything right of the title."""
    return [
        pn.HSpacer(),
        preset_menu(),
        *seed_controls(model),
        copy_button(),
        export_menu(model),
        explain,
    ]


def preset_menu() -> pmui.MenuButton:
    """The presets as links."""
    items = [{"label": preset.title, "href": preset.link, "target": "_self"} for preset in presets()]
    return pmui.MenuButton(label="Presets", items=items, icon="school", variant="text", sx=WHITE, margin=2)


def seed_controls(model: ExplorerModel) -> tuple[pmui.IntInput, pmui.Button]:
    """The seed of all initialisations, and a button that draws another."""
    seed = pmui.IntInput(
        label="seed",
        value=model.state.plan.seed,
        start=0,
        end=LAST_SEED,
        format="0",
        size="small",
        width=128,
        sx=WHITE,
        margin=2,
    )
    fresh = pmui.Button(label="New seed", icon="casino", variant="text", sx=WHITE, margin=2)
    fresh.param.watch(lambda _: seed.param.update(value=secrets.randbelow(10_000)), "clicks")

    def changed(event) -> None:
        # The input's own bounds hold for its arrows, not for what is typed.
        wanted = model.state.plan.seed if event.new is None else min(max(event.new, 0), LAST_SEED)
        if wanted != event.new:
            seed.value = wanted
        elif wanted != model.state.plan.seed:
            draw(wanted)

    def draw(wanted: int) -> None:
        """Compute what the open tab shows with another seed."""
        training = model.training.plan
        if PAGES[model.state.view.tab].extras.get("trains") and training is not None:
            model.training.run(training.model_copy(update={"seed": wanted}), longest=LARGE)
        else:
            model.run(model.state.plan.model_copy(update={"seed": wanted}))

    seed.param.watch(changed, "value")
    model.param.watch(lambda event: seed.param.update(value=event.new.plan.seed), "state")
    return seed, fresh


def copy_button() -> pmui.Button:
    """Copies the address, which always holds the present state."""
    button = pmui.Button(label="Copy link", icon="link", variant="text", sx=WHITE, margin=2)
    button.js_on_click(code=copy_script("window.location.href"))
    return button


def copy_script(expression: str) -> str:
    """JavaScript that copies the text that an expression gives."""
    return COPY % expression


def address_bar(model: ExplorerModel) -> pn.widgets.TextInput:
    """Keeps the browser's address equal to the state, by replacing it: no entry of the history is added.

    The input is invisible; it only carries the query, and a repair of the other inputs, to the browser.
    """
    carrier = pn.widgets.TextInput(value="", visible=False)
    carrier.jscallback(value=ENTER + "window.history.replaceState(null, '', window.location.pathname + cb_obj.value)")

    def refresh(*_) -> None:
        carrier.value = to_query(model.state)

    model.param.watch(refresh, "state")
    pn.state.onload(refresh)
    return carrier
