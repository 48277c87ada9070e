import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
import xarray as xr
from store_samples import a_dataset, an_identity, fill_shared

from ntk_explorer.errors import InvalidInput
from ntk_explorer.store import Incomplete, Store, store_address


def test_what_is_put_is_found(any_store):
    identity = an_identity()
    assert any_store.get(identity.key) is None
    assert identity.key not in any_store
    scalars = {"nan": np.nan, "inf": -np.inf, "whole": np.int64(3), "real": np.float32(0.5), "word": "x", "yes": True}
    manifest = any_store.put(identity, a_dataset(), title="a title", scalars=scalars, seconds=2.5)
    found = any_store.get(identity.key)
    assert identity.key in any_store
    assert found.dataset.identical(a_dataset())
    assert found.manifest.dump() == manifest.dump()
    np.testing.assert_equal(found.manifest.scalars, scalars)
    assert found.manifest.identity == identity
    assert any_store.open(identity.key).dataset.load().equals(a_dataset())
    assert [each.dump() for each in any_store.manifests()] == [manifest.dump()]
    assert any_store.missing([identity.key, an_identity(1).key]) == {an_identity(1).key}


def test_a_result_may_be_scalars_only(any_store):
    any_store.put(an_identity(), scalars={"a": 1})
    assert any_store.get(an_identity().key).manifest.scalars == {"a": 1}
    assert any_store.get(an_identity().key).dataset.identical(xr.Dataset())
    assert any_store.open(an_identity().key).dataset.identical(xr.Dataset())


def test_the_first_writer_wins_and_the_second_leaves_nothing(any_store):
    first = any_store.put(an_identity(), a_dataset())
    before = any_store.objects.below("objects")
    assert any_store.put(an_identity(), a_dataset(shift=1)) == first
    assert any_store.objects.below("objects") == before


def test_of_writers_at_the_same_time_one_wins(any_store):
    together, manifests = threading.Barrier(6), []

    def write(number):
        writer = Store(any_store.address)
        together.wait()
        manifests.append(writer.put(an_identity(), a_dataset(number), scalars={"number": number}))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({manifest.dump() for manifest in manifests}) == 1
    found = any_store.get(an_identity().key)
    assert found.dataset.equals(a_dataset(found.manifest.scalars["number"]))
    folders = {"/".join(item["path"].split("/")[:4]) for item in any_store.objects.below("objects")}
    assert folders == {found.manifest.folder}


def test_the_exclusive_create_is_exclusive(any_store):
    together, won = threading.Barrier(12), []

    def create(number):
        together.wait()
        won.append(any_store.objects.create("manifests/a", bytes([number])) and number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [number for number in won if number is not False]
    assert len(winners) == 1
    assert any_store.objects.read("manifests/a") == bytes(winners)


def test_deleted_is_gone(any_store):
    manifest = any_store.put(an_identity(), a_dataset())
    any_store.put(an_identity(1), a_dataset(1))
    any_store.pin(manifest.key)
    assert any_store.pins() == {manifest.key}
    any_store.delete(manifest.key)
    assert manifest.key not in any_store
    assert any_store.get(manifest.key) is None
    assert any_store.pins() == set()
    assert [each.key for each in any_store.manifests()] == [an_identity(1).key]
    assert any_store.objects.below(manifest.folder) == []
    assert any_store.get(an_identity(1).key).dataset.equals(a_dataset(1))


def test_unpinned_twice_is_no_error(any_store):
    any_store.pin(an_identity().key)
    any_store.unpin(an_identity().key)
    any_store.unpin(an_identity().key)
    assert any_store.pins() == set()


def test_chunks_are_written_by_many_and_sealed_once(any_store):
    attempt = any_store.shared(an_identity())
    with pytest.raises(Incomplete):
        attempt.seal()
    make = {"shape": (4, 4), "dtype": "float64", "dims": ("x1", "x2"), "chunks": (2, 2)}
    values = np.where(np.eye(4, dtype=bool), np.nan, 0.0)
    attempt.create("kernel", **make)[:2] = values[:2]
    assert attempt.keys() == {"kernel/c/0/0", "kernel/c/0/1"}
    with pytest.raises(Incomplete, match="2 chunks are missing") as caught:
        attempt.seal()
    assert caught.value.missing == 2
    assert an_identity().key not in any_store
    attempt.create("kernel", **make)[2:] = values[2:]
    manifest = attempt.seal(title="whole")
    assert any_store.shared(an_identity()).seal() == manifest
    np.testing.assert_array_equal(any_store.get(manifest.key).dataset["kernel"], values)
    np.testing.assert_array_equal(any_store.open(manifest.key).dataset["kernel"], values)
    files = {f"{manifest.folder}/{file.path}" for file in manifest.files}
    assert {item["path"] for item in any_store.objects.below("objects")} == files
    assert not any_store.objects.exists("zarr.json")


def test_chunks_that_hold_the_fill_value_are_written_too(store):
    attempt = store.shared(an_identity())
    for _ in range(2):  # made, then found
        attempt.create("zeros", (2, 2), "int32", ("a", "b"), chunks=(1, 1))[:1] = 0
        attempt.create("absent", (2,), "float32", ("a",), chunks=(1,))[1:] = np.nan
    assert attempt.keys() == {"zeros/c/0/0", "zeros/c/0/1", "absent/c/1"}


def test_damaged_chunks_of_an_unfinished_artefact_are_removed_when_it_is_sealed(store):
    attempt = fill_shared(store, np.arange(16.0).reshape(4, 4))
    for chunk, damage in {"0/0": lambda b: b[:-1], "0/1": lambda b: b"", "1/1": lambda b: b"\1" + b[1:]}.items():
        path = store.objects.folder / attempt.folder / "data.zarr/kernel/c" / chunk
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Incomplete, match="3 chunks"):
        attempt.seal()
    assert attempt.keys() == {"kernel/c/1/0"}
    assert fill_shared(store, np.arange(16.0).reshape(4, 4)).seal().key == an_identity().key


