"""Size, leftovers, index, archives."""

import io
import os
import sqlite3
import tarfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from store_samples import a_dataset, age, an_identity, fill_shared

from ntk_explorer.errors import InvalidInput
from ntk_explorer.store import Damaged, Identity, Store
from ntk_explorer.store.index import index_path


def put(store, number, *, inputs=(), seconds=1.0, numbers=1000):
    """About 8 kB that took some seconds."""
    dataset = xr.Dataset({"a": ("x", np.full(numbers, float(number)))})
    return store.put(an_identity(number, inputs=inputs), dataset, seconds=seconds)


def used_at(store, times):
    with sqlite3.connect(store.index.path) as connection:
        connection.executemany("INSERT OR REPLACE INTO uses VALUES (?, ?)", times.items())
    connection.close()


def kept(store):
    return {manifest.config["number"] for manifest in store.manifests()}


def test_usage_and_cap(any_store, monkeypatch):
    sizes = [put(any_store, number).nbytes for number in range(3)]
    assert (any_store.usage().bytes, any_store.usage().artefacts) == (sum(sizes), 3)
    assert any_store.usage().cap == 20 * 10**9
    monkeypatch.setenv("NTK_EXPLORER_STORE_CAP", "1.5kB")
    assert any_store.usage().cap == 1500
    monkeypatch.setenv("NTK_EXPLORER_STORE_CAP", "much")
    with pytest.raises(InvalidInput, match=r"NTK_EXPLORER_STORE_CAP.*no amount"):
        any_store.collect()


def test_as_many_go_as_have_to(any_store):
    size = max([put(any_store, number).nbytes for number in range(4)])
    done = any_store.collect(2 * size)
    assert len(done.evicted) == 2
    assert done.bytes == any_store.usage().bytes == 2 * size
    assert kept(any_store) == {0, 1, 2, 3} - {manifest.config["number"] for manifest in done.evicted}
    assert len(any_store.verify(deep=True).sound) == 2
    assert any_store.collect(2 * size).evicted == ()


def test_order_of_eviction(store, monkeypatch):
    import time

    manifests = {
        "old": put(store, 0),
        "new": put(store, 1),
        "large": put(store, 2, numbers=5000),
        "dear": put(store, 3, seconds=1000.0),
    }
    now = manifests["old"].created.timestamp() + 10_000
    monkeypatch.setattr(time, "time", lambda: now)
    ages = {"old": 5000, "new": 100, "large": 2000, "dear": 9000}
    store.index.rows()
    used_at(store, {manifests[name].key: now - idle for name, idle in ages.items()})
    order = []
    while store.manifests():
        done = store.collect(store.usage().bytes - 1)
        order += [name for name in manifests if manifests[name].key == done.evicted[0].key]
    # 2000 s × 5 sizes, 5000 s, 100 s, and 9000 s for a thousandth.
    assert order == ["large", "old", "new", "dear"]


def test_reading_is_using(store, monkeypatch):
    import time

    manifests = [put(store, number) for number in range(3)]
    later = manifests[-1].created.timestamp() + 100
    monkeypatch.setattr(time, "time", lambda: later)
    assert store.get(manifests[0].key)
    assert store.open(manifests[2].key)
    assert [m.key for m in store.collect(2 * manifests[0].nbytes + 100).evicted] == [manifests[1].key]


def test_pinned_artefacts_stay_with_what_they_were_computed_from(any_store):
    source = put(any_store, 0)
    middle = put(any_store, 1, inputs=(source.key,))
    last = put(any_store, 2, inputs=(middle.key, an_identity(99).key))
    put(any_store, 3)
    any_store.pin(last.key)
    done = any_store.collect(0)
    assert [manifest.config for manifest in done.evicted] == [{"number": 3}]
    assert done.bytes == any_store.usage().bytes > 0
    any_store.unpin(last.key)
    assert len(any_store.collect(0, keep=[middle.key]).evicted) == 1
    assert kept(any_store) == {0, 1}


