"""Published data through a whole sweep: by a path, from the data folder, and when they are not there."""

import json
import shutil

import published_by_hand
import pytest
import xarray as xr
from typer.testing import CliRunner

from ntk_explorer.cli import app
from ntk_explorer.cli.data import state
from ntk_explorer.dashboard.links import from_query, to_query
from ntk_explorer.datasets.mnist import MNIST
from ntk_explorer.sweeps.plan import plan_sweep

SWEEP = ["sweep", "--n", "12", "--widths", "4", "--seeds", "1", "--dataset", "mnist"]


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("NTK_EXPLORER_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_sweep_is_the_same_wherever_its_files_lie(data, tmp_path):
    published_by_hand.write(tmp_path / "elsewhere", "mnist")
    out = tmp_path / "out.nc"
    first = run(*SWEEP, "--path", tmp_path / "elsewhere", "--out", out)
    assert first.exit_code == 0, first.output
    with xr.open_dataset(out) as results:
        assert json.loads(results.attrs["plan"])["data"]["path"] == str(tmp_path / "elsewhere")
    shutil.move(tmp_path / "elsewhere", data / "mnist")
    assert "1 cells, 1 of them in the store: already computed" in run(*SWEEP).stderr


def test_files_that_are_not_there_end_the_command_with_one_message(data):
    result = run(*SWEEP)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("Error: ") == 1
    assert str(data / "mnist") in result.stderr
    assert "No folder at nowhere" in run(*SWEEP, "--path", "nowhere").stderr


@pytest.mark.parametrize("command", [["list", "datasets"], ["data"]])
def test_what_is_here_is_said(data, command):
    before = " ".join(run(*command).stdout.split())
    assert f"not in {data / 'mnist'}: `ntk-explorer data mnist` downloads 12 MB" in before
    published_by_hand.write(data / "mnist", "mnist")
    assert state(MNIST) == f"in {data / 'mnist'}"
    after = run(*command).stdout
    assert str(data / "mnist") in after
    assert "`ntk-explorer data mnist`" not in after


def test_links_carry_the_name_and_never_a_path():
    plan = plan_sweep({"name": "svhn", "n": 50, "path": "/somewhere"})
    state, notices = from_query({"data": "svhn", "n": "50", "path": "/somewhere"})
    assert state.plan.data == plan.data.model_copy(update={"path": None})
    assert any("path" in notice for notice in notices)
    assert "somewhere" not in to_query(state)