def test_damaged_metadata_of_an_unfinished_artefact_is_written_again_and_its_chunks_stay(store):
    values = np.arange(16.0).reshape(4, 4)
    attempt = fill_shared(store, values)
    path = store.objects.folder / attempt.folder / "data.zarr/kernel/zarr.json"
    for damage in (lambda b: b[:40], lambda b: b.replace(b"float64", b"float65"), lambda b: b"", lambda b: b"{}"):
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(Incomplete):
            attempt.seal()
        attempt.create("kernel", (4, 4), "float64", ("x1", "x2"), chunks=(2, 2))
        assert len(attempt.keys()) == 4
    np.testing.assert_array_equal(store.get(attempt.seal().key).dataset["kernel"], values)


def test_a_store_travels_as_its_address(store):
    attempt = store.shared(an_identity())
    attempt.create("a", (2,), "float64", ("x",))
    again = pickle.loads(pickle.dumps(attempt))
    assert again == attempt
    again.create("a", (2,), "float64", ("x",))[:] = [1, 2]
    attempt.seal()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).get(an_identity().key).dataset["a"], [1, 2])


def test_plain_xarray_reads_an_artefact(store):
    manifest = store.put(an_identity(), a_dataset())
    found = xr.open_zarr(store.objects.folder / manifest.folder / "data.zarr", chunks=None).load()
    assert found.equals(a_dataset())
    assert found.attrs == a_dataset().attrs
    assert set(found.coords) == set(a_dataset().coords)


def test_an_array_of_several_chunks(store, monkeypatch):
    monkeypatch.setattr("ntk_explorer.store.arrays.LARGEST_CHUNK", 1000)
    values = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    manifest = store.put(an_identity(), xr.Dataset({"a": (("x", "y"), values)}))
    assert len(manifest.files) == 4 + 2
    np.testing.assert_array_equal(store.get(manifest.key).dataset["a"], values)
    np.testing.assert_array_equal(store.open(manifest.key).dataset["a"][3:11, 5], values[3:11, 5])


@pytest.mark.parametrize("values", [np.array([object()]), np.array([{}]), np.zeros(2, "V8"), np.zeros(1, "M8[s]")])
def test_what_is_neither_number_nor_text_is_refused(store, values):
    with pytest.raises(InvalidInput, match="Only numbers and text"):
        store.put(an_identity(), xr.Dataset({"fine": ("y", [1.0]), "a": ("x", values)}))
    assert store.objects.below("objects") == []


@pytest.mark.parametrize("name", ["a b", "../up", "a/b", "", ".."])
def test_names_that_are_no_file_names_are_refused(store, name):
    with pytest.raises(InvalidInput, match="no name for an array"):
        store.put(an_identity(), xr.Dataset({name: ("x", [1.0])}))


@pytest.mark.parametrize("key", ["", "ab", "../../etc/passwd", "A" * 64])
def test_what_is_no_key_is_refused(store, key):
    for ask in (store.get, store.open, store.manifest, store.pin, store.delete, store.__contains__):
        with pytest.raises(InvalidInput, match="is no key"):
            ask(key)


def test_the_address_is_the_argument_then_the_variable_then_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NTK_EXPLORER_STORE", str(tmp_path / "named"))
    assert Store().address == store_address() == str(tmp_path / "named")
    assert Store(tmp_path / "given").address == str(tmp_path / "given")
    assert Store(f"file://{tmp_path}/with%20space").address == str(tmp_path / "with space")
    monkeypatch.delenv("NTK_EXPLORER_STORE")
    assert store_address().endswith("store")
    monkeypatch.chdir(tmp_path)
    assert Store("here").address == str(tmp_path / "here")


@pytest.mark.parametrize("address", ["ftp://host/x", "s3://", "s3:///folder", "http://host/x"])
def test_other_addresses_are_refused(address):
    with pytest.raises(InvalidInput, match=r"is no address of a store|names no bucket"):
        Store(address)


def test_a_place_that_is_no_folder_is_said_clearly(tmp_path):
    (tmp_path / "file").write_text("")
    for address in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidInput, match=r"Cannot use the store.*: Not a directory"):
            Store(address).put(an_identity(), a_dataset())


def test_asking_makes_no_folder(store):
    assert store.manifests() == []
    assert store.missing([an_identity().key]) == {an_identity().key}
    assert store.quarantined == []
    assert not store.objects.folder.exists()


def test_an_absent_bucket_is_said_clearly(bucket):
    store = Store("s3://another-bucket/x")
    for ask in (store.manifests, lambda: store.get(an_identity().key), lambda: store.put(an_identity(), a_dataset())):
        with pytest.raises(InvalidInput, match="there is no such bucket"):
            ask()


def test_an_unreachable_bucket_is_said_within_seconds(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InvalidInput, match=r"cannot be reached.*credentials"):
        Store("s3://bucket/x").put(an_identity(), a_dataset())


def test_the_store_costs_nothing_before_it_is_used():
    program = """import sys
from ntk_explorer.store import Store, Identity
Store("s3://bucket/x"), Identity("a", 1, {"b": 1}).key
print([name for name in ("jax", "zarr", "xarray", "obstore", "distributed") if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
