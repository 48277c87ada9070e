import pickle

import numpy as np
import pytest
import xarray as xr

from ntk_explorer.errors import InvalidInput
from ntk_explorer.store import Identity, Incomplete, Store


def a_dataset(shift=0.0):
    return xr.Dataset(
        {
            "gram": (("x1", "x2"), np.arange(12, dtype=np.float32).reshape(3, 4) + np.float32(shift)),
            "eigenvalues": (("rank",), np.linspace(1, 0, 5), {"units": "1"}),
            "trace": ((), 3.5),
            "empty": (("none",), np.zeros(0)),
            "same": (("rank",), np.zeros(5, np.int64)),
        },
        coords={"x1": ["a", "bc", "λ"], "label": ("x2", np.arange(4)), "ids": ("x2", ["p", "q", "r", "s"])},
        attrs={"plan": "{}", "n": 3},
    )


def an_identity(number=0, **fields):
    return Identity(producer="test", revision=1, config={"number": number}, **fields)


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return Store(tmp_path / "artefacts" if request.param == "folder" else f"memory://{tmp_path}")


def test_what_is_put_is_found(store):
    identity = an_identity()
    assert store.get(identity.key) is None
    assert identity.key not in store
    scalars = {"nan": np.nan, "inf": -np.inf, "whole": np.int64(3), "real": np.float32(0.5), "word": "x", "yes": True}
    manifest = store.put(identity, a_dataset(), title="a title", scalars=scalars, seconds=2.5)
    found = store.get(identity.key)
    assert identity.key in store
    assert found.dataset.identical(a_dataset())
    assert found.manifest.dump() == manifest.dump()
    np.testing.assert_equal(found.manifest.scalars, scalars)
    assert found.manifest.identity == identity
    assert store.open(identity.key).dataset.load().equals(a_dataset())
    assert [each.dump() for each in store.manifests()] == [manifest.dump()]


def test_chunks_are_written_by_many_and_sealed_once(store):
    attempt = store.shared(an_identity())
    with pytest.raises(Incomplete):
        attempt.seal()
    make = {"shape": (4, 4), "dtype": "float64", "dims": ("x1", "x2"), "chunks": (2, 2)}
    values = np.where(np.eye(4, dtype=bool), np.nan, 0.0)
    attempt.create("kernel", **make)[:2] = values[:2]
    assert attempt.keys() == {"kernel/c/0/0", "kernel/c/0/1"}
    with pytest.raises(Incomplete, match="2 chunks are missing") as caught:
        attempt.seal()
    assert caught.value.missing == 2
    attempt.create("kernel", **make)[2:] = values[2:]
    manifest = attempt.seal(title="whole")
    assert store.shared(an_identity()).seal() == manifest
    np.testing.assert_array_equal(store.get(manifest.key).dataset["kernel"], values)
    np.testing.assert_array_equal(store.open(manifest.key).dataset["kernel"], values)


def test_a_store_travels_as_its_address(tmp_path):
    store = Store(tmp_path / "artefacts")
    attempt = store.shared(an_identity())
    attempt.create("a", (2,), "float64", ("x",))
    again = pickle.loads(pickle.dumps(attempt))
    assert again == attempt
    again.create("a", (2,), "float64", ("x",))[:] = [1, 2]
    attempt.seal()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).get(an_identity().key).dataset["a"], [1, 2])


def test_plain_xarray_reads_an_artefact(tmp_path):
    manifest = Store(tmp_path).put(an_identity(), a_dataset())
    found = xr.open_zarr(tmp_path / manifest.folder / "data.zarr", chunks=None).load()
    assert found.equals(a_dataset())
    assert found.attrs == a_dataset().attrs


@pytest.mark.parametrize("values", [np.array([object()]), np.array([{}]), np.zeros(2, "V8"), np.zeros(1, "M8[s]")])
def test_what_is_neither_number_nor_text_is_refused(store, values):
    with pytest.raises(InvalidInput, match="Only numbers and text"):
        store.put(an_identity(), xr.Dataset({"a": ("x", values)}))
    assert store.objects.below("objects") == []
