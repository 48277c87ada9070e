"""Plans of trajectories: what they fill in, and what they refuse."""

import json

import numpy as np
import pytest

from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.trajectories.grid import plan_trajectories
from ntk_explorer.trajectories.plan import TrajectoryPlan, plan_trajectory, spread_epochs


def test_sizes_that_are_not_given_are_those_of_the_data_set():
    plan = plan_trajectory("digits")
    assert (plan.data.n, plan.test, plan.points, plan.widths, plan.seeds) == (1437, 360, 200, (256,), 1)
    assert plan.kernel_at == (0, 1, 2, 3, 6, 10, 18, 32, 56, 100)
    few = plan_trajectory({"name": "digits", "n": 50})
    assert (few.data.n, few.test, few.points) == (50, 360, 50)


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 100, 12345])
def test_epochs_of_kernels_begin_untrained_and_end_with_the_last(epochs):
    chosen = spread_epochs(epochs)
    assert chosen[0] == 0
    assert chosen[-1] == epochs
    assert list(chosen) == sorted(set(chosen))
    assert len(chosen) <= 10


def test_a_plan_survives_json_and_equal_plans_are_equal():
    plan = plan_trajectory("rings", widths=[64, 16, 64], kernel_at=[3, 0, 3], training={"epochs": 3})
    assert (plan.widths, plan.kernel_at) == ((16, 64), (0, 3))
    assert TrajectoryPlan.model_validate_json(plan.model_dump_json()) == plan
    assert TrajectoryPlan.model_validate(json.loads(plan.model_dump_json())) == plan
    assert hash(plan) == hash(plan_trajectory("rings", widths=[16, 64], kernel_at=[0, 3], training={"epochs": 3}))


@pytest.mark.parametrize("epochs", [range(10, -1, -5), {10, 5, 0}, np.array([10, 0, 5, 10]), (e for e in (5, 0, 10))])
def test_epochs_come_in_any_collection(epochs):
    assert plan_trajectory(kernel_at=epochs).kernel_at == (0, 5, 10)


def test_the_entk_comes_first_and_may_be_left_out():
    assert plan_trajectory(kernels=["pntk", "entk"]).kernels == ("entk", "pntk")
    assert plan_trajectory(kernels=["pntk"]).compared == ("pntk",)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kernel_at": [0, 200]}, "epoch 200 is beyond the training's 100"),
        ({"kernel_at": [-1]}, "Epoch -1"),
        ({"kernel_at": ["one"]}, "Epoch 'one'"),
        ({"kernel_at": {10, -5}}, "Epoch -5"),
        ({"kernel_at": 3}, "kernel_at"),
        ({"data": None}, "data"),
        ({"data": {"name": ["digits"]}}, "name"),
        ({"network": None}, "network cannot be None"),
        ({"points": 2000}, "2000 points for the kernels are more than the 1437"),
        ({"kernels": ["ck"]}, "without gradients"),
        ({"kernels": []}, "No kernel"),
        ({"widths": [0]}, "Width 0"),
        ({"ridge": -1.0}, "ridge"),
        ({"test": 0}, "test"),
        ({"training": {"epochs": 0}}, "epochs"),
        ({"training": {"learning_rate": 0.0}}, "learning_rate"),
        ({"data": {"name": "digits", "n": "many"}}, "many"),
        ({"something": 1}, "something"),
    ],
)
def test_values_out_of_bounds_are_refused_by_name(options, said):
    with pytest.raises(InvalidInput, match=said):
        plan_trajectory(**options)


@pytest.mark.parametrize(
    "options", [{"data": "digit"}, {"network": "mpl"}, {"kernels": ["pntkk"]}, {"training": {"optimizer": "adm"}}]
)
def test_unknown_names_are_refused(options):
    with pytest.raises((UnknownName, InvalidInput), match=r"[Uu]nknown"):
        plan_trajectory(**options)


def test_lists_make_a_grid_but_for_the_axes_that_a_plan_has():
    plans = plan_trajectories(
        {"name": "digits", "n": [30, 60]},
        {"architecture": "mlp", "depth": 2},
        {"learning_rate": [0.1, 0.01], "epochs": 4},
        widths=[8, 16],
        kernel_at=[0, 4],
    )
    assert [(plan.data.n, plan.training.learning_rate) for plan in plans] == [
        (30, 0.1), (30, 0.01), (60, 0.1), (60, 0.01)
    ]  # fmt: skip
    assert {plan.widths for plan in plans} == {(8, 16)}
    with pytest.raises(InvalidInput, match="1200 trainings"):
        plan_trajectories(training={"epochs": list(range(1, 1201))})


def test_sweeps_are_as_they_were():
    """What is shared with trajectories left plans, and so the keys of stored records, alone."""
    assert list(plan_sweep().model_dump()) == [
        "schema_version", "data", "network", "widths", "seeds", "seed", "kernels", "dtype"
    ]  # fmt: skip
