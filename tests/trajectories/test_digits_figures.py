"""The figures that digits have to reach: the network's accuracy, and that of regression with either kernel."""

import pytest

from ntk_explorer.trajectories.plan import plan_trajectory
from ntk_explorer.trajectories.run import run_trajectory


@pytest.mark.slow
def test_networks_learn_digits_and_regressions_agree_at_width_1024(tmp_path):
    plan = plan_trajectory(
        "digits",
        widths=[1024],
        seeds=2,
        training={"epochs": 30},
        kernel_at=[0, 3, 30],
        kernels=["entk", "pntk"],
        linearised=False,
    )
    results = run_trajectory(plan, store=tmp_path).sel(width=1024).mean("seed")
    assert float(results["test_accuracy"].sel(epoch=30)) >= 0.97
    accuracy = results["regression_accuracy"].sel(start="zero")
    assert (abs(accuracy.sel(kernel="pntk") - accuracy.sel(kernel="entk")) <= 0.01).all()
