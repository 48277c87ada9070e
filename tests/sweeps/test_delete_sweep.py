"""What goes and what stays when sweeps are deleted, pinned and evicted, and what cannot be read."""

import pytest
from stored_by_hand import keep, plan

from ntk_explorer.errors import InvalidInput
from ntk_explorer.store import Identity, Store
from ntk_explorer.sweeps.kept import cells_of, delete_sweep, open_sweep, stored_sweeps
from ntk_explorer.sweeps.kept_grams import stored_grams
from ntk_explorer.sweeps.matrices import GramPlan, compute_gram
from ntk_explorer.sweeps.plan import plan_sweep


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_cells_that_other_sweeps_have_stay(store):
    narrow, wide = keep(store, plan(widths=[4])), keep(store, plan(widths=[4, 8]))
    own, shared = cells_of(store, [wide])
    assert (len(own), len(shared)) == (2, 2)
    assert {cell.key for cell in delete_sweep(store, wide)} == {cell.key for cell in own}
    (left,) = stored_sweeps(store)
    assert (left.key, left.done, left.total) == (narrow, 2, 2)
    assert int(open_sweep(store, narrow)["seconds"].notnull().sum()) == 2
    delete_sweep(store, narrow)
    assert store.manifests() == []
    assert store.usage().bytes == 0


def test_cells_shared_among_those_deleted_together_go(store):
    keys = [keep(store, plan(widths=[4])), keep(store, plan(widths=[4, 8]))]
    own, shared = cells_of(store, keys)
    assert (len(own), len(shared)) == (4, 0)


def test_a_cell_that_is_pinned_by_itself_stays(store):
    key = keep(store, plan())
    cell = store.manifests("sweep-cell")[0]
    store.pin(cell.key)
    delete_sweep(store, key)
    assert [manifest.key for manifest in store.manifests()] == [cell.key]


def test_a_pinned_sweep_survives_when_room_is_made(store):
    pinned, other = keep(store, plan(depth=2)), keep(store, plan(depth=4))
    store.pin(pinned)
    store.collect(cap_bytes=0)
    (left,) = stored_sweeps(store)
    assert (left.key, left.done, left.pinned) == (pinned, 4, True)
    assert other not in store


def test_what_is_no_sweep_is_not_deleted(store):
    keep(store, plan())
    cell = store.manifests("sweep-cell")[0].key
    with pytest.raises(InvalidInput, match="holds no sweep"):
        delete_sweep(store, cell)
    assert cell in store


def test_what_another_version_or_plugin_made_is_left_out_of_the_lists(store):
    keep(store, plan())
    fields = plan().model_dump(mode="json", exclude={"network": {"inputs", "outputs", "width"}})
    store.put(Identity("sweep", 1, fields | {"network": {"architecture": "transformer"}}))
    store.put(Identity("sweep", 1, fields | {"of the future": 1}))
    store.put(Identity("gram", 1, {"data": fields["data"]}))
    gram = GramPlan(sweep=plan(widths=[4], seeds=1), kernel="<img src=x>").identity("0")
    store.put(gram)
    assert len(stored_sweeps(store)) == 1
    assert stored_grams(store) == []


def test_a_gram_matrix_is_listed_with_the_plan_that_made_it(store):
    sweep = plan_sweep({"name": "sphere", "n": 6, "classes": 2}, {"architecture": "mlp", "depth": 2},
                       widths=[4], seeds=1, seed=7, dtype="float32")  # fmt: skip
    made = GramPlan(sweep=sweep, kernel="trntk", cosine=True, tile=4)
    matrix = compute_gram(made, store=store)
    (found,) = stored_grams(store)
    assert found.plan == made
    assert found.shape == matrix.shape == (6, 6)
    assert found.bytes > matrix.nbytes
    assert not found.pinned
