"""Figures and the report of trajectories as ``run_trajectory`` gives them."""

import re

import holoviews as hv
import numpy as np
import pytest
from trajectories_by_hand import trajectory

from ntk_explorer.plots import FIGURES
from ntk_explorer.plots.training_report import training_report
from ntk_explorer.trajectories.plan import plan_trajectory
from ntk_explorer.trajectories.run import run_trajectory

HOSTILE = "</script><img src=x onerror=document.title='owned'>"
CHOICES = {"trained_kernel": {"kernel": "entk", "width": 16}, "trained_spectra": {"width": 16}}
NETWORK = {"architecture": "mlp", "depth": 2, "bias": True, "bias_variance": 0.1}


@pytest.fixture(scope="module")
def rings(tmp_path_factory):
    options = {"widths": (16,), "training": {"epochs": 2, "batch_size": None}, "kernel_at": (0, 2), "ridge": 1e-3}
    plan = plan_trajectory({"name": "rings", "n": 12, "classes": 3}, NETWORK, test=6, points=8, **options)
    return run_trajectory(plan, store=tmp_path_factory.mktemp("trajectories"))


def test_every_figure_of_a_trajectory_is_drawn(rings):
    ours = {name for name, card in FIGURES.items() if card.extras.get("data") == "trajectory"}
    assert len(ours) >= 13
    for name in ours - {"prediction_curves", "decision_surfaces"}:
        assert len(FIGURES[name](rings, **CHOICES.get(name, {}))) > 1


def test_what_is_drawn_is_what_was_trained(rings):
    figure = FIGURES["learning_curves"](rings, seed=0)
    curve = next(e for e in figure if isinstance(e, hv.Curve) and e.group == "network_test")
    np.testing.assert_allclose(curve.dimension_values(1), rings["test_loss"].sel(width=16, seed=0).values, rtol=1e-6)
    surface = FIGURES["decision_surface"](rings, "pntk", 16, 0, 2)
    (picture,) = (e for e in surface if isinstance(e, hv.RGB))
    assert picture.dimension_values(2, flat=False).shape == (41, 41)


def test_a_report_holds_every_epoch_and_refers_to_nothing_outside(rings):
    report = training_report(rings, code="print('how')")
    tags = re.sub(r"<script\b.*?</script>", "", report, flags=re.S)
    assert not re.findall(r"\b(?:src|href|action|data)\s*=|url\(|@import|https?:", tags)
    assert not re.search(r"<script[^>]*\bsrc", report)
    for part in ("Configuration", "kernel_at", "print(&#x27;how&#x27;)", "seed 0, epoch 0", "seed 0, epoch 2"):
        assert part in report


@pytest.mark.parametrize("name", ["errors_along", "eigenvalues_along", "output_scatter"])
def test_figures_of_other_kernels_than_the_usual(name):
    ds = trajectory(features=64, widths=(16,), at=(0, 10)).isel(kernel=[2, 0], compared=[1])
    assert "trNTK" in str(FIGURES[name](ds).opts.get().kwargs["title"]) + str(FIGURES[name](ds))


def test_an_unfinished_training_has_a_report_and_names_stay_inert():
    ds = trajectory(features=64, done=2, widths=(16,), names=[HOSTILE, "$$x$$", '"'])
    report = training_report(ds, heading=HOSTILE)
    assert HOSTILE not in report
    assert "epoch 1" in report
    assert "epoch 3" not in report
