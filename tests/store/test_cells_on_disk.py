import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from ntk_explorer.errors import InvalidInput, NTKExplorerError
from ntk_explorer.store import CellStore, store_directory

KEY = "0a" * 32


@pytest.fixture
def arrays():
    return {"eigenvalues.entk": np.linspace(1, 0, 50), "gram": np.eye(3, dtype=np.float32), "device": np.asarray("cpu")}


@pytest.fixture
def store(tmp_path):
    return CellStore(tmp_path / "cells")


def same(found, arrays):
    return found.keys() == arrays.keys() and all(
        found[name].dtype == arrays[name].dtype and np.array_equal(found[name], arrays[name]) for name in arrays
    )


def test_what_is_put_is_found(store, arrays):
    assert store.get(KEY) is None
    assert KEY not in store
    store.put(KEY, arrays)
    assert KEY in store
    assert same(store.get(KEY), arrays)
    assert [path.name for path in store.directory.iterdir()] == [f"{KEY}.npz"]


def test_the_place_is_the_argument_then_the_variable_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NTK_EXPLORER_STORE", str(tmp_path / "named"))
    assert store_directory() == tmp_path / "named"
    assert CellStore().directory == tmp_path / "named"
    assert CellStore(tmp_path / "given").directory == tmp_path / "given"
    monkeypatch.delenv("NTK_EXPLORER_STORE")
    assert store_directory().parts[-2:] == ("ntk-explorer", "cells")


@pytest.mark.parametrize("length", [0, 1, 30, 500, -40, -1])
def test_a_truncated_file_is_absent_and_moved_aside(store, arrays, length):
    store.put(KEY, arrays)
    whole = store.path(KEY).read_bytes()
    store.path(KEY).write_bytes(whole[:length])
    assert store.get(KEY) is None
    assert KEY not in store
    assert store.path(KEY).with_suffix(".damaged").exists()
    store.put(KEY, arrays)
    assert same(store.get(KEY), arrays)


def test_no_flipped_byte_gives_other_numbers(store, arrays):
    store.put(KEY, arrays)
    whole = store.path(KEY).read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        store.path(KEY).write_bytes(damaged)
        found = store.get(KEY)
        assert found is None, position


def test_numpy_opens_the_file(store, arrays):
    store.put(KEY, arrays)
    with np.load(store.path(KEY)) as file:
        assert same(dict(file), arrays)


def test_pickles_are_not_loaded(store):
    class Bomb:
        def __reduce__(self):
            return (os._exit, (1,))

    store.put(KEY, {"a": np.array([Bomb()], dtype=object)})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        store.get(KEY)


def test_a_full_disk_is_said_clearly_and_leaves_nothing_behind(store, arrays, monkeypatch):
    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(NTKExplorerError, match=r"is full\. .*NTK_EXPLORER_STORE"):
        store.put(KEY, arrays)
    assert list(store.directory.iterdir()) == []


def test_a_place_that_is_no_folder_is_said_clearly(tmp_path, arrays):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="Cannot use the store"):
        CellStore(tmp_path / "file").put(KEY, arrays)


def test_writers_at_the_same_time_do_not_disturb_one_another(store, arrays):
    threads = [threading.Thread(target=store.put, args=(KEY, arrays)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(store.get(KEY), arrays)
    assert len(list(store.directory.iterdir())) == 1
