"""Whatever happens to the bytes: never a wrong number, set aside, counted, and computed again."""

import numpy as np
import pytest
import xarray as xr
from store_samples import a_dataset, an_identity, fill_shared

from ntk_explorer.store import Damaged, Identity, Manifest, Store

KEY = an_identity().key
CHUNK, OTHER = "data.zarr/gram/c/0/0", "data.zarr/eigenvalues/c/0"
METADATA = ("data.zarr/zarr.json", "data.zarr/gram/zarr.json")


def change(path, damage):
    path.write_bytes(damage(path.read_bytes()))


def flip(position, bit=0):
    def damage(content):
        content = bytearray(content)
        content[position] ^= 1 << bit
        return bytes(content)

    return damage


def truncate(content):
    return content[:-1]


def cut(content):
    return content[: len(content) // 2]


def empty(content):
    return b""


def zero_the_tail(content):
    return content[:-8] + bytes(8)


def all_of(size):
    """One artefact whose two arrays have chunks of one size, so that they can be swapped."""
    return xr.Dataset({"a": ("x", np.arange(size)), "b": ("x", np.arange(size)[::-1].copy())})


def swap(first, second):
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)


def assert_set_aside(store, key=KEY):
    assert len(store.quarantined) == 1
    assert store.quarantined[0].startswith(f"{key}.")
    assert key not in store
    assert store.get(key) is None
    assert store.open(key) is None
    assert store.manifests() == []
    assert store.missing([key]) == {key}
    aside = store.objects.folder / "quarantine" / store.quarantined[0]
    assert (aside / "manifest.json").exists()
    store.put(an_identity(), a_dataset(), scalars={"trace": 3.5})
    assert store.get(KEY).dataset.identical(a_dataset())
    assert store.get(KEY).manifest.scalars == {"trace": 3.5}
    assert len(store.quarantined) == 1


@pytest.fixture
def manifest(store):
    return store.put(an_identity(), a_dataset(), scalars={"trace": 3.5})


@pytest.mark.parametrize("file", [CHUNK, OTHER, *METADATA])
@pytest.mark.parametrize("damage", [truncate, cut, empty, zero_the_tail, flip(0), flip(5), flip(-1, 7)])
@pytest.mark.parametrize("way", ["get", "verify"])
def test_a_damaged_file(store, manifest, file, damage, way):
    change(store.objects.folder / manifest.folder / file, damage)
    if way == "get":
        assert store.get(KEY) is None
    else:
        assert store.verify(deep=True).damaged == (KEY,)
    assert_set_aside(store)


@pytest.mark.parametrize("file", [CHUNK, *METADATA])
def test_a_missing_file(store, manifest, file):
    (store.objects.folder / manifest.folder / file).unlink()
    assert store.get(KEY) is None
    assert_set_aside(store)


@pytest.mark.parametrize("file", [CHUNK, *METADATA])
@pytest.mark.parametrize("damage", [truncate, empty, zero_the_tail, None])
def test_what_is_opened_lazily_is_set_aside_at_once(store, manifest, file, damage):
    path = store.objects.folder / manifest.folder / file
    change(path, damage) if damage else path.unlink()
    assert store.open(KEY) is None
    assert_set_aside(store)


@pytest.mark.parametrize("deed", [flip(2), None])
def test_what_is_damaged_or_removed_after_it_was_opened_gives_no_number(store, manifest, deed):
    found = store.open(KEY).dataset
    path = store.objects.folder / manifest.folder / CHUNK
    change(path, deed) if deed else path.unlink()
    with pytest.raises(Damaged, match="damaged or was removed"):
        found["gram"].load()
    assert_set_aside(store)


def test_a_flipped_bit_between_two_lazy_reads_gives_no_number(store):
    attempt = fill_shared(store, np.arange(16.0).reshape(4, 4))
    manifest = attempt.seal()
    kernel = store.open(manifest.key).dataset["kernel"]
    np.testing.assert_array_equal(kernel[:2, :2], [[0, 1], [4, 5]])
    change(store.objects.folder / manifest.folder / "data.zarr/kernel/c/0/0", flip(3))
    with pytest.raises(Damaged, match="damaged or was removed"):
        kernel[:2, :2].load()
    assert_set_aside(store)


