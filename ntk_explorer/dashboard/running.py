"""What the server's worker does and what waits for it, from whichever session."""

from __future__ import annotations

import time
from collections.abc import Callable

import panel as pn
import panel_material_ui as pmui

from ntk_explorer.dashboard.job_model import JobModel
from ntk_explorer.dashboard.layout import tall
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.safe_text import safe_text
from ntk_explorer.jobs.worker import JobState
from ntk_explorer.sweeps.estimate import human_seconds

PERIOD = 1000  # ms between two looks, while somebody looks
WHILE = 4.0  # seconds between two readings of the store as results come
NOTHING = "Nothing is running. What any page of this server computes is shown here while it runs."
# A lesson must not depend on who presses what: nobody can end another person's work.
WHOSE = "Only who started a job can stop it. A job ends by itself when nobody waits for it any more."


class RunningNow(pn.viewable.Viewer):
    """One line per job, refreshed while the tab is open; a Stop on the session's own job."""

    def __init__(self, model: ExplorerModel, *, tab: str, changed: Callable[[], None], **params):
        """``changed`` is called when a job has gone or brought its first results, and now and then as they come."""
        super().__init__(**params)
        self._model, self._tab, self._changed = model, tab, changed
        self._lines: dict[str, _Line] = {}
        self._steps: dict[str, int] = {}  # results of each job when it was last told of
        self._told = 0.0
        self._empty = pn.pane.HTML(f"<span style='opacity:.75'>{NOTHING}</span>", margin=(4, 12))
        self._hint = pn.pane.HTML(f"<span style='opacity:.75'>{WHOSE}</span>", visible=False, margin=(4, 12))
        self._place = tall()
        self._clock = pn.state.add_periodic_callback(self.refresh, PERIOD, start=False) if pn.state.curdoc else None
        model.param.watch(self._follow, ["state", "status"])
        model.training.param.watch(self._follow, "status")
        pn.state.onload(self._follow)  # what is changed before a page is loaded may not reach the browser

    def _follow(self, *_) -> None:
        """Look now, and go on looking, while the tab is open."""
        shown = self._model.state.view.tab == self._tab
        if self._clock is not None and shown != self._clock.running:
            (self._clock.start if shown else self._clock.stop)()
        if shown:
            self.refresh()

    def refresh(self) -> None:
        """Take over the worker's list; what has not changed is left alone."""
        jobs = self._model.worker.jobs()
        gone = self._lines.keys() - {job.key for job in jobs}
        new = {job.key for job in jobs} - self._lines.keys()
        for key in gone:
            del self._lines[key]
        for job in jobs:
            line = self._lines.setdefault(job.key, _Line(self._model, job.key))
            line.show(job, own=self._is_own(job))
        if gone or new or not self._place.objects:
            self._place[:] = [*(self._lines[job.key].row for job in jobs), self._hint if jobs else self._empty]
        self._hint.visible = not all(self._is_own(job) for job in jobs)
        self._tell({job.key: job.last.get("step", 0) for job in jobs})

    def _tell(self, steps: dict[str, int]) -> None:
        """Say that results have come: the first ones and the end at once, others after a while."""
        begun = {key for key, step in steps.items() if step}
        news = begun != {key for key, step in self._steps.items() if step} or self._steps.keys() - steps.keys()
        if news or (steps != self._steps and time.monotonic() > self._told + WHILE):
            self._steps, self._told = steps, time.monotonic()
            self._changed()

    def _is_own(self, job: JobState) -> bool:
        return _owner(self._model, job.key) is not None

    def __panel__(self):
        """The lines, or a sentence that there are none."""
        return self._place


def _owner(session: ExplorerModel, key: str) -> JobModel | None:
    """What of a session started a job: its sweep or its training."""
    return next((model for model in (session, session.training) if model.owns(key)), None)


class _Line:
    """One job: what it is, how far it has come, and Stop."""

    def __init__(self, session: ExplorerModel, key: str):
        self._label = pn.pane.HTML("", sizing_mode="stretch_width", margin=(6, 12, 0, 12))
        self._bar = pmui.LinearProgress(value=0, variant="determinate", sizing_mode="stretch_width", margin=(4, 12))
        self._stop = pmui.Button(
            label="Stop", icon="stop", size="small", variant="outlined", color="error", margin=(6, 8)
        )
        self._stop.on_click(lambda _: (owner := _owner(session, key)) and owner.stop())
        words = pn.Column(self._label, self._bar, sizing_mode="stretch_width", margin=0)
        self.row = pn.Row(words, self._stop, sizing_mode="stretch_width", margin=0)

    def show(self, job: JobState, *, own: bool) -> None:
        step, total = job.last.get("step", 0), job.last.get("total", 0)
        self._stop.visible = own
        self._bar.value = int(100 * step / total) if total else 0
        whose = " <b>(yours)</b>" if own else ""
        self._label.object = f"<b>{safe_text(job.label, longest=120)}</b>{whose} · {_progress(job, step, total)}"


def _progress(job: JobState, step: int, total: int) -> str:
    """How far a job is, in words."""
    waiting = f" · {job.subscribers} pages wait for it" if job.subscribers > 1 else ""
    if job.position:
        return f"waits, {job.position} before it{waiting}"
    left = job.last.get("seconds_left")
    time = f"{human_seconds(job.seconds)} so far" if left is None else f"about {human_seconds(left)} left"
    return f"{f'{step} of {total}' if total else 'preparing'} · {time}{waiting}"
