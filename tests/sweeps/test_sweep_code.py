"""The Python lines of a plan run, and compute the plan's sweep."""

import xarray as xr

from ntk_explorer.plots import FIGURES
from ntk_explorer.sweeps.code import python_lines
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
