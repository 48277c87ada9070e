"""The Runs page without a browser: list, filter, selection, and what is done to the store."""

import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from stored_by_hand import keep, plan

from ntk_explorer.dashboard.holdings import read_contents
from ntk_explorer.dashboard.links import ExplorerState
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.reproduce import ways
from ntk_explorer.dashboard.shelf import LARGEST_DOWNLOAD, Shelf
from ntk_explorer.dashboard.table import StoredTable, matching, rows
from ntk_explorer.jobs.worker import WarmWorker
from ntk_explorer.store import Store
from ntk_explorer.sweeps.files import load_sweep
from ntk_explorer.sweeps.kept import open_sweep, stored_sweeps
from ntk_explorer.sweeps.plan import plan_sweep

# Bokeh 3.9 on pandas 3.1, in the data of a table.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index")


@pytest.fixture(scope="module")
def worker():
    with WarmWorker() as worker:
        yield worker


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def model(worker, store):
    model = ExplorerModel(worker, store=store, state=ExplorerState().look(tab="runs"))
    yield model
    model.close()


@pytest.fixture
def shelf(model, store):
    """Two finished sweeps and one of which a cell is there, read."""
    keep(store, plan(depth=2)), keep(store, plan(depth=3)), keep(store, plan(depth=4), only=1)
    shelf = Shelf(model)
    shelf.reload()
    wait(lambda: shelf.contents is not None)
    return shelf


def wait(condition, seconds=90):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.01)


def choose(shelf, *depths):
    shelf.chosen = [item.key for item in shelf.items if item.plan.network.depth in depths]
    assert len(shelf.chosen) == len(depths)


def test_the_list_says_what_is_there(shelf, store):
    table = rows(shelf.items).sort_values("network")
    assert list(table["network"]) == ["MLP, depth 2, relu", "MLP, depth 3, relu", "MLP, depth 4, relu"]
    assert list(table["contents"]) == ["4 cells", "4 cells", "1 of 4 cells"]
    assert set(table["data"]) == {"digits, 3 classes"}
    assert (table["bytes"] > 0).all()
    contents = read_contents(store)
    assert contents.usage == store.usage()
    assert (contents.others, contents.quarantined) == (0, 0)


def test_an_empty_store_is_a_list_of_nothing(model):
    shelf = Shelf(model)
    shelf.reload()
    wait(lambda: shelf.contents is not None)
    assert shelf.items == ()
    assert rows(shelf.items).empty
    assert matching(rows(shelf.items), "word").empty


def test_the_filter_wants_every_text_between_commas(shelf):
    table = rows(shelf.items)
    assert len(matching(table, "")) == 3
    assert list(matching(table, "DEPTH 4")["contents"]) == ["1 of 4 cells"]
    assert len(matching(table, "relu, digits")) == 3
    assert list(matching(table, " relu ,depth 4")["network"]) == ["MLP, depth 4, relu"]
    assert matching(table, "depth (").empty


def test_what_the_filter_hides_is_no_longer_chosen(shelf):
    table = StoredTable(shelf)
    choose(shelf, 2, 3)
    table.filter("depth 3")
    assert [item.plan.network.depth for item in shelf.selected] == [3]
    table.filter("")
    assert [item.plan.network.depth for item in shelf.selected] == [3]


def test_a_tick_in_the_table_is_a_choice_and_the_other_way_round(shelf):
    table = StoredTable(shelf)._table
    table.selection = [1]
    assert shelf.chosen == [shelf.items[1].key]
    shelf.chosen = [shelf.items[0].key, shelf.items[2].key]
    assert table.selection == [0, 2]


def test_ticks_survive_a_reading_that_brings_a_sweep_and_a_cell(shelf, store):
    table = StoredTable(shelf)._table
    choose(shelf, 2)
    keep(store, plan(depth=4))
    keep(store, plan(depth=5))
    shelf.reload()
    wait(lambda: len(shelf.items) == 4)
    wait(lambda: [item.plan.network.depth for item in shelf.selected] == [2])
    assert list(table.value.index[table.selection]) == shelf.chosen
    assert "1 of 4 cells" not in set(table.value["contents"])


def test_opening_shows_what_is_stored_and_asks_nothing_of_the_worker(shelf, model, store):
    choose(shelf, 2)
    shelf.open()
    wait(lambda: model.state.view.tab == "width")
    assert model.worker.jobs() == []
    assert (model.status, model.step) == ("done", 4)
    assert model.state.plan == model.shown.plan == plan(depth=2)
    xr.testing.assert_identical(model.result.drop_attrs(), open_sweep(store, shelf.chosen[0]).drop_attrs())


def test_opening_an_interrupted_sweep_computes_what_is_missing(shelf, model, store):
    choose(shelf, 4)
    shelf.open()
    wait(lambda: model.result is not None)
    assert not model.stale
    wait(lambda: model.status == "done")
    assert model.step == 4
    (sweep,) = [sweep for sweep in stored_sweeps(store) if sweep.plan == plan(depth=4)]
    assert sweep.done == 4


def test_a_damaged_cell_is_computed_again_and_that_is_said(shelf, model, store):
    choose(shelf, 3)
    cell = store.manifest(shelf.chosen[0]).inputs[0]
    manifest = store.manifest(cell)
    chunk = max(manifest.files, key=lambda file: file.bytes)
    file = Path(store.address) / manifest.folder / chunk.path
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    shelf.open()
    wait(lambda: model.status == "done" and model.step == 4)
    assert model.message.startswith("1 of them had been damaged")
    assert len(store.quarantined) == 1
    assert read_contents(store).quarantined == 0  # it is there again
    assert stored_sweeps(store)[0].done >= 1


