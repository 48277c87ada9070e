"""Forms come from configurations: their fields, bounds and words."""

from typing import Literal

import panel_material_ui as pmui
import pytest
from pydantic import BaseModel, ConfigDict, Field

from ntk_explorer.architectures import ARCHITECTURES
from ntk_explorer.dashboard.controls import Controls
from ntk_explorer.dashboard.forms import FieldGroup
from ntk_explorer.sweeps.plan import DERIVED, SweepPlan, plan_sweep


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    depth: int = Field(3, ge=2, le=9, description="number of layers")
    scale: float = Field(1.5, gt=0, le=10)
    mode: Literal["fast", "exact"] = "fast"
    deep: bool = False
    limit: int | None = Field(None, ge=1)
    sizes: tuple[int, ...] = (1, 2)


def test_every_field_becomes_the_widget_of_its_type():
    widgets = FieldGroup(Options).widgets
    assert isinstance(widgets["depth"], pmui.IntInput)
    assert (widgets["depth"].start, widgets["depth"].end) == (2, 9)
    assert widgets["depth"].description == "number of layers"
    assert isinstance(widgets["scale"], pmui.FloatInput)
    assert widgets["mode"].options == ["fast", "exact"]
    assert isinstance(widgets["deep"], pmui.Checkbox)


def test_values_follow_the_widgets_and_back():
    group = FieldGroup(Options)
    assert Options(**group.values) == Options()
    group.widgets["sizes"].value = "4, 8,16"
    group.widgets["limit"].value = "7"
    assert Options(**group.values) == Options(sizes=(4, 8, 16), limit=7)
    group.show(Options(depth=5, mode="exact", deep=True, limit=None).model_dump())
    assert Options(**group.values) == Options(depth=5, mode="exact", deep=True)


def test_a_wrong_value_is_said_in_words():
    group = FieldGroup(Options)
    group.widgets["limit"].value = "<b>many</b>"
    assert "limit" in group.problem
    assert "<b>" not in group._message.object
    group.widgets["limit"].value = ""
    assert group.problem == ""


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_controls_show_the_options_of_each_architecture(architecture):
    controls = Controls(SweepPlan())
    controls._architecture.value = architecture
    assert controls.problem == ""
    assert controls.plan.network.architecture == architecture
    options = set(ARCHITECTURES[architecture].config.model_fields) - {"architecture", *DERIVED}
    assert set(controls._network.widgets) == options
    assert controls.plan.widths == ARCHITECTURES[architecture].config.default_widths


def test_switching_the_architecture_keeps_what_was_changed():
    controls = Controls(SweepPlan())
    controls._network.widgets["activation"].value = "tanh"
    controls._sweep.widgets["widths"].value = "8, 16"
    controls._architecture.value = "cnn"
    assert controls.plan.network.activation == "tanh"
    assert controls.plan.widths == (8, 16)


def test_a_group_goes_back_to_the_preset():
    preset = plan_sweep({"name": "rings", "n": 60}, {"architecture": "mlp", "depth": 2}, widths=[16, 32])
    controls = Controls(preset)
    controls.show(SweepPlan())
    controls.reset("network")
    assert controls.plan.network.depth == 2
    assert controls.plan.data.name == "digits"
    controls.reset("data")
    controls.reset("kernel")
    assert controls.plan == preset


def test_a_folder_of_data_and_a_shape_stay_with_their_data_set():
    """As when a sweep of the store is opened: no widget shows them, and no link carries them."""
    folder = plan_sweep({"name": "cifar10", "n": 60, "path": "/data/cifar"}, widths=[16])
    controls = Controls(folder)
    assert controls.plan == folder
    controls._data.widgets["n"].value = 40
    assert (controls.plan.data.n, controls.plan.data.path) == (40, "/data/cifar")
    controls._data.widgets["name"].value = "mnist"
    assert controls.plan.data.path is None
    shaped = plan_sweep({"name": "sphere", "shape": (4, 4, 3)}, widths=[16])
    controls.show(shaped)
    assert controls.plan == shaped


def test_an_impossible_width_leaves_no_plan():
    controls = Controls(SweepPlan())
    controls._sweep.widgets["widths"].value = "16, many"
    assert controls.plan is None
    assert "many" in controls.problem
    controls._sweep.widgets["widths"].value = "16"
    assert controls.plan.widths == (16,)


def test_hidden_groups_still_belong_to_the_plan():
    controls = Controls(plan_sweep("rings"), hide=("data", "kernel"))
    assert controls.plan.data.name == "rings"
    assert len(controls.__panel__()) == 1
