"""Several processes, killed processes and full disks."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from store_samples import ARRAYS, a_dataset, age, an_identity, write_for_ever

from ntk_explorer.errors import NTKExplorerError
from ntk_explorer.store import Store

SPAWN = multiprocessing.get_context("spawn")  # never fork after JAX
FILES = 1 + 2 * ARRAYS  # metadata of the group, and of each array, and its chunk
PATIENCE = 120  # seconds; only a hang takes so long


def write_and_read(address, own, keys, ready, answers):
    """Put all keys in an order of one's own, and check every one that is there."""
    store, bad, read = Store(address), 0, 0
    ready.wait(PATIENCE)
    for number in np.random.default_rng(own).permutation(keys):
        store.put(an_identity(int(number)), a_dataset(own), scalars={"own": own})
        for other in range(keys):
            found = store.get(an_identity(other).key)
            if found is not None:
                read += 1
                bad += not found.dataset.identical(a_dataset(found.manifest.scalars["own"]))
    answers.put((bad, read))


@pytest.mark.parametrize(("processes", "keys"), [(3, 5), pytest.param(6, 60, marks=pytest.mark.slow)])
def test_writers_and_readers_at_the_same_time(store, processes, keys):
    ready, answers = SPAWN.Barrier(processes), SPAWN.Queue()
    workers = [
        SPAWN.Process(target=write_and_read, args=(store.address, own, keys, ready, answers))
        for own in range(processes)
    ]
    for worker in workers:
        worker.start()
    got = [answers.get(timeout=PATIENCE * (1 + keys // 10)) for _ in workers]
    for worker in workers:
        worker.join(PATIENCE)
    assert [bad for bad, _ in got] == [0] * processes
    assert sum(read for _, read in got) >= processes * keys
    manifests = store.manifests()
    assert len(manifests) == keys
    assert len(store.verify(deep=True).sound) == keys
    assert store.quarantined == []
    folders = {"/".join(item["path"].split("/")[:4]) for item in store.objects.below("objects")}
    assert folders == {manifest.folder for manifest in manifests}, "a loser left something"


def test_a_process_killed_while_it_writes_leaves_nothing_that_is_believed(store):
    worker = SPAWN.Process(target=write_for_ever, args=(store.address,))
    worker.start()
    end = time.monotonic() + PATIENCE
    while len(store.keys()) < 2 or not 2 < len(store.objects.below("objects")) % FILES < 7:
        assert time.monotonic() < end
        assert worker.is_alive()
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(PATIENCE)
    known = store.keys()
    assert len(store.verify(deep=True).sound) == len(known)
    for manifest in store.manifests():
        assert len(manifest.files) == FILES
        assert store.open(manifest.key).dataset.load().min().to_array().values.tolist() == [1.0] * ARRAYS
    # What is left of the artefact it was writing is not listed, and goes when it is old.
    files = sum(len(manifest.files) for manifest in store.manifests())
    age(store.objects.folder / "objects", 2)
    store.collect()
    left = [path for path in (store.objects.folder / "objects").rglob("*") if path.is_file()]
    assert len(left) == files
    assert store.keys() == known


@contextmanager
def small_disk(folder, size):
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(store, dataset):
    for number in range(20):
        store.put(an_identity(number), dataset)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_full_disk_is_said_and_loses_nothing(tmp_path):
    dataset = xr.Dataset({"a": ("x", np.arange(50_000.0))})
    with small_disk(tmp_path / "disk", "3m") as disk:
        store = Store(disk / "store")
        with pytest.raises(NTKExplorerError, match=r"is full\. .*store gc.*NTK_EXPLORER_STORE"):
            fill(store, dataset)
        kept = [manifest.key for manifest in store.manifests()]
        assert 3 <= len(kept) < 12
        assert store.verify(deep=True).sound == tuple(sorted(kept))
        files = sum(len(manifest.files) for manifest in store.manifests())
        assert len(store.objects.below("objects")) == files, "half of an artefact was left"
        attempt = store.shared(an_identity(100))
        with pytest.raises(NTKExplorerError, match="is full"):
            attempt.create("a", (400_000,), "float64", ("x",), chunks=(400_000,))[:] = 1.0
        assert attempt.keys() == set()
        store.delete(kept[0])
        number = next(n for n in range(20) if an_identity(n).key not in kept)
        store.put(an_identity(number), dataset)
        assert store.get(an_identity(number).key).dataset.identical(dataset)
        assert [path for path in Path(disk).rglob("*#*")] == []
