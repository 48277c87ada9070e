"""Run, Stop and what is known about the work: cost before, progress during, and what went wrong."""

from __future__ import annotations

from typing import Any, Protocol

import panel as pn
import panel_material_ui as pmui

from ntk_explorer.dashboard.job_model import JobModel
from ntk_explorer.dashboard.safe_text import safe_text
from ntk_explorer.sweeps.estimate import LARGE, human_seconds

DEBOUNCE = 300  # ms between the last change of a control and the question what it would cost
RED = "#d93636"  # legible on white and on black


class Planned(Protocol):
    """Controls: ``plan`` is what they say, or None while ``problem`` says why there is none."""

    plan: Any
    problem: Any
    param: Any


class RunBar(pn.viewable.Viewer):
    """Run, with the estimate beside it.

    What cannot be run says why and cannot be started; what takes long is started after a question.
    """

    def __init__(self, model: JobModel, controls: Planned, *, label: str = "Run", **params):
        """Watch the controls and ask the worker what their plan would cost."""
        super().__init__(**params)
        self._model, self._controls, self._asked, self._label = model, controls, 0, label
        self._button = pmui.Button(label=label, icon="play_arrow", color="primary", variant="contained", width=110)
        self._button.on_click(lambda _: self._ask_or_run())
        self._line = pn.pane.HTML("", sizing_mode="stretch_width", margin=(10, 8))
        self._problem = pn.pane.HTML(
            "", visible=False, sizing_mode="stretch_width", styles={"color": RED}, margin=(4, 8)
        )
        yes = pmui.Button(label="Start", size="small", color="primary", variant="contained", margin=(2, 4))
        no = pmui.Button(label="Not now", size="small", variant="outlined", margin=(2, 4))
        yes.on_click(lambda _: self._run())
        no.on_click(lambda _: setattr(self._question, "visible", False))
        self._cost = pn.pane.HTML("", sizing_mode="stretch_width", margin=(2, 4))
        self._question = pn.Column(
            self._cost, pn.Row(yes, no), visible=False, sizing_mode="stretch_width", margin=(0, 4)
        )
        controls.param.watch(self._changed, "plan")
        controls.param.watch(self._refresh, "problem")
        model.param.watch(self._refresh, ["estimate", "refusal", "status", "state"])
        model.param.watch(self._finished, "status")
        self._changed()

    def _finished(self, event) -> None:
        """What was computed since costs nothing any more."""
        if event.new == "done":
            self._ask(self._asked)

    def _ask_or_run(self) -> None:
        estimate = self._model.estimate
        if estimate is not None and estimate["seconds"] > LARGE:
            self._cost.object = f"This takes <b>{safe_text(estimate['text'])}</b>. Start?"
            self._question.visible = True
        else:
            self._run()

    def _run(self) -> None:
        self._question.visible = False
        if self._controls.plan is not None:
            self._model.run(self._controls.plan)

    def _changed(self, *_) -> None:
        self._question.visible = False
        self._model.estimate = None  # it was that of another plan
        self._refresh()
        if self._controls.plan is None:
            return
        self._asked += 1
        asked = self._asked
        if pn.state.curdoc is None:
            self._ask(asked)
        else:
            pn.state.curdoc.add_timeout_callback(lambda: self._ask(asked), DEBOUNCE)

    def _ask(self, asked: int) -> None:
        if asked == self._asked and self._controls.plan is not None:
            self._model.ask_estimate(self._controls.plan)

    def _refresh(self, *_) -> None:
        model, problem = self._model, self._controls.problem or self._model.refusal
        same = self._controls.plan == model.plan
        self._button.disabled = bool(problem) or (same and model.active)
        self._problem.param.update(object=safe_text(problem), visible=bool(problem))
        if problem:
            self._line.object = ""
        elif model.estimate is None:
            self._line.object = "<span style='opacity:.6'>estimating …</span>"
        else:
            changed = "" if same else f"<br><b>changed: press {self._label}</b>"
            self._line.object = safe_text(model.estimate["text"]) + changed

    def __panel__(self):
        """Button and line in a row, a question or a problem below."""
        row = pn.Row(self._button, self._line, sizing_mode="stretch_width")
        return pn.Column(row, self._question, self._problem, sizing_mode="stretch_width", margin=(8, 4, 0, 4))


class ProgressBar(pn.viewable.Viewer):
    """A thin bar with the step, the seconds left and Stop; only a long message makes it taller."""

    def __init__(self, model: JobModel, **params):
        """Follow the model's status."""
        super().__init__(**params)
        self._model = model
        self._bar = pmui.LinearProgress(value=0, variant="determinate", sizing_mode="stretch_width", margin=0)
        self._text = pn.pane.HTML("", sizing_mode="stretch_width", margin=(6, 12))
        self._stop = pmui.Button(
            label="Stop", icon="stop", size="small", variant="outlined", color="error", margin=(2, 8)
        )
        self._retry = pmui.Button(label="Retry", icon="refresh", size="small", variant="outlined", margin=(2, 8))
        self._stop.on_click(lambda _: model.stop())
        self._retry.on_click(lambda _: model.compute())
        model.param.watch(self._refresh, ["status", "step", "seconds_left", "message", "ahead", "result"])
        self._refresh()

    def _refresh(self, *_) -> None:
        model = self._model
        self._stop.visible = model.active
        self._retry.visible = model.status in ("failed", "cancelled")
        self._bar.value = 100 * model.step / max(model.total, 1)
        self._text.object = safe_text(self._sentence())
        self._text.styles = {"color": RED if model.status == "failed" else "inherit"}

    def _sentence(self) -> str:
        model = self._model
        left = "" if model.seconds_left is None else f" · about {human_seconds(model.seconds_left)} left"
        return {
            "idle": "",
            "queued": f"Waiting for the worker{f', {model.ahead} before this one' if model.ahead else ''} …",
            "running": f"{model.doing}{left}",
            "done": f"Finished: {model.done}. {model.message}",
            "cancelled": f"Stopped after {model.step} of {model.total}. What was finished is kept.",
            "failed": model.message,
        }[model.status]

    def __panel__(self):
        """The bar over its text and buttons."""
        row = pn.Row(self._text, self._retry, self._stop, sizing_mode="stretch_width", min_height=38)
        return pn.Column(self._bar, row, sizing_mode="stretch_width", margin=0)


class Notices(pn.viewable.Viewer):
    """What of the link could not be used, until it is dismissed."""

    def __init__(self, notices: list[str], **params):
        """Escape every notice: each quotes a stranger's link."""
        super().__init__(**params)
        lines = "".join(f"<li>{safe_text(notice)}</li>" for notice in notices)
        text = pn.pane.HTML(
            f"<b>Parts of this link were replaced</b><ul style='margin:4px 0'>{lines}</ul>", sizing_mode="stretch_width"
        )
        close = pmui.IconButton(icon="close", description="Dismiss", size="small")
        box = {"background": "#fff4e5", "color": "#663c00", "border-radius": "6px"}
        self._row = pn.Row(text, close, visible=bool(notices), styles=box, sizing_mode="stretch_width", margin=(0, 12))
        close.param.watch(lambda _: self._row.param.update(visible=False), "clicks")

    def __panel__(self):
        """The box, or nothing."""
        return self._row