def test_leftovers_go_when_nobody_can_be_writing_them(store):
    manifest = put(store, 0)
    objects = store.objects.folder / "objects"
    lost = objects / "aa" / ("aa" * 32) / ("0" * 16) / "data.zarr" / "zarr.json"
    young = objects / "bb" / ("bb" * 32) / ("1" * 16) / "data.zarr" / "zarr.json"
    staged = store.objects.folder / manifest.folder / "data.zarr/a/c/0#1"
    partial = store.objects.folder / manifest.folder / "data.zarr/a/c/0.abc.partial"
    for path in (lost, young, staged, partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left")
    fresh, old = fill_shared(store, np.ones((2, 2)), number=1), fill_shared(store, np.ones((2, 2)), number=2)
    age(store.objects.folder / fresh.folder, 6)
    age(store.objects.folder / old.folder, 8)
    for path in (lost, staged, partial, store.objects.folder / manifest.folder / "data.zarr/a/c/0"):
        age(path, 2)
    done = store.collect()
    assert done.evicted == ()
    assert done.orphan_bytes > 12
    assert [path.exists() for path in (lost, young, staged, partial)] == [False, True, False, False]
    assert fresh.keys() == {"kernel/c/0/0"}
    assert old.keys() == set()
    assert store.get(manifest.key)


def test_the_quarantine_is_kept_for_a_month(store):
    for number in range(2):
        manifest = put(store, number)
        (store.objects.folder / manifest.folder / "data.zarr/a/c/0").write_bytes(b"")
        assert store.get(manifest.key) is None
    quarantine = store.objects.folder / "quarantine"
    age(quarantine, 400)  # what was set aside today may have been written long ago
    store.collect()
    assert len(store.quarantined) == 2
    first, then = store.quarantined[0], datetime.now(UTC) - timedelta(days=31)
    (quarantine / first).rename(quarantine / f"{first.partition('.')[0]}.{then:%Y%m%dT%H%M%S%f}")
    store.collect()
    assert len(store.quarantined) == 1


def test_eviction_under_readers_gives_all_or_nothing(store):
    key, ended, seen = an_identity().key, threading.Event(), []

    def read():
        reader = Store(store.address)
        while not ended.is_set():
            found = reader.get(key)
            seen.append(found is None or found.dataset.identical(a_dataset()))
            opened = reader.open(key)
            try:
                seen.append(opened is None or opened.dataset.load().equals(a_dataset()))
            except Damaged:
                continue  # gone after it was opened: said, and no number

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        store.put(an_identity(), a_dataset())
        store.delete(key)
    ended.set()
    for thread in threads:
        thread.join()
    assert len(seen) > 10
    assert all(seen)
    assert store.quarantined == []


@pytest.mark.parametrize(
    "loss",
    [
        lambda path: path.write_bytes(b"no database at all" * 400),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 8192),
    ],
)
def test_a_lost_index_is_built_again(store, loss):
    manifests = [put(store, number) for number in range(20)]
    expected = store.manifests()
    assert {manifest.key for manifest in expected} == {manifest.key for manifest in manifests}
    path = Path(store.index.path)
    address = store.address
    store.index._do(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    store.index._close(store.index.path)
    assert path.stat().st_size > 8192
    loss(path)
    assert Store(address).manifests() == expected
    assert Store(address).manifests("test") == expected
    assert Store(address).manifests("another") == []
    assert Store(address).get(manifests[0].key)


def test_a_wrong_number_in_the_index_is_not_believed(store):
    manifest = store.put(an_identity(), scalars={"loss": 1.25})
    assert store.manifests() == [manifest]
    with sqlite3.connect(store.index.path) as connection:
        changed = manifest.dump().replace(b"1.25", b"9.75")
        connection.execute("UPDATE manifests SET content = ?", (changed,))
    connection.close()
    assert Store(store.address).manifests() == [manifest]
    assert store.quarantined == []


def test_an_index_that_cannot_be_written_is_done_without(store, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NTK_EXPLORER_INDEX", str(tmp_path / "file"))
    manifest = put(store, 0)
    poor = Store(store.address)
    assert poor.manifests() == [manifest]
    assert poor.get(manifest.key)
    assert poor.index.uses().keys() == {manifest.key}


def test_an_index_that_fails_half_way_hides_nothing_from_the_collector(store, monkeypatch):
    monkeypatch.setattr("ntk_explorer.store.index.PATIENCE", 0.05)
    put(store, 0)
    age(Path(store.address), days=2)
    assert kept(store) == {0}
    put(store, 1)
    late = Store(store.address)
    late.index.rows()
    other = sqlite3.connect(store.index.path)
    other.execute("BEGIN IMMEDIATE")
    assert late.collect().orphan_bytes == 0  # reads the index, and cannot write to it
    other.close()
    assert late.index.path == ":memory:"
    assert kept(late) == {0, 1}
    assert all(late.get(an_identity(number).key) for number in (0, 1))


def test_every_address_has_an_index_of_its_own(tmp_path):
    paths = {index_path(address) for address in ("/a", "/b", "s3://a", "s3://b")}
    assert len(paths) == 4
    assert all(path.startswith(os.environ["NTK_EXPLORER_INDEX"]) for path in paths)


def test_what_another_process_did_is_listed(store):
    put(store, 0)
    assert kept(store) == {0}
    other = Store(store.address)
    put(other, 1)
    assert kept(store) == {0, 1}
    other.delete(an_identity(0).key)
    assert kept(store) == {1}


def test_exported_and_imported_is_the_same(any_store, tmp_path):
    source = any_store.put(an_identity(0), a_dataset())
    scalars = {"loss": float("nan")}
    last = any_store.put(an_identity(1, inputs=(source.key, an_identity(98).key)), a_dataset(1), scalars=scalars)
    any_store.put(an_identity(2), a_dataset(2))
    archive = tmp_path / "results.tar"
    assert any_store.export([last.key], archive) == [source.key, last.key]
    other = Store(tmp_path / "other")
    assert other.import_(archive) == [source.key, last.key]
    assert other.import_(archive) == []
    assert other.verify(deep=True).sound == tuple(sorted([source.key, last.key]))
    assert other.get(source.key).dataset.identical(a_dataset())
    assert np.isnan(other.get(last.key).manifest.scalars["loss"])
    assert other.get(last.key).manifest.provenance == last.provenance
    other.delete(last.key)
    assert other.import_(archive) == [last.key]


def test_a_sealed_artefact_is_imported_beside_somebodys_work(store, tmp_path):
    manifest = fill_shared(store, np.arange(16.0).reshape(4, 4)).seal()
    store.export([manifest.key], tmp_path / "a.tar")
    other = Store(tmp_path / "other")
    attempt = fill_shared(other, np.zeros((4, 4)))
    other.import_(tmp_path / "a.tar")
    np.testing.assert_array_equal(other.get(manifest.key).dataset["kernel"], np.arange(16.0).reshape(4, 4))
    assert attempt.seal().attempt != "shared"


def test_a_damaged_archive_gives_nothing_wrong(store, tmp_path):
    first, second = store.put(an_identity(0), a_dataset()), store.put(an_identity(1), a_dataset(1))
    archive = tmp_path / "a.tar"
    store.export([first.key, second.key], archive)
    content = archive.read_bytes()
    random = np.random.default_rng(0)
    for trial, position in enumerate(random.integers(0, len(content), 60)):
        other = Store(f"memory://{tmp_path}/{trial}")
        if trial % 3:
            archive.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        else:
            archive.write_bytes(content[:position])
        try:
            other.import_(archive)
        except InvalidInput as error:
            assert "Export it again" in str(error)  # noqa: PT017
        for manifest, shift in ((first, 0), (second, 1)):
            found = other.get(manifest.key)
            assert found is None or found.dataset.identical(a_dataset(shift))
        assert other.quarantined == []
        assert len(other.objects.below("objects")) == sum(len(m.files) for m in other.manifests())


def test_nothing_leaves_the_store_by_an_archive(store, tmp_path):
    manifest = store.put(an_identity(), a_dataset())
    evil = tmp_path / "evil.tar"
    stray = ["../escaped", "/escaped", "objects/../../escaped", "pins/" + "ab" * 32, f"{manifest.folder}/extra"]
    forged = manifest.model_copy(update={"config": {"number": 5}})
    outside = manifest.files[0].model_copy(update={"path": "data.zarr/../../../../../escaped"})
    climbing = manifest.model_copy(update={"files": (outside,)})
    with tarfile.open(evil, "w") as archive:
        for name in stray:
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("objects/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    other = Store(tmp_path / "deep" / "other")
    with pytest.raises(InvalidInput, match="holds no artefacts"):
        other.import_(evil)
    assert not other.objects.folder.exists()
    for bad, words in ((forged, "describes another artefact"), (climbing, "of another kind")):
        with tarfile.open(evil, "w") as archive:
            member = tarfile.TarInfo(manifest.name)
            member.size = len(bad.dump())
            archive.addfile(member, io.BytesIO(bad.dump()))
        with pytest.raises(InvalidInput, match=words):
            other.import_(evil)
    assert [path for path in tmp_path.rglob("*") if "escaped" in path.name] == []


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b compressed"])
def test_what_is_no_archive_is_refused(store, tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"no whole archive|holds no artefacts"):
        store.import_(tmp_path / "a.tar")


def test_exports_that_cannot_be(store, tmp_path):
    manifest = put(store, 0)
    with pytest.raises(InvalidInput, match="There is no artefact"):
        store.export([an_identity(7).key], tmp_path / "a.tar")
    with pytest.raises(InvalidInput, match="cannot be written"):
        store.export([manifest.key], tmp_path / "absent" / "a.tar")
    (store.objects.folder / manifest.folder / "data.zarr/a/c/0").write_bytes(b"")
    with pytest.raises(InvalidInput, match="Compute it again"):
        store.export([manifest.key], tmp_path / "a.tar")
    assert list(tmp_path.glob("*a.tar*")) == []
    assert len(store.quarantined) == 1


def test_identities_of_inputs_chain(store):
    source = put(store, 0)
    child = Identity("child", 1, inputs=(source.key,))
    store.put(child)
    assert store.manifest(child.key).inputs == (source.key,)
    assert child.key != Identity("child", 1).key