@pytest.mark.parametrize("way", ["get", "open", "verify"])
def test_two_swapped_chunks(store, way):
    manifest = fill_shared(store, np.arange(16.0).reshape(4, 4)).seal()
    chunks = store.objects.folder / manifest.folder / "data.zarr/kernel/c"
    swap(chunks / "0/1", chunks / "1/0")
    assert getattr(store, way)(*([KEY] if way != "verify" else [])) is None or store.verify().damaged == ()
    assert_set_aside(store)


def test_two_swapped_manifests(store, manifest):
    other = store.put(an_identity(1), a_dataset(1))
    swap(store.objects.folder / manifest.name, store.objects.folder / other.name)
    assert store.get(KEY) is None
    assert store.get(other.key) is None
    assert len(store.quarantined) == 2
    assert store.manifests() == []


@pytest.mark.parametrize("damage", [truncate, cut, empty, flip(0), flip(-1), flip(200, 3), lambda content: b"{}\n"])
@pytest.mark.parametrize("way", ["get", "open", "manifest", "manifests", "put", "verify"])
def test_a_damaged_manifest(store, manifest, damage, way):
    change(store.objects.folder / manifest.name, damage)
    if way == "put":
        store.put(an_identity(), a_dataset(), scalars={"trace": 3.5})
        assert store.get(KEY).dataset.identical(a_dataset())
        assert len(store.quarantined) == 1
        return
    found = getattr(store, way)(*([KEY] if way in ("get", "open", "manifest") else []))
    assert (found.damaged == (KEY,)) if way == "verify" else not found
    assert_set_aside(store)


def test_no_flipped_bit_of_a_manifest_is_believed(manifest):
    content = manifest.dump()
    assert Manifest.load(content, KEY).dump() == content
    for position in range(len(content)):
        with pytest.raises(Damaged):
            Manifest.load(flip(position, position % 8)(content), KEY)
    for length in range(0, len(content), 7):
        with pytest.raises(Damaged):
            Manifest.load(content[:length], KEY)


def test_no_flipped_byte_of_any_file_gives_other_numbers(store, manifest):
    for file in manifest.files:
        path = store.objects.folder / manifest.folder / file.path
        content = path.read_bytes()
        for position in range(0, len(content), 5):
            assert not file.holds(flip(position)(content))
        assert file.holds(content)


def test_a_manifest_whose_key_is_not_that_of_its_contents_is_found_by_a_deep_check(store, manifest):
    forged = manifest.model_copy(update={"config": {"number": 7}})
    (store.objects.folder / manifest.name).write_bytes(forged.dump())
    assert store.verify().sound == (KEY,)
    assert store.verify(deep=True).damaged == (KEY,)


def test_a_later_version_may_add_fields_to_manifests(store, manifest):
    text = manifest.dump().decode()
    body = text[: text.index(',"sha256":"', len(text) - 80)] + ',"later":1}'
    from ntk_explorer.store.manifest import _summed

    (store.objects.folder / manifest.name).write_bytes(_summed(body.encode()))
    assert store.get(KEY).dataset.identical(a_dataset())
    change(store.objects.folder / manifest.folder / CHUNK, empty)
    assert store.get(KEY) is None
    assert_set_aside(store)


def test_damage_in_a_bucket(any_store):
    manifest = any_store.put(an_identity(), a_dataset())
    name = f"{manifest.folder}/{CHUNK}"
    any_store.objects.write(name, flip(3)(any_store.objects.read(name)))
    assert any_store.get(KEY) is None
    assert len(any_store.quarantined) == 1
    any_store.put(an_identity(), a_dataset())
    assert any_store.get(KEY).dataset.identical(a_dataset())
    any_store.objects.remove([f"{any_store.manifest(KEY).folder}/{CHUNK}"])
    assert any_store.open(KEY) is None
    assert len(any_store.quarantined) == 2


def test_verify_leaves_what_is_sound(store, manifest):
    others = [store.put(an_identity(number), a_dataset(number)) for number in (1, 2)]
    change(store.objects.folder / others[0].folder / CHUNK, cut)
    report = store.verify()
    assert set(report.sound) == {KEY, others[1].key}
    assert report.damaged == (others[0].key,)
    assert Store(store.address).verify(deep=True).damaged == ()


def test_identity_of_a_damaged_artefact_is_known_from_the_quarantine(store, manifest):
    change(store.objects.folder / manifest.folder / CHUNK, cut)
    assert store.get(KEY) is None
    aside = store.objects.folder / "quarantine" / store.quarantined[0]
    assert isinstance(Manifest.load((aside / "manifest.json").read_bytes(), KEY).identity, Identity)
    assert (aside / CHUNK).exists()
