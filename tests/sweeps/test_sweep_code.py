"""The lines of a plan, for Python or a shell, run, and compute the plan's sweep."""

import shlex

import pytest
import xarray as xr
from typer.testing import CliRunner

from ntk_explorer.plots import FIGURES
from ntk_explorer.store import Store
from ntk_explorer.sweeps.code import command_line, gram_lines, python_lines
from ntk_explorer.sweeps.files import plan_to_yaml
from ntk_explorer.sweeps.kept_grams import stored_grams
from ntk_explorer.sweeps.matrices import GramPlan
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.sweeps.run import run_sweep

PLAN = plan_sweep(
    {"name": "digits", "n": 9, "classes": 3, "seed": 4},
    {
        "architecture": "mlp",
        "depth": 2,
        "activation": "tanh",
        "bias": True,
        "bias_variance": 0.1,
        "parameterization": "ntk",
    },
    widths=[4, 8],
    seeds=2,
    seed=3,
    kernels=["trntk", "pntk"],
)


def run(code):
    names = {}
    exec(compile(code, "<lines>", "exec"), names)  # the lines are our own
    return names


def test_lines_rebuild_the_plan_its_results_and_its_figure(store_directory):
    names = run(python_lines(PLAN, "spectra", width=8, seed=1))
    assert names["plan"] == PLAN
    results = run_sweep(PLAN, store=store_directory)
    xr.testing.assert_identical(names["sweep"].drop_attrs(), results.drop_attrs())
    expected = FIGURES["spectra"](results, width=8, seed=1)
    for here, there in zip(names["figure"], expected, strict=True):
        assert here.dframe().equals(there.dframe())


def test_lines_name_every_option_and_no_shape_of_the_data():
    code = python_lines(PLAN)
    for part in ("'tanh'", "'ntk'", "widths=[4, 8]", "seed=3", "dtype='float64'", "bias"):
        assert part in code
    assert "outputs" not in code
    assert "FIGURES" not in code


def test_a_hostile_file_name_stays_a_string(tmp_path):
    plan = plan_sweep({"name": "npz", "path": "x'); import os; os.abort() #.npz"})
    code = python_lines(plan).split("sweep = run_sweep")[0]
    assert run(code)["plan"] == plan


def planned_by(line, monkeypatch):
    """The plans that the command line makes of a line, without computing them."""
    from ntk_explorer.cli import app, sweep

    made = []
    monkeypatch.setattr(sweep, "_announce", lambda plans, *_, **__: made.extend(plans))
    monkeypatch.setattr(sweep, "_run", lambda *_: [])
    monkeypatch.setattr(sweep, "_write", lambda *_: None)
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    return made


@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        plan_sweep({"name": "npz", "path": "a b'; rm -rf *.npz"}),
        plan_sweep({"name": "sphere"}, {"architecture": "cnn", "pooling": "flatten"}, widths=[4], dtype="float32"),
        plan_sweep(network={"architecture": "resnet", "blocks": [1, 2], "normalization": "none"}, kernels=["pntk"]),
    ],
    ids=["mlp", "file", "cnn", "resnet"],
)
def test_the_line_for_the_shell_is_the_same_sweep(plan, monkeypatch):
    assert planned_by(command_line(plan), monkeypatch) == [plan]


def test_what_options_cannot_say_is_left_to_a_file(tmp_path, monkeypatch):
    plan = plan_sweep({"name": "sphere", "shape": [4, 4, 1]}, "cnn")
    file = tmp_path / "my sweep.yaml"
    file.write_text(plan_to_yaml(plan), encoding="utf-8")
    assert planned_by(command_line(plan, str(file)), monkeypatch) == [plan]


def test_lines_of_a_matrix_compute_it(store_directory):
    sweep = plan_sweep({"name": "sphere", "n": 6, "classes": 2}, widths=[16], seeds=1)
    plan = GramPlan(sweep=sweep, kernel="trntk", cosine=True, tile=4)
    matrix = run(gram_lines(plan))["matrix"]
    assert matrix.shape == (6, 6)
    assert [found.plan for found in stored_grams(Store(store_directory))] == [plan]
