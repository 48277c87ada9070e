"""The left side of the page on the Training tab: how to train, what to look at on the way, and the plan they make."""

from __future__ import annotations

from typing import Any

import panel as pn
import param
from pydantic import ValidationError

from ntk_explorer.dashboard.controls import Controls, group, labels
from ntk_explorer.dashboard.forms import FieldGroup
from ntk_explorer.dashboard.training_state import OPTIONS, TrainingOptions, options_of, trajectory_of
from ntk_explorer.errors import NTKExplorerError, explain_validation
from ntk_explorer.kernels import KERNELS, incomparable
from ntk_explorer.training import OPTIMIZERS, SCHEDULES
from ntk_explorer.training.config import TrainingConfig
from ntk_explorer.trajectories.plan import TrajectoryPlan


class TrainingControls(pn.viewable.Viewer):
    """Widgets for one training, of the data and network that the other controls describe."""

    plan = param.ClassSelector(class_=TrajectoryPlan, doc="the training that the widgets describe")
    problem = param.String(default="", doc="why there is no plan, in words")

    def __init__(self, controls: Controls, options: Any, *, hide: tuple[str, ...] = (), **params):
        """Start from options; ``hide`` may name the group ``training``."""
        super().__init__(**params)
        self._controls, self._hide, self._preset, self._busy = controls, hide, options, False
        choices = {"optimizer": labels(OPTIMIZERS), "schedule": labels(SCHEDULES)}
        followed = {entry.label: name for name, entry in KERNELS.items() if name == "entk" or not incomparable(entry)}
        self._training = FieldGroup(TrainingConfig, choices=choices)
        self._rest = FieldGroup(TrainingOptions, leave_out=("training",), choices={"kernels": followed})
        self.show(options)
        self._training.param.watch(self._gather, "values")
        self._rest.param.watch(self._gather, "values")
        controls.param.watch(self._gather, ["plan", "problem"])

    def show(self, options: Any) -> None:
        """Set every widget, as one change."""
        self._busy = True
        try:
            self._training.show(options.training.model_dump())
            self._rest.show({name: getattr(options, name) for name in OPTIONS})
        finally:
            self._busy = False
        self._gather()

    def take(self, trajectory: TrajectoryPlan) -> None:
        """Show the options of a training, unless they are shown already."""
        if trajectory != self.plan:
            self.show(options_of(trajectory))

    def _gather(self, *_) -> None:
        sweep = self._controls.plan
        if self._busy:
            return
        if sweep is None:
            self.param.update(plan=None, problem=self._controls.problem)
            return
        try:
            # What is as usual is not said: a batch of the usual size may be smaller where there are few examples.
            training = TrainingConfig(**TrainingConfig(**self._training.values).model_dump(exclude_defaults=True))
            plan = trajectory_of(sweep, TrainingOptions(training=training, **self._rest.values))
        except ValidationError as error:
            self.param.update(plan=None, problem=str(explain_validation(error)))
        except NTKExplorerError as error:
            self.param.update(plan=None, problem=str(error))
        else:
            self.param.update(plan=plan, problem="")

    def __panel__(self):
        """Both groups under one heading, unless they are hidden."""
        content = [self._training, self._rest]
        shown = [group("Training", content, lambda: self.show(self._preset))] if "training" not in self._hide else []
        return pn.Column(*shown, sizing_mode="stretch_width", margin=(0, 8, 0, 8))
