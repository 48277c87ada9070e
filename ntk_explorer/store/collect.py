"""Keeping the store in order: its size, what is damaged, what nobody needs."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ntk_explorer.amounts import read_bytes
from ntk_explorer.errors import InvalidInput
from ntk_explorer.store.addresses import own_folder
from ntk_explorer.store.manifest import ASIDE, SHARED, Damaged, Manifest

if TYPE_CHECKING:
    from ntk_explorer.store.artefacts import Store

CAP_VARIABLE = "NTK_EXPLORER_STORE_CAP"
CAP = "20GB"
DAY = 86_400.0
# Since the last write: nobody works for longer on one chunk, or leaves a tiled job for longer.
LOST, ABANDONED, LOOKED_AT = 1 * DAY, 7 * DAY, 30 * DAY


@dataclass(frozen=True)
class Usage:
    """How much a store holds, in bytes and artefacts, and how many bytes it may.

    ``enforced`` says whether runs keep to that by themselves: in the user's own folder, or where the size was named.
    """

    bytes: int
    artefacts: int
    cap: int
    enforced: bool


@dataclass(frozen=True)
class Report:
    """Keys of sound artefacts, and of those that were found damaged and are in quarantine now."""

    sound: tuple[str, ...]
    damaged: tuple[str, ...]


@dataclass(frozen=True)
class Collected:
    """What was removed: artefacts, and bytes of what belonged to none; and how much is left."""

    evicted: tuple[Manifest, ...]
    orphan_bytes: int
    bytes: int
    cap: int


def store_cap() -> int:
    """Bytes a store may hold: ``$NTK_EXPLORER_STORE_CAP``, else 20 GB."""
    given = os.environ.get(CAP_VARIABLE) or CAP
    try:
        return read_bytes(given)
    except InvalidInput as error:
        raise InvalidInput(f"${CAP_VARIABLE}: {error.problem}", error.remedy) from None


def usage(store: Store, manifests: Sequence[Manifest] | None = None) -> Usage:
    """How much is stored, from the manifests, which are read where they are not at hand."""
    manifests = store.manifests() if manifests is None else manifests
    enforced = CAP_VARIABLE in os.environ or store.address == own_folder()
    return Usage(sum(manifest.nbytes for manifest in manifests), len(manifests), store_cap(), enforced)


def verify(store: Store, *, deep: bool = False) -> Report:
    """Check all artefacts, and set those aside that are damaged.

    Args:
        store: the store.
        deep: read every byte and compare its SHA-256, and the key with what the manifest says it was made of;
            else presence, size and the checksum at the end of every file.
    """
    keys = sorted(store.keys())
    sound = tuple(key for key in keys if _is_sound(store, key, deep=deep))
    return Report(sound, tuple(sorted(set(keys) - set(sound))))


def collect(store: Store, cap_bytes: int | None = None, *, keep: Iterable[str] = ()) -> Collected:
    """Remove leftovers of interrupted work, then artefacts until the store is within its size.

    Artefacts go in the order of idle time × bytes / seconds that they cost: what was used long ago, is large and is
    soon computed again goes first. Pinned ones stay, and all that they were computed from.

    Args:
        store: the store.
        cap_bytes: its size; None for :func:`store_cap`.
        keep: keys that stay as if they were pinned.
    """
    cap = store_cap() if cap_bytes is None else cap_bytes
    orphans = _sweep(store)
    manifests = store.manifests()
    total = sum(manifest.nbytes for manifest in manifests)
    evicted = []
    for manifest in _in_order_of_worth(store, manifests, {*store.pins(), *keep}):
        if total <= cap:
            break
        store.delete(manifest.key)
        evicted.append(manifest)
        total -= manifest.nbytes
    return Collected(tuple(evicted), orphans, total, cap)


def with_inputs(manifests: Iterable[Manifest], keys: Iterable[str]) -> list[str]:
    """The keys and all that they were computed from, inputs first."""
    known, found = {manifest.key: manifest for manifest in manifests}, {}

    def visit(key: str) -> None:
        if key not in found and key in known:
            for source in known[key].inputs:
                visit(source)
            found[key] = True

    for key in keys:
        visit(key)
    return list(found)


def _is_sound(store: Store, key: str, *, deep: bool) -> bool:
    manifest = store.manifest(key)
    if manifest is None:
        return False
    try:
        store.check_files(manifest)
        if deep:
            if manifest.identity.key != key:
                raise Damaged(f"The manifest of {key} describes another artefact")
            for file in manifest.files:
                store.read_file(manifest, file)
    except Damaged:
        store.quarantine(manifest)
        return False
    return True


def _in_order_of_worth(store: Store, manifests: list[Manifest], kept: set[str]) -> list[Manifest]:
    stay, uses, now = set(with_inputs(manifests, kept)), store.index.uses(), time.time()

    def worthless(manifest: Manifest) -> float:
        idle = now - max(uses.get(manifest.key, 0.0), manifest.created.timestamp())
        return max(idle, 0.0) * manifest.nbytes / max(manifest.seconds, 1e-3)

    return sorted((m for m in manifests if m.key not in stay), key=worthless, reverse=True)


def _sweep(store: Store) -> int:
    """Remove what belongs to no artefact and has not been touched for long; returns its bytes."""
    now, sizes, written = time.time(), defaultdict(int), defaultdict(float)
    for item in [*store.objects.below("objects"), *store.objects.below("quarantine")]:
        folder = "/".join(item["path"].split("/")[: 4 if item["path"].startswith("objects/") else 2])
        sizes[folder] += item["size"]
        written[folder] = max(written[folder], item["last_modified"].timestamp(), _set_aside(folder))
    live = {manifest.folder for manifest in store.manifests()}  # after the listing: what was published since stays
    gone = [folder for folder in sizes if folder not in live and now - written[folder] > _patience(folder)]
    for folder in gone:
        store.objects.remove_tree(folder)
    return sum(sizes[folder] for folder in gone) + sum(_remove(path, now) for path in list(store.objects.staged()))


def _set_aside(folder: str) -> float:
    """When something came to the quarantine, by its name: its files keep the time at which they were written."""
    with suppress(ValueError):
        return datetime.strptime(f"{folder.rpartition('.')[2]}Z", f"{ASIDE}%z").timestamp()
    return 0.0


def _patience(folder: str) -> float:
    if folder.startswith("quarantine/"):
        return LOOKED_AT
    return ABANDONED if folder.endswith(f"/{SHARED}") else LOST


def _remove(path: Path, now: float) -> int:
    with suppress(FileNotFoundError):
        found = path.stat()
        if now - found.st_mtime > LOST:
            path.unlink()
            return found.st_size
    return 0