def test_a_sweep_of_a_file_that_is_gone_is_shown_from_the_store(model, store, tmp_path):
    file = tmp_path / "gone.npz"
    rng = np.random.default_rng(0)
    np.savez(file, x=rng.normal(size=(12, 3)), y=np.arange(12) % 3)
    uploaded = plan_sweep({"name": "npz", "n": 12, "path": str(file)}, widths=[4, 8], seeds=2)
    key = keep(store, uploaded)
    file.unlink()
    shelf = Shelf(model)
    shelf.reload()
    wait(lambda: shelf.contents is not None)
    shelf.chosen = [key]
    shelf.open()
    wait(lambda: model.status == "done")
    assert model.result.sizes["x1"] == 12
    assert "your-file.npz" in ways(shelf.items[0], None)["Command"]
    assert str(tmp_path) not in "".join(ways(shelf.items[0], None).values())


def test_compared_sweeps_are_those_that_hold_anything(shelf, store, model):
    keep(store, plan(depth=6), only=0)
    shelf.reload()
    wait(lambda: len(shelf.items) == 4)
    choose(shelf, 2, 3, 6)
    shelf.compare()
    wait(lambda: shelf.compared)
    assert sorted(sweep.plan.network.depth for sweep, _ in shelf.compared) == [2, 3]
    for sweep, ds in shelf.compared:
        stored = open_sweep(store, sweep.key)
        assert "gram" not in ds
        xr.testing.assert_identical(ds["relative_frobenius"], stored["relative_frobenius"])


def test_pinned_results_stay_when_room_is_made_and_are_not_deleted(shelf, store):
    choose(shelf, 2)
    shelf.pin()
    wait(lambda: shelf.selected[0].pinned)
    shelf.ask_delete()
    assert "Unpin it first" in shelf.problem
    assert shelf.doomed is None
    store.collect(cap_bytes=0)
    shelf.reload()
    wait(lambda: len(shelf.items) == 1)
    assert shelf.items[0].done == 4
    shelf.pin()
    wait(lambda: not shelf.selected[0].pinned)


def test_deleting_asks_first_says_what_is_lost_and_keeps_shared_cells(shelf, store):
    keep(store, plan(depth=2, widths=[4]))
    shelf.reload()
    wait(lambda: len(shelf.items) == 4)
    shelf.chosen = [item.key for item in shelf.items if item.plan == plan(depth=2)]
    shelf.ask_delete()
    wait(lambda: shelf.doomed is not None)
    assert len(stored_sweeps(store)) == 4
    assert "with 2 cells" in shelf.doomed.text
    assert "2 cells that other sweeps have too will stay" in shelf.doomed.text
    shelf.delete()
    wait(lambda: len(shelf.items) == 3)
    (narrow,) = [sweep for sweep in stored_sweeps(store) if sweep.plan == plan(depth=2, widths=[4])]
    assert narrow.done == 2
    assert shelf.chosen == []


def test_keeping_deletes_nothing(shelf, store):
    choose(shelf, 2)
    shelf.ask_delete()
    wait(lambda: shelf.doomed is not None)
    shelf.doomed = None
    shelf.delete()
    assert len(stored_sweeps(store)) == 3


def test_an_archive_holds_the_cells_and_another_store_takes_it(shelf, tmp_path):
    choose(shelf, 2, 3)
    sent = {}
    shelf.archive(sent.__setitem__)
    wait(lambda: sent)
    (tmp_path / "results.tar").write_bytes(sent["results.tar"])
    other = Store(tmp_path / "other")
    other.import_(tmp_path / "results.tar")
    assert sorted((sweep.plan.network.depth, sweep.done) for sweep in stored_sweeps(other)) == [(2, 4), (3, 4)]


def test_an_archive_too_large_for_a_browser_names_the_command(shelf, monkeypatch):
    monkeypatch.setattr("ntk_explorer.dashboard.shelf.LARGEST_DOWNLOAD", 1000)
    assert LARGEST_DOWNLOAD > 1000
    choose(shelf, 2)
    shelf.archive(lambda *_: pytest.fail("sent"))
    assert f"ntk-explorer store export results.tar {shelf.chosen[0][:12]}" in shelf.problem


def test_the_sweep_as_netcdf(shelf, store, tmp_path):
    choose(shelf, 2)
    sent = {}
    shelf.netcdf(sent.__setitem__)
    wait(lambda: sent)
    (tmp_path / "sweep.nc").write_bytes(sent["sweep.nc"])
    there = load_sweep(tmp_path / "sweep.nc")
    assert there.attrs["plan"] == open_sweep(store, shelf.chosen[0]).attrs["plan"]


def test_a_store_that_cannot_be_read_is_a_sentence(worker, tmp_path):
    (tmp_path / "file").write_text("no folder")
    model = ExplorerModel(worker, store=Store(tmp_path / "file"))
    shelf = Shelf(model)
    shelf.reload()
    wait(lambda: shelf.problem)
    assert "Traceback" not in shelf.problem
    assert str(tmp_path / "file") in shelf.problem
    assert shelf.doing == ""


def test_a_sweep_deleted_elsewhere_is_a_sentence_when_it_is_opened(shelf, store, model):
    choose(shelf, 2)
    store.delete(shelf.chosen[0])
    shelf.open()
    wait(lambda: shelf.problem)
    assert "holds no sweep" in shelf.problem
    assert model.result is None
