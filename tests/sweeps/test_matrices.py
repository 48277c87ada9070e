"""Gram matrices as jobs of many tiles: the numbers, what is found again, and faults."""

from contextlib import closing
from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

from ntk_explorer.datasets import load
from ntk_explorer.errors import Cancelled, TooLarge
from ntk_explorer.jobs import WorkerPool
from ntk_explorer.kernels.gram import gram
from ntk_explorer.store import Store
from ntk_explorer.sweeps import matrices
from ntk_explorer.sweeps.cells import initialise, network_at
from ntk_explorer.sweeps.matrices import GramPlan, compute_gram, estimate_gram
from ntk_explorer.sweeps.plan import plan_sweep


def plan(kernel="pntk", *, n=20, network="mlp", dtype="float32", **options):
    sweep = plan_sweep({"name": "sphere", "n": n, "classes": 3}, network, widths=[8], seeds=1, dtype=dtype)
    return GramPlan(sweep=sweep, kernel=kernel, **({"tile": 8} | options))


def reference(plan):
    """The same matrix by one call, in memory."""
    sweep, data = plan.sweep, load(plan.sweep.data)
    with jax.enable_x64(sweep.dtype == "float64"):
        network = network_at(sweep, data, 8)
        x = jax.numpy.asarray(data.x, sweep.dtype)
        params = initialise(sweep, network, 0)
        return gram(plan.transformed(), network, params, x, labels=data.y, batch_size=plan.tile)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "kept")


@pytest.mark.parametrize("kernel", ["pntk", "entk", "loss_gradient", "ck"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiles_make_the_matrix_of_one_call_to_the_last_bit(kernel, dtype, store):
    wanted = plan(kernel, dtype=dtype)
    found = compute_gram(wanted, store=store)
    expected = reference(wanted)
    assert found.dims == expected.dims
    assert found.dtype == expected.dtype == dtype
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found["label1"], expected["label1"])


def test_transforms_of_single_tiles(store):
    wanted = plan(projected=16, cosine=True)
    np.testing.assert_array_equal(compute_gram(wanted, store=store).values, reference(wanted).values)


def test_progress_estimate_and_the_second_time(store):
    steps = []
    assert estimate_gram(plan(), store=store).cells == 9
    compute_gram(plan(), store=store, progress=steps.append)
    assert [(step.step, step.total) for step in steps] == [(step, 6) for step in range(7)]
    assert estimate_gram(plan(), store=store).text() == "already computed"
    steps.clear()
    compute_gram(plan(), store=store, progress=steps.append)
    assert not steps


def test_what_was_stopped_goes_on_with_the_missing_tiles(store):
    steps = []
    with pytest.raises(Cancelled, match="after 2 of 6 tiles"):
        compute_gram(plan(), store=store, progress=steps.append, cancel=lambda: steps[-1].step == 2)
    assert not store.manifests("gram")
    assert estimate_gram(plan(), store=store).found == 3  # a tile of the diagonal, one beside it and its mirror image
    steps.clear()
    found = compute_gram(plan(), store=store, progress=steps.append)
    assert [step.step for step in steps] == [2, 3, 4, 5, 6]
    np.testing.assert_array_equal(found.values, reference(plan()).values)


def test_a_tile_without_its_mirror_image_is_not_taken_for_done(store, tmp_path):
    compute = []
    with pytest.raises(Cancelled):
        compute_gram(plan(), store=store, progress=compute.append, cancel=lambda: compute[-1].step == 2)
    (mirror,) = (tmp_path / "kept").rglob("kernel/c/1/0")
    mirror.unlink()
    found = compute_gram(plan(), store=store)
    assert np.isfinite(found.values).all()
    np.testing.assert_array_equal(found.values, found.values.T)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_chunk_damaged_under_way_is_computed_again(damage, store, tmp_path):
    steps = []
    with pytest.raises(Cancelled):
        compute_gram(plan(), store=store, progress=steps.append, cancel=lambda: steps[-1].step == 3)
    chunk = next((tmp_path / "kept").rglob("kernel/c/0/0"))
    content = bytearray(chunk.read_bytes())
    content[10] ^= 1
    chunk.write_bytes({"cut": content[:-9], "flip": content, "empty": b""}[damage])
    found = compute_gram(plan(), store=store)
    np.testing.assert_array_equal(found.values, reference(plan()).values)


def test_what_was_deleted_or_damaged_is_computed_anew_by_the_same_process(store, tmp_path):
    expected = compute_gram(plan(), store=store).values
    (manifest,) = store.manifests("gram")
    store.delete(manifest.key)
    np.testing.assert_array_equal(compute_gram(plan(), store=store).values, expected)
    next((tmp_path / "kept").rglob("kernel/c/0/0")).write_bytes(b"")
    again = compute_gram(plan(), store=store)
    np.testing.assert_array_equal(again.values, expected)
    np.testing.assert_array_equal(again["label1"], load(plan().sweep.data).y)
    assert len(store.quarantined) == 1


def test_a_worker_that_comes_late_changes_nothing_that_is_sealed(store, monkeypatch):
    known = plan().model_dump_json(), plan().examples().fingerprint, store.address
    matrix = matrices._prepared(*known)

    def slow(rows, columns):
        mine = matrix.compute(rows, columns)
        monkeypatch.undo()
        compute_gram(plan(), store=store)
        return mine._replace(values=mine.values + 1)

    monkeypatch.setattr(matrices, "_prepared", lambda *_: replace(matrix, compute=slow))
    matrices.tile(*known, row=0, column=8)
    np.testing.assert_array_equal(compute_gram(plan(), store=store).values, reference(plan()).values)
    assert store.quarantined == []


def test_examples_with_other_labels_are_another_matrix(store, tmp_path):
    found, examples = [], []
    for labels in ([0, 1, 2, 3], [1, 0, 3, 2]):
        path = tmp_path / "data.npz"
        np.savez(path, x=np.eye(4, dtype=np.float32), y=labels)
        sweep = plan_sweep({"name": "npz", "path": str(path), "n": 4}, "mlp", widths=[8], seeds=1)
        found.append(compute_gram(GramPlan(sweep=sweep, kernel="loss_gradient"), store=store))
        examples.append(load(sweep.data))
        np.testing.assert_array_equal(found[-1]["label1"], examples[-1].y)
    np.testing.assert_array_equal(examples[0].x, examples[1].x)
    assert not np.allclose(*found)


def test_tiles_that_fit_one_at_a_time_only_are_refused_for_several_workers(store, monkeypatch):
    needed = estimate_gram(plan(), store=store).bytes
    monkeypatch.setattr("ntk_explorer.reading.machine.available_bytes", lambda: int(1.5 * needed))
    with closing(WorkerPool(2)) as workers, pytest.raises(TooLarge, match="2 tiles at a time"):
        compute_gram(plan(), store=store, backend=workers)
    compute_gram(plan(), store=store)


def test_plain_xarray_reads_it(store, tmp_path):
    compute_gram(plan(), store=store)
    (manifest,) = store.manifests("gram")
    assert manifest.title == "pntk · sphere, n = 20 · mlp 8"
    opened = xr.open_zarr(tmp_path / "kept" / manifest.folder / "data.zarr", chunks=None)
    np.testing.assert_array_equal(opened["kernel"], reference(plan()))
    np.testing.assert_array_equal(opened["label1"], load(plan().sweep.data).y)
