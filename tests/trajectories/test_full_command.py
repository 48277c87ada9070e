"""Regression on all training examples from the command line."""

import numpy as np
import pytest
from typer.testing import CliRunner

from ntk_explorer.cli import app
from ntk_explorer.store import Store
from ntk_explorer.trajectories.files import load_trajectory
from ntk_explorer.trajectories.full import full_regression
from ntk_explorer.trajectories.plan import TrajectoryPlan

COMMAND = [
    "train",
    "--dataset",
    "sphere",
    "--n",
    "24",
    "--test",
    "9",
    "--classes",
    "3",
    "--width",
    "8",
    "--epochs",
    "2",
    "--batch-size",
    "8",
    "--kernel-at",
    "0,2",
    "--points",
    "5",
    "--kernels",
    "pntk",
    "--no-linearised",
    "--full",
    "pntk",
]


@pytest.mark.filterwarnings("ignore:.*NVIDIA:UserWarning")
def test_the_table_and_the_file_hold_it_beside_the_network(tmp_path, store_directory):
    path = tmp_path / "results.nc"
    done = CliRunner().invoke(app, [*COMMAND, "--out", str(path)])
    assert done.exit_code == 0, done.output
    assert "regression on all 24 training examples: about" in done.output
    results = load_trajectory(path)
    assert results.attrs["full_kernel"] == "pntk"
    plan = TrajectoryPlan.model_validate_json(results.attrs["plan"])
    again = full_regression(plan, store=Store(None))
    np.testing.assert_array_equal(results["full_regression_output"], again["full_regression_output"])
    lines = done.output[done.output.index("on all 24 training examples\n") :].splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()[:1] in (["0"], ["2"])}
    for epoch in (0, 2):
        now = again.isel(width=0, seed=0).sel(at=epoch)
        shown = [now["network_accuracy"], *now["full_regression_accuracy"]]
        assert rows[str(epoch)] == [f"{float(value):.1%}" for value in shown]


def test_a_kernel_with_blocks_is_refused_before_any_work(store_directory):
    done = CliRunner().invoke(app, [*COMMAND[:-1], "entk"])
    assert done.exit_code == 2
    assert "'entk' has blocks of n c rows" in done.output
    assert Store(None).manifests() == []
