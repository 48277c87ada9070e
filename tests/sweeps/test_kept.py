"""Sweeps as the store knows them: records, cells, and what is opened without computing."""

import numpy as np
import pytest
import xarray as xr

from ntk_explorer.datasets import load
from ntk_explorer.errors import InvalidInput, TooLarge
from ntk_explorer.store import Store
from ntk_explorer.sweeps.cells import cell_identities
from ntk_explorer.sweeps.kept import open_sweep, stored_sweeps
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.sweeps.run import iterate_steps, run_sweep

SPHERE = {"name": "sphere", "n": 8, "classes": 3}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "kept")


def plan(**options):
    return plan_sweep(SPHERE, "mlp", **({"widths": [4, 8], "seeds": 2} | options))


def test_a_sweep_opens_from_the_store_as_it_was_computed(store):
    computed = run_sweep(plan(), store=store)
    (sweep,) = stored_sweeps(Store(store.address))
    assert (sweep.plan, sweep.done, sweep.total, sweep.pinned) == (plan(), 4, 4, False)
    assert sweep.bytes > computed["gram"].nbytes
    assert sweep.seconds == pytest.approx(float(computed["seconds"].sum()))
    opened = open_sweep(store, sweep.key)
    xr.testing.assert_identical(opened.drop_attrs(deep=False), computed.drop_attrs(deep=False))
    created = opened.attrs.pop("created"), computed.attrs.pop("created")
    assert all(created)
    assert opened.attrs == computed.attrs


def test_a_sweep_is_known_from_its_start_and_counts_its_cells(store):
    steps = iterate_steps(plan(), store=store)
    while next(steps) is None:
        pass
    steps.close()
    (sweep,) = stored_sweeps(store)
    assert (sweep.done, sweep.total) == (1, 4)
    opened = open_sweep(store, sweep.key)
    assert int(opened["seconds"].notnull().sum()) == 1
    run_sweep(plan(), store=store)
    (sweep,) = stored_sweeps(store)
    assert sweep.done == 4


def test_sweeps_share_the_cells_that_they_have_in_common(store):
    run_sweep(plan(), store=store)
    steps = [step for step in iterate_steps([plan(seeds=3), plan(widths=[8])], store=store) if step is not None]
    assert [step.cell.found for step in steps].count(False) == 2
    assert [sweep.total for sweep in stored_sweeps(store)].count(4) == 1
    assert len(store.manifests("sweep-cell")) == 6


def test_a_cell_that_two_new_sweeps_share_is_computed_once(store):
    steps = [step for step in iterate_steps([plan(), plan(seeds=1)], store=store) if step is not None]
    assert [step.step for step in steps] == list(range(1, 7))
    assert len(store.manifests("sweep-cell")) == 4


def test_single_precision_and_reasons_in_words_survive(store):
    single = plan_sweep(SPHERE, {"architecture": "mlp", "activation": "silu"}, widths=[4], seeds=1, dtype="float32")
    computed = run_sweep(single, store=store)
    opened = run_sweep(single, store=store)
    assert opened["gram"].dtype == np.float32
    assert "silu has no closed form" in opened.attrs["no_limit"] == computed.attrs["no_limit"]
    np.testing.assert_array_equal(opened["eigenvalues"], computed["eigenvalues"])


def test_a_file_that_changed_is_another_sweep(store, tmp_path):
    path = tmp_path / "mine.npz"
    mine = plan_sweep({"name": "npz", "path": str(path), "n": 12}, widths=[4], seeds=1)
    for offset in (0, 1):
        np.savez(path, x=np.eye(12, 5) + np.arange(12)[:, None] + offset, y=np.arange(12) % 3)
        run_sweep(mine, store=store)
    old, new = stored_sweeps(store)
    assert old.plan == new.plan == mine
    assert old.key != new.key
    path.unlink()
    assert open_sweep(store, new.key).sizes["x1"] == 12  # the store has all that is shown


def test_other_labels_of_the_same_examples_are_another_sweep_of_the_same_cells(store, tmp_path):
    path = tmp_path / "mine.npz"
    mine = plan_sweep({"name": "npz", "path": str(path), "n": 12}, widths=[4], seeds=1)
    for labels in (np.arange(12) % 3, np.arange(12) // 4):
        np.savez(path, x=np.eye(12, 5), y=labels)
        (step,) = (step for step in iterate_steps(mine, store=store) if step is not None)
        np.testing.assert_array_equal(np.sort(step.cell.examples["label"]), np.sort(labels))
    assert step.cell.found
    new, old = (open_sweep(store, sweep.key)["label"].values for sweep in stored_sweeps(store))
    assert not np.array_equal(old, new)


def test_a_sweep_that_is_refused_is_not_listed(store, monkeypatch):
    monkeypatch.setattr("ntk_explorer.reading.machine.available_bytes", lambda: 1000)
    with pytest.raises(TooLarge):
        run_sweep(plan(), store=store)
    assert not stored_sweeps(store)


def test_a_task_refuses_other_data_than_it_was_made_for(tmp_path, store):
    from ntk_explorer.sweeps.tasks import cell

    path = tmp_path / "mine.npz"
    np.savez(path, x=np.eye(12, 5), y=np.arange(12) % 3)
    mine = plan_sweep({"name": "npz", "path": str(path), "n": 12}, widths=[4], seeds=1)
    examples = cell_identities(mine, load(mine.data))[4, 0].fingerprint
    np.savez(path, x=np.eye(12, 5) + 1, y=np.arange(12) % 3)
    with pytest.raises(InvalidInput, match="holds other examples here"):
        cell(mine.model_dump_json(), 4, 0, examples, store.address)


def test_what_is_no_sweep_cannot_be_opened(store):
    run_sweep(plan(seeds=1), store=store)
    with pytest.raises(InvalidInput, match="holds no sweep"):
        open_sweep(store, "0" * 64)
    with pytest.raises(InvalidInput, match="holds no sweep"):
        open_sweep(store, store.manifests("sweep-cell")[0].key)
    (sweep,) = stored_sweeps(store)
    for cell in store.manifests("sweep-cell"):
        store.delete(cell.key)
    assert stored_sweeps(store)[0].done == 0
    with pytest.raises(InvalidInput, match="No cell"):
        open_sweep(store, sweep.key)


def test_a_run_beyond_the_cap_makes_room_and_stays_itself(store, monkeypatch):
    run_sweep(plan(widths=[16]), store=store)
    monkeypatch.setattr("ntk_explorer.store.collect.CAP", str(store.usage().bytes))
    run_sweep(plan(widths=[32]), store=store)
    assert [sweep.done for sweep in stored_sweeps(store)] == [2, 2]  # others may use this folder too
    store.delete(stored_sweeps(store)[0].key)
    monkeypatch.setenv("NTK_EXPLORER_STORE_CAP", str(store.usage().bytes))
    run_sweep(plan(), store=store)
    assert next((sweep.plan.widths, sweep.done) for sweep in stored_sweeps(store)) == ((4, 8), 4)
    assert sum(sweep.done for sweep in stored_sweeps(store)) == 4
