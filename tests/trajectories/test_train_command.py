"""``ntk-explorer train`` as a person uses it."""

import re
import shlex

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from typer.testing import CliRunner

from ntk_explorer.cli import app
from ntk_explorer.errors import InvalidInput
from ntk_explorer.store import Store
from ntk_explorer.sweeps.files import plan_to_yaml
from ntk_explorer.trajectories.code import trajectory_command, trajectory_lines
from ntk_explorer.trajectories.files import load_trajectory
from ntk_explorer.trajectories.grid import plan_trajectories
from ntk_explorer.trajectories.kept import stored_trajectories
from ntk_explorer.trajectories.plan import plan_trajectory

TINY = ["--dataset", "rings", "--n", "24", "--test", "8", "--width", "8", "--points", "6", "--no-linearised"]
SHORT = [*TINY, "--epochs", "2", "--kernel-at", "0,2"]


def run(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def refused(*arguments):
    """The message of a command that must end with exit code 2 and nothing but one message."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("Error: ") == 1
    return result.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store, and what the command printed."""
    folder = tmp_path_factory.mktemp("trained")
    result = run(*SHORT, "--store", folder / "store", "--out", folder / "out.nc")
    assert result.exit_code == 0, result.output
    return folder, result


def test_table_holds_the_numbers_of_the_file(trained):
    folder, result = trained
    rows = [re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines()]
    columns = rows.index(next(row for row in rows if row[0] == "epoch"))
    table = pd.DataFrame(rows[columns + 1 : columns + 3], columns=rows[columns]).set_index("epoch")
    with xr.open_dataset(folder / "out.nc") as results:
        last = results.sel(width=8, seed=0, at=2, epoch=2)
        assert float(table.loc["2", "training loss"]) == pytest.approx(float(last["train_loss"]), rel=1e-2)
        assert float(table.loc["2", "drift (eNTK)"]) == pytest.approx(float(last["drift"].sel(kernel="entk")), rel=1e-2)
        shares = last["regression_accuracy"].sel(kernel="pntk", start=["network", "zero"]).values
        assert table.loc["2", "pNTK regression"] == f"{shares[0]:.1%} / {shares[1]:.1%}"
    assert list(table.index) == ["0", "2"]
    assert "3 trainings and kernels, 0 of them in the store: about" in result.stderr


def test_second_run_finds_everything_and_prints_the_same(trained):
    folder, first = trained
    again = run(*SHORT, "--store", folder / "store")
    assert again.stdout == first.stdout
    assert "3 of them in the store: already computed" in again.stderr
    (stored,) = stored_trajectories(Store(folder / "store"))
    assert stored.done == stored.total == 3


def test_file_line_and_python_mean_the_same_plan(trained, tmp_path):
    folder, first = trained
    plan = stored_trajectories(Store(folder / "store"))[0].plan
    (tmp_path / "training.yaml").write_text(plan_to_yaml(plan))
    address = str(folder / "store")
    for arguments in (["--config", tmp_path / "training.yaml", "--store", address],
                      shlex.split(trajectory_command(plan, store=address))[2:]):  # fmt: skip
        result = run(*arguments)
        assert "3 of them in the store" in result.stderr, result.output
        assert result.stdout == first.stdout
    names = {}
    exec(compile(trajectory_lines(plan, store=address), "<lines>", "exec"), names)  # the lines are our own
    assert names["plan"] == plan
    xr.testing.assert_equal(names["trajectory"], load_trajectory(folder / "out.nc"))


@pytest.mark.parametrize(
    "options",
    [
        {"training": {"batch_size": None, "learning_rate": 0.1, "loss": "squared", "optimizer": "sgd"}},
        {"kernels": ["pntk"], "ridge": 0.5, "seeds": 3, "linearised": False, "dtype": "float64", "kernel_at": [0, 7]},
        {"widths": [4, 8], "test": 3, "points": 5, "data": {"name": "digits", "n": 20, "classes": 3, "seed": 4}},
    ],
)
def test_the_line_for_the_shell_rebuilds_the_plan(options, monkeypatch):
    plan, found = plan_trajectory(**({"data": "rings"} | options)), []

    def understand(**fields):
        found.extend(plan_trajectories(**fields))
        raise InvalidInput("That is enough")

    monkeypatch.setattr("ntk_explorer.trajectories.grid.plan_trajectories", understand)
    refused(*shlex.split(trajectory_command(plan))[2:])
    assert found == [plan]


def test_curves_as_a_table(trained, tmp_path):
    folder, _ = trained
    result = run(*SHORT, "--store", folder / "store", "--out", tmp_path / "curves.csv")
    assert result.exit_code == 0, result.output
    table, results = pd.read_csv(tmp_path / "curves.csv"), load_trajectory(folder / "out.nc")
    losses = table[table["quantity"] == "train_loss"].sort_values("epoch")["value"]
    np.testing.assert_array_equal(losses, results["train_loss"].sel(width=8, seed=0))
    drifts = table[(table["quantity"] == "drift") & (table["kernel"] == "pntk")].sort_values("epoch")["value"]
    np.testing.assert_array_equal(drifts, results["drift"].sel(width=8, seed=0, kernel="pntk"))


def test_lists_make_a_grid_of_trainings(trained):
    folder, _ = trained
    result = run(*SHORT, "--learning-rate", "0.01,0.001", "--store", folder / "store")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("width 8") == 2
    assert "holds one training, and these are 2" in refused(
        *SHORT, "--learning-rate", "0.01,0.001", "--out", folder / "two.nc"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kernel-at", "0,200"], "epoch 200 is beyond"),
        (["--kernel-at", "zero"], "Epoch 'zero'"),
        (["--optimizer", "adm"], "Did you mean 'adam'"),
        (["--learning-rate", "fast"], "learning_rate"),
        (["--batch-size", "50"], "Batches of 50"),
        (["--loss", "margin"], "loss"),
        (["--width", "0"], "Width 0"),
        (["--n", "one"], "'one'"),
        (["--out", "results.png"], ".nc or .csv"),
        (["--loss", "cross_entropy", "--dataset", "sine", "--epochs", "1"], "cross-entropy"),
    ],
)
def test_wrong_options_are_explained(arguments, said):
    assert said in refused(*TINY, *arguments)


def test_files_that_hold_no_trajectory(tmp_path):
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(InvalidInput, match="holds no trajectory"):
        load_trajectory(tmp_path / "other.nc")
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump({"training": {"epoch": 3}}))
    assert "epoch" in refused("--config", tmp_path / "bad.yaml")
    (tmp_path / "bad.yaml").write_text("data: rings\ntraining: fast\n")
    assert "training is 'fast'" in refused("--config", tmp_path / "bad.yaml")
