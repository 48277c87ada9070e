"""The page: header, controls, progress, tabs and the Explain card, put together for one session."""

from __future__ import annotations

from urllib.parse import quote

import panel as pn
import panel_material_ui as pmui
from panel.util.parameters import edit_readonly

from ntk_explorer.dashboard.controls import Controls
from ntk_explorer.dashboard.header import address_bar, header
from ntk_explorer.dashboard.lesson import card
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.dashboard.runbar import Notices, ProgressBar, RunBar
from ntk_explorer.dashboard.training_controls import TrainingControls
from ntk_explorer.registry import Entry
from ntk_explorer.sweeps.estimate import LARGE

BUTTONS = {"button": {"textTransform": "none"}}
THEME = {
    "light": {"palette": {"primary": {"main": "#0b5394"}}, "typography": BUTTONS},
    "dark": {"palette": {"primary": {"main": "#4a90d9"}}, "typography": BUTTONS},
}
HIDE_SECOND_TOGGLE = "button[aria-label$='contextbar'] { display: none; }"  # Explain does the same, by name
_ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='6' fill='#0b5394'/>"
    "<text x='16' y='23' font-size='20' text-anchor='middle' fill='white' font-family='serif'>Θ</text></svg>"
)
FAVICON = "data:image/svg+xml," + quote(_ICON)


class Shell:
    """Everything on the screen of one session; ``page`` is what is served."""

    def __init__(self, model: ExplorerModel, notices: list[str], *, title: str):
        """Build the page round a model; ``notices`` say what of the link was replaced."""
        self.model = model
        view = model.state.view
        self._entries = _ordered()
        self._training: TrainingControls | None = None
        self._controls = Controls(model.state.plan, hide=view.hide)
        self._cards = {e.name: card(e.label, e.extras["lesson"], model, tab=e.name) for e in self._entries}
        names = [entry.name for entry in self._entries]
        # A tab is built when it is first opened and then kept: with dynamic tabs, Bokeh measures figures that are not
        # there yet (an error in the browser), and each visit would draw them again.
        self._places = {name: _place() for name in names}
        self._tabs = pmui.Tabs(
            *((entry.label, self._places[entry.name]) for entry in self._entries),
            active=names.index(view.tab),
            sizing_mode="stretch_both",
        )
        # Of sweeps, and of trainings: the open tab shows one of each pair.
        self._sides = _place(), _place()
        self._bars = _place(ProgressBar(model)), _place(ProgressBar(model.training))
        self._open(view.tab)
        explain = pmui.Button(label="Explain", icon="menu_book", variant="text", sx={"color": "white"}, margin=2)
        self.page = pmui.Page(
            title=title,
            header=header(model, explain),
            sidebar=[*self._sides, self._controls],
            main=[
                pn.Column(
                    *self._bars,
                    Notices(notices),
                    self._tabs,
                    address_bar(model),
                    sizing_mode="stretch_both",
                )
            ],
            contextbar=[pn.Column(self._cards[view.tab], sizing_mode="stretch_width")],
            contextbar_open=view.explain and view.text,
            contextbar_variant="persistent",
            contextbar_width=300,
            sidebar_width=300,
            sidebar_variant="persistent",
            busy_indicator=None,
            theme_config=THEME,
            stylesheets=[HIDE_SECOND_TOGGLE],
            favicon=FAVICON,
        )
        # The page shows no busy indicator; left linked to Panel's, each event of a session would walk over all of the
        # page's models twice, which is most of what a scrub costs the server.
        with edit_readonly(self.page):
            self.page.busy = False
        explain.on_click(lambda _: self._toggle_explain())
        self.page.param.watch(lambda event: model.look(explain=event.new), "contextbar_open")
        self.page.param.watch(lambda event: model.param.update(dark=event.new), "dark_theme")
        self._tabs.param.watch(lambda event: model.look(tab=names[event.new]), "active")
        model.param.watch(self._follow, "state")
        self._shown_tab = view.tab

    def close(self) -> None:
        """The session has ended: leave its work and delete what was uploaded."""
        self.model.close()
        self._controls.upload.close()

    def begin(self) -> None:
        """Compute what the open tab shows, unless that takes long: a link is no agreement to half an hour."""
        (self.model.training if self._trains(self.model.state.view.tab) else self.model).compute(longest=LARGE)

    def _trains(self, tab: str) -> bool:
        return bool(PAGES[tab].extras.get("trains"))

    def _open(self, tab: str) -> None:
        trains = self._trains(tab)
        if not self._sides[trains].objects:  # built when first seen: each asks the worker what its plan would cost
            self._sides[trains][:] = self._training_side() if trains else [RunBar(self.model, self._controls)]
        for k in (False, True):
            self._sides[k].visible = self._bars[k].visible = k == trains
        self._controls.sweeping = not trains
        if not self._places[tab].objects:
            self._places[tab].append(PAGES[tab](self.model))

    def _training_side(self) -> list:
        self._training = TrainingControls(self._controls, self.model.state.training, hide=self.model.state.view.hide)
        return [RunBar(self.model.training, self._training, label="Train"), self._training]

    def _toggle_explain(self) -> None:
        self.page.contextbar_open = not self.page.contextbar_open

    def _follow(self, event) -> None:
        tab = event.new.view.tab
        if tab != self._shown_tab:
            self._shown_tab = tab
            self._open(tab)
            if self.model.status == "idle" and PAGES[tab].extras.get("sweeps", True):
                self.model.compute(longest=LARGE)
            self._tabs.active = list(self._places).index(tab)
            self.page.contextbar[0][:] = [self._cards[tab]]
        if event.new.plan != self._controls.plan and event.new.plan != event.old.plan:
            self._controls.show(event.new.plan)
        if self._training is not None and event.new.training != event.old.training and event.new.trajectory:
            self._training.take(event.new.trajectory)


def _place(*content) -> pn.Column:
    return pn.Column(*content, sizing_mode="stretch_width", margin=0)


def _ordered() -> list[Entry]:
    return sorted(PAGES.values(), key=lambda entry: entry.extras["order"])
