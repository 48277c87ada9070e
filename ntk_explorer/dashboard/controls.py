"""The left side of the page: data, network and kernels, each with its own options, and the plan they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param
from pydantic import ValidationError

from ntk_explorer.architectures import ARCHITECTURES
from ntk_explorer.dashboard.forms import COMPACT, FieldGroup
from ntk_explorer.dashboard.uploads import Upload
from ntk_explorer.datasets import DATASETS, DataConfig
from ntk_explorer.errors import NTKExplorerError, explain_validation
from ntk_explorer.kernels import KERNELS, incomparable
from ntk_explorer.registry import Entry
from ntk_explorer.sweeps.plan import DERIVED, SweepPlan


class Controls(pn.viewable.Viewer):
    """Widgets for one sweep. ``plan`` is what they say, or None while ``problem`` says why there is none."""

    plan = param.ClassSelector(class_=SweepPlan, doc="the sweep that the widgets describe")
    problem = param.String(default="", doc="why there is no plan, in words")
    sweeping = param.Boolean(default=True, doc="show what only sweeps have: number of examples, widths and kernels")

    def __init__(self, plan: SweepPlan, *, hide: tuple[str, ...] = (), **params):
        """Start from a plan; ``hide`` leaves out groups by name (data, network, kernel)."""
        super().__init__(**params)
        self._hide, self._preset, self._busy = hide, plan, False
        self.upload = Upload()
        self._data = FieldGroup(DataConfig, leave_out=("path", "shape"), choices={"name": labels(DATASETS)})
        self._architecture = pmui.Select(
            label="architecture", options=labels(ARCHITECTURES), value=plan.network.architecture, **COMPACT
        )
        self._network_place = pn.Column(sizing_mode="stretch_width")
        comparable = {entry.label: name for name, entry in KERNELS.items() if not incomparable(entry)}
        self._sweep = FieldGroup(
            SweepPlan,
            leave_out=("schema_version", "data", "network", "seed"),
            choices={"kernels": comparable},
        )
        self._network = self._new_network(plan.network.architecture)
        self.seed, self._given = plan.seed, plan.data
        self.show(plan)
        self._architecture.param.watch(self._switch, "value")
        self._data.param.watch(self._gather, "values")
        self._sweep.param.watch(self._gather, "values")
        self.upload.param.watch(self._gather, "path")

    def show(self, plan: SweepPlan) -> None:
        """Set every widget to a plan, as one change."""
        self._busy = True
        try:
            self.seed, self._given = plan.seed, plan.data
            self._data.show(plan.data.model_dump())
            if plan.network.architecture != self._network.architecture:
                self._architecture.value = plan.network.architecture
                self._network = self._new_network(plan.network.architecture)
            self._network.show(plan.network.model_dump())
            self._sweep.show({name: getattr(plan, name) for name in self._sweep.widgets})
        finally:
            self._busy = False
        self._gather()

    def reset(self, group: str) -> None:
        """Set one group back to the plan that the page was opened with."""
        now, first = self.plan or self._preset, self._preset
        self.show(
            {
                "data": now.model_copy(update={"data": first.data}),
                "network": now.model_copy(update={"network": first.network}),
                "kernel": first.model_copy(update={"data": now.data, "network": now.network, "seed": now.seed}),
            }[group]
        )

    def _new_network(self, architecture: str) -> _Network:
        group = _Network(architecture)
        group.param.watch(self._gather, "values")
        self._network_place[:] = [group]
        return group

    def _switch(self, event) -> None:
        """Another architecture: its own options, keeping what was changed among those that both have."""
        if self._busy or event.new == self._network.architecture:
            return
        old = self._network
        kept = {k: v for k, v in old.values.items() if v != old.config.model_fields[k].default}
        self._busy = True
        try:
            self._network = self._new_network(event.new)
            self._network.show(kept)
            if self._sweep.values.get("widths") == old.default_widths:
                self._sweep.show({"widths": self._network.default_widths})
        finally:
            self._busy = False
        self._gather()

    def _gather(self, *_) -> None:
        if self._busy:
            return
        data = dict(self._data.values)
        if data["name"] == self._given.name:  # no widget shows a folder or a shape; both stay with their data set
            data |= {"path": self._given.path, "shape": self._given.shape}
        if _is_file(data["name"]):
            data["path"] = self.upload.path
            if data["path"] is None:
                self.param.update(plan=None, problem="Drop an .npz file under Data, or choose another data set.")
                return
        network = {"architecture": self._network.architecture, **self._network.values}
        try:
            plan = SweepPlan(data=DataConfig(**data), network=network, seed=self.seed, **self._sweep.values)  # pyright: ignore[reportArgumentType]
        except ValidationError as error:
            self.param.update(plan=None, problem=str(explain_validation(error)))
        except NTKExplorerError as error:
            self.param.update(plan=None, problem=str(error))
        else:
            self.param.update(plan=plan, problem="")

    def __panel__(self):
        """The groups that are not hidden, one under the other."""
        upload = pn.Column(self.upload, visible=self._data.param["values"].rx()["name"].rx.pipe(_is_file))
        groups = {
            "data": ("Data", [self._data, upload]),
            "network": ("Network", [self._architecture, self._network_place]),
            "kernel": ("Kernels and sweep", [self._sweep]),
        }
        shown = {
            key: group(title, content, partial(self.reset, key))
            for key, (title, content) in groups.items()
            if key not in self._hide
        }
        for part in (self._data.widgets["n"], *(shown[key] for key in ("kernel",) if key in shown)):
            part.visible = self.param.sweeping.rx()
        return pn.Column(*shown.values(), sizing_mode="stretch_width", margin=(0, 8, 16, 8))


class _Network(FieldGroup):
    """The options of one architecture, without the shapes that the data and the sweep decide."""

    def __init__(self, architecture: str):
        self.architecture = architecture
        self.default_widths = ARCHITECTURES[architecture].config.default_widths
        super().__init__(ARCHITECTURES[architecture].config, leave_out=DERIVED, fixed={"architecture": architecture})


def group(title: str, content: list[Any], reset: Callable[[], Any]) -> pn.Column:
    """Widgets under a heading, with a button that sets them back."""
    heading = pmui.Typography(
        title, variant="subtitle1", sx={"fontWeight": 700}, margin=(8, 4, 0, 6), sizing_mode="stretch_width"
    )
    button = pmui.IconButton(
        icon="restart_alt", description=f"Reset {title.lower()} to the preset", size="small", margin=0
    )
    button.on_click(lambda _: reset())
    return pn.Column(pn.Row(heading, button, sizing_mode="stretch_width"), *content, sizing_mode="stretch_width")


def labels(registry: Mapping[str, Entry]) -> dict[str, str]:
    """Names by label, for a menu."""
    return {entry.label: name for name, entry in registry.items()}


def _is_file(name: str) -> bool:
    return "file" in DATASETS[name].tags
