"""The distance of a sweep's kernels from the limit of infinite width: the number, the shared work, the stored cell."""

import json

import jax
import numpy as np
import pytest
import xarray as xr

from ntk_explorer.architectures import build
from ntk_explorer.comparison.measures import distance_to_limit
from ntk_explorer.datasets import load
from ntk_explorer.errors import InvalidInput
from ntk_explorer.infinite.limits import infinite_ntk
from ntk_explorer.kernels.empirical import entk
from ntk_explorer.sweeps import limit as limit_of_sweep
from ntk_explorer.sweeps.cells import cell_identities
from ntk_explorer.sweeps.files import load_sweep, to_csv, write_sweep
from ntk_explorer.sweeps.limit import WidthLimit
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.sweeps.run import run_sweep

SPHERE = {"name": "sphere", "n": 8, "classes": 3}


def lifted(kernel, c):
    """[n c, n c] from [n, n] or [n, n, c, c], examples outside."""
    kernel = np.asarray(kernel)
    blocks = kernel if kernel.ndim == 4 else kernel[:, :, None, None] * np.eye(c)
    return blocks.transpose(0, 2, 1, 3).reshape(len(kernel) * c, -1)


@pytest.fixture(scope="module")
def plan():
    return plan_sweep(SPHERE, {"architecture": "mlp", "bias": True}, widths=[8, 16], seeds=2)


@pytest.fixture(scope="module")
def sweep(plan, tmp_path_factory):
    return run_sweep(plan, store=tmp_path_factory.mktemp("limit"))


def test_distance_is_that_of_the_lifted_matrices(plan, sweep):
    data = load(plan.data)
    assert "no_limit" not in sweep.attrs
    for width, index in plan.cells:
        network = build(plan.network, width=width, inputs=data.inputs, outputs=data.outputs)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(plan.seed), width), index)
        theta = entk(network.apply, network.init(key), data.x)
        infinite = infinite_ntk(network.config, data.x)
        expected = np.linalg.norm(lifted(theta, data.outputs) - lifted(infinite, data.outputs))
        expected /= np.linalg.norm(lifted(infinite, data.outputs))
        found = sweep["distance_to_limit"].sel(width=width, seed=index)
        assert found.sel(kernel="entk").item() == pytest.approx(expected, rel=1e-9)
        trace = np.trace(theta, axis1=2, axis2=3) / data.outputs
        expected = np.linalg.norm(trace - infinite) / np.linalg.norm(infinite)
        assert found.sel(kernel="trntk").item() == pytest.approx(expected, rel=1e-9)


def test_trace_kernel_is_nearer_to_the_limit_than_the_entk_that_it_is_the_projection_of(sweep):
    distances = sweep["distance_to_limit"]
    assert (distances.sel(kernel="trntk") < distances.sel(kernel="entk")).all()


@pytest.mark.parametrize("parameterization", ["standard", "ntk"])
@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_two_widths_tell_the_limit_at_all_others(architecture, parameterization):
    network = {"architecture": architecture, "parameterization": parameterization, "depth": 2}
    plan = plan_sweep({"name": "digits", "n": 5, "classes": 2}, network)
    data = load(plan.data)
    shared = WidthLimit(plan, data)
    for width in (1, 7, 512):
        config = plan.network.replace(width=width, inputs=data.inputs, outputs=data.outputs)
        np.testing.assert_allclose(shared.at(width), infinite_ntk(config, data.x), rtol=1e-11)


def test_a_sweep_computes_its_limit_once(plan, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        limit_of_sweep, "infinite_ntk", lambda config, x: calls.append(config.width) or infinite_ntk(config, x)
    )
    plan = plan.model_copy(update={"seed": 7})  # that no other test has prepared
    run_sweep(plan, store=tmp_path)
    assert calls == [1, 2]
    run_sweep(plan, store=tmp_path)
    assert calls == [1, 2]


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ({"architecture": "mlp", "activation": "silu"}, "silu has no closed form"),
        ({"architecture": "resnet", "blocks": [1]}, "a ResNet of this layout"),
    ],
)
def test_without_a_twin_the_reason_is_kept_with_the_cells(network, reason, tmp_path):
    plan = plan_sweep({"name": "digits", "n": 4, "classes": 2}, network, widths=[2, 4], seeds=1)
    run_sweep(plan, store=tmp_path / "store")
    results = run_sweep(plan, store=tmp_path / "store")
    assert reason in results.attrs["no_limit"]
    assert results["distance_to_limit"].isnull().all()
    write_sweep(results, tmp_path / "sweep.nc")
    xr.testing.assert_identical(load_sweep(tmp_path / "sweep.nc"), results)


def test_a_limit_of_too_many_numbers_is_left_out_with_the_reason():
    plan = plan_sweep({"name": "digits", "n": 1000}, "cnn")
    shared = WidthLimit(plan, load(plan.data))
    assert "4e+09 numbers" in shared.missing
    assert shared.at(8) is None
    assert shared.seconds == 0


def test_cells_of_the_version_before_are_not_taken_for_ours(plan, monkeypatch):
    def keys():
        return {identity.key for identity in cell_identities(plan, data).values()}

    data = load(plan.data)
    now = keys()
    monkeypatch.setattr("ntk_explorer.sweeps.cells.REVISION", 1)
    assert now.isdisjoint(keys())


def test_table_holds_the_distance_of_every_kernel(plan, sweep):
    header, *rows = [line.split(",") for line in to_csv(sweep).decode().splitlines()]
    place = header.index("distance_to_limit")
    for row in rows:
        expected = sweep["distance_to_limit"].sel(kernel=row[0], width=int(row[1]), seed=int(row[2]))
        assert float(row[place]) == expected.item()
    assert json.loads(sweep.attrs["plan"])["network"]["bias"]


def test_distance_of_kernels_that_do_not_belong_together_is_refused():
    with pytest.raises(InvalidInput, match=r"shape \(2, 2\) cannot be compared"):
        distance_to_limit(np.ones((3, 3)), np.ones((2, 2)))
    with pytest.raises(InvalidInput, match="NaN"):
        distance_to_limit(np.full((2, 2), np.nan), np.ones((2, 2)))
    assert np.isnan(distance_to_limit(np.ones((2, 2)), np.zeros((2, 2))))
