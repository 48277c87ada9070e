"""The measured slopes of the specification, on its set-up: sphere data, 30 examples, float64, 8 seeds."""

import numpy as np
import pytest

from ntk_explorer.comparison.scaling import fit_slope
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.sweeps.run import run_sweep

WIDTHS = [64, 128, 256, 512, 1024, 2048]


def errors(depth, parameterization="standard"):
    network = {"architecture": "mlp", "depth": depth, "parameterization": parameterization}
    plan = plan_sweep({"name": "sphere", "n": 30}, network, widths=WIDTHS, seeds=8)
    return run_sweep(plan)


@pytest.mark.slow
def test_with_two_hidden_layers_the_error_falls_as_the_square_root_of_the_width():
    sweep = errors(depth=3)
    frobenius = sweep["relative_frobenius"]
    assert fit_slope(WIDTHS, frobenius.sel(compared="pntk")).slope == pytest.approx(-0.50, abs=0.08)
    assert fit_slope(WIDTHS, frobenius.sel(compared="trntk")).slope == pytest.approx(-0.52, abs=0.08)
    assert fit_slope(WIDTHS, frobenius.sel(compared="single_logit")).slope == pytest.approx(-0.52, abs=0.08)
    largest = sweep["largest_eigenvalue_error"].sel(compared="pntk")
    assert fit_slope(WIDTHS, largest).slope == pytest.approx(-0.50, abs=0.12)
    # Reference levels, on other draws of the data.
    levels = frobenius.sel(compared="pntk").mean("seed")
    np.testing.assert_allclose(levels, [0.164, 0.112, 0.080, 0.053, 0.038, 0.031], rtol=0.25)


@pytest.mark.slow
def test_with_one_hidden_layer_it_falls_three_times_as_fast():
    frobenius = errors(depth=2)["relative_frobenius"]
    assert fit_slope(WIDTHS, frobenius.sel(compared="pntk")).slope == pytest.approx(-1.47, abs=0.10)


@pytest.mark.slow
def test_in_the_ntk_parameterization_one_hidden_layer_is_not_special():
    frobenius = errors(depth=2, parameterization="ntk")["relative_frobenius"]
    assert fit_slope(WIDTHS, frobenius.sel(compared="pntk")).slope == pytest.approx(-0.49, abs=0.08)
