"""The store: results under keys, published whole, verified when they are read."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntk_explorer.errors import NTKExplorerError
from ntk_explorer.store.addresses import Objects, normalise
from ntk_explorer.store.index import Index
from ntk_explorer.store.keys import Identity, check_key
from ntk_explorer.store.manifest import (
    ASIDE,
    DATA,
    TAIL,
    Damaged,
    File,
    Manifest,
    artefact_folder,
    manifest_name,
    write_manifest,
)

if TYPE_CHECKING:
    import xarray as xr

    from ntk_explorer.store.attempt import Attempt
    from ntk_explorer.store.collect import Collected, Report, Usage


@dataclass(frozen=True)
class Artefact:
    """A stored result: what is known of it, and its arrays."""

    manifest: Manifest
    dataset: xr.Dataset


class Store:
    """Results by key, in a folder or a bucket; several processes and hosts may share it.

    An artefact exists when its manifest does. The manifest is written last, by an exclusive create, so that of
    several writers the first wins and the others read what it wrote. Whatever is found damaged is moved to
    ``quarantine/`` and counts as absent.

    Args:
        address: a folder, ``file://``, ``s3://``, ``gs://``, ``az://`` or ``memory://`` (this process only);
            None for :func:`ntk_explorer.store.addresses.store_address`.

    Raises:
        InvalidInput: the address is none, now or, when it is first used, cannot be reached.
    """

    def __init__(self, address: str | Path | None = None):
        """Costs nothing: folder or bucket are first touched when something is asked of them."""
        self.address = normalise(address)
        self.objects = Objects(self.address)
        self.index = Index(self.address)

    def __repr__(self) -> str:
        return f"Store({self.address!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Store) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __reduce__(self):
        """As its address, so that it can be sent to another process."""
        return Store, (self.address,)

    @property
    def private(self) -> bool:
        """Whether other processes cannot see it (``memory://``)."""
        return self.objects.private

    @property
    def mark(self) -> str:
        """What tells this store from one that has the same address on another machine; made when first asked for."""
        self.objects.create("mark", uuid.uuid4().hex.encode())
        return self.objects.read("mark").decode()

    def __contains__(self, key: str) -> bool:
        """Whether there is an artefact; it is verified when it is read."""
        return self.objects.exists(manifest_name(check_key(key)))

    def keys(self) -> set[str]:
        """Keys of all artefacts, by one listing."""
        return {_key_of(item["path"]) for item in self.objects.below("manifests")}

    def missing(self, keys: Iterable[str]) -> set[str]:
        """Those keys that have no artefact, by one listing."""
        return set(keys) - self.keys()

    def manifest(self, key: str) -> Manifest | None:
        """What is known of an artefact, or None; its arrays are not looked at."""
        found = self._read(check_key(key))
        return found[0] if found else None

    def get(self, key: str) -> Artefact | None:
        """The artefact of a key with its arrays in memory, every byte verified; None where there is none."""

        def read(manifest: Manifest) -> xr.Dataset:
            from ntk_explorer.store.arrays import decode

            contents = self.objects.each(lambda file: self.read_file(manifest, file), manifest.files)
            return decode({_below_data(f.path): content for f, content in zip(manifest.files, contents, strict=True)})

        return self._artefact(key, read)

    def open(self, key: str) -> Artefact | None:
        """The same for arrays larger than memory, which are read where they are used.

        Sizes and checksums of all chunks are compared now, the chunks themselves when they are read: a damaged
        one raises :class:`Damaged` then, and the artefact counts as absent from there on.
        """

        def read(manifest: Manifest) -> xr.Dataset:
            import xarray as xr

            from ntk_explorer.store.arrays import Listed, decode_lazily

            if not manifest.files:
                return xr.Dataset()
            self.check_files(manifest)
            files = {f"{manifest.folder}/{file.path}": file for file in manifest.files}
            listed = Listed(self.objects, files, lambda: self.quarantine(manifest))
            return decode_lazily(listed, f"{manifest.folder}/{DATA}")

        return self._artefact(key, read)

    def put(
        self,
        identity: Identity,
        dataset: xr.Dataset | None = None,
        *,
        title: str = "",
        scalars: dict[str, Any] | None = None,
        provenance: dict[str, Any] | None = None,
        seconds: float = 0.0,
    ) -> Manifest:
        """Keep a result.

        Args:
            identity: what it was computed from.
            dataset: its arrays: numbers and text.
            title: a line for people.
            scalars: single numbers and words, found without opening an array.
            provenance: what is worth knowing but changes no number; versions and host are added.
            seconds: what it cost to compute.

        Returns:
            Its manifest, or that of the artefact which is there already: the first one written stays.

        Raises:
            InvalidInput: an array holds Python objects, or the store cannot be written to.
            NTKExplorerError: the disk is full; what was stored before is kept.
        """
        if found := self.manifest(identity.key):
            return found
        attempt, files = uuid.uuid4().hex[:16], []
        folder = f"{artefact_folder(identity.key)}/{attempt}"

        def keep(path: str, content: bytes) -> None:
            self.objects.write(f"{folder}/{DATA}/{path}", content)
            files.append(File.of(f"{DATA}/{path}", content))

        try:
            arrays = {}
            if dataset is not None:
                from ntk_explorer.store.arrays import encode

                arrays = encode(dataset, keep)
            details: Any = {"title": title, "scalars": scalars, "provenance": provenance, "seconds": seconds}
            return self.publish(write_manifest(identity, attempt, files, arrays, **details))
        except BaseException:
            self.objects.remove_tree(folder)
            raise

    def shared(self, identity: Identity) -> Attempt:
        """An artefact that many processes fill together; see :class:`ntk_explorer.store.attempt.Attempt`."""
        from ntk_explorer.store.attempt import Attempt

        return Attempt(self, identity)

    def manifests(self, producer: str | None = None) -> list[Manifest]:
        """All artefacts, or those of one producer, the newest first."""
        # What there is says the listing alone: the index may fail at any moment, and what is absent is collected.
        stamps = {_key_of(i["path"]): f"{i['e_tag']} {i['last_modified']}" for i in self.objects.below("manifests")}
        known = self.index.rows()
        fresh = [key for key, stamp in stamps.items() if key not in known or known[key][0] != stamp]
        read = [item for item in self.objects.each(self._read, fresh) if item]
        rows = [(manifest.key, stamps[manifest.key], manifest.producer, content) for manifest, content in read]
        self.index.update(rows, known.keys() - stamps.keys())
        found = [manifest for manifest, _ in read if producer in (None, manifest.producer)]
        for key in stamps.keys() - fresh:
            _, made_by, content = known[key]
            if producer in (None, made_by):
                found += self._indexed(key, content)
        return sorted(found, key=lambda manifest: (manifest.created, manifest.key), reverse=True)

    def require_writable(self) -> None:
        """Write the smallest thing there is, and undo it.

        Raises:
            InvalidInput: the store cannot be written to.
            NTKExplorerError: the disk is full.
        """
        nothing = "0" * 64  # no artefact has this key
        self.pin(nothing)
        self.unpin(nothing)

    def pin(self, key: str) -> None:
        """Keep an artefact, and those it was computed from, whatever the size cap says."""
        self.objects.write(f"pins/{check_key(key)}", b"")

    def unpin(self, key: str) -> None:
        """Undo :meth:`pin`."""
        self.objects.remove([f"pins/{check_key(key)}"])

    def pins(self) -> set[str]:
        """Pinned keys."""
        return {item["path"].rpartition("/")[2] for item in self.objects.below("pins")}

    def delete(self, key: str) -> None:
        """Remove an artefact, its manifest first: readers find all of it or nothing."""
        manifest = self.manifest(key)
        self.objects.remove([manifest_name(key)])
        self.objects.remove_tree(manifest.folder if manifest else artefact_folder(key))
        self.unpin(key)
        self.index.forget(key)

    @property
    def quarantined(self) -> list[str]:
        """Names of what was found damaged: the key and the time."""
        return self.objects.folders("quarantine")

    def publish(self, manifest: Manifest) -> Manifest:
        """Make finished files an artefact; returns the manifest that counts."""
        for _ in range(3):
            if self.objects.create(manifest.name, manifest.dump()):
                return manifest
            if winner := self.manifest(manifest.key):  # a damaged one is set aside by this
                if winner.attempt != manifest.attempt:
                    self.objects.remove_tree(manifest.folder)
                return winner
        raise NTKExplorerError(f"The artefact {manifest.key} cannot be published in {self.address!r}", "Try again.")

    def check_files(self, manifest: Manifest) -> None:
        """Compare presence, size and last bytes of all files with the manifest.

        Raises:
            Damaged: a file is missing or another one.
        """
        sizes = {item["path"]: item["size"] for item in self.objects.below(manifest.folder)}

        def check(file: File) -> None:
            name = f"{manifest.folder}/{file.path}"
            if sizes.get(name) != file.bytes or self._ending(name, file.bytes) != file.tail:
                raise Damaged(f"{name} is damaged")

        self.objects.each(check, manifest.files)

    def read_file(self, manifest: Manifest, file: File) -> bytes:
        """The content of one file, compared with the manifest.

        Raises:
            Damaged: it is missing or another.
        """
        name = f"{manifest.folder}/{file.path}"
        try:
            content = self.objects.read(name)
        except FileNotFoundError:
            raise Damaged(f"{name} is missing") from None
        if not file.holds(content):
            raise Damaged(f"{name} is damaged")
        return content

    def quarantine(self, manifest: Manifest) -> None:
        """Set an artefact aside for a person to look at: from now on it is absent."""
        now = self.manifest(manifest.key)
        if now and now.attempt == manifest.attempt:  # else it was evicted, or replaced by another process
            self._set_aside(manifest.key, manifest.folder)

    def verify(self, *, deep: bool = False) -> Report:
        """Check all artefacts; see :func:`ntk_explorer.store.collect.verify`."""
        from ntk_explorer.store.collect import verify

        return verify(self, deep=deep)

    def collect(self, cap_bytes: int | None = None, *, keep: Iterable[str] = ()) -> Collected:
        """Remove what nobody needs; see :func:`ntk_explorer.store.collect.collect`."""
        from ntk_explorer.store.collect import collect

        return collect(self, cap_bytes, keep=keep)

    def usage(self, manifests: Sequence[Manifest] | None = None) -> Usage:
        """How much is stored; see :func:`ntk_explorer.store.collect.usage`."""
        from ntk_explorer.store.collect import usage

        return usage(self, manifests)

    def export(self, keys: Iterable[str], path: str | Path) -> list[str]:
        """Write artefacts to one file; see :func:`ntk_explorer.store.transfer.export`."""
        from ntk_explorer.store.transfer import export

        return export(self, keys, Path(path))

    def import_(self, path: str | Path) -> list[str]:
        """Take over the artefacts of such a file; see :func:`ntk_explorer.store.transfer.import_`."""
        from ntk_explorer.store.transfer import import_

        return import_(self, Path(path))

    def _artefact(self, key: str, read: Callable[[Manifest], xr.Dataset]) -> Artefact | None:
        manifest = self.manifest(key)
        if manifest is None:
            return None
        try:
            dataset = read(manifest)
        except Damaged:
            self.quarantine(manifest)
            return None
        self.index.used(key)
        return Artefact(manifest, dataset)

    def _read(self, key: str) -> tuple[Manifest, bytes] | None:
        """A manifest and its file's content; a damaged one is set aside with all that lies under its key."""
        try:
            content = self.objects.read(manifest_name(key))
            return Manifest.load(content, key), content
        except FileNotFoundError:
            return None
        except Damaged:
            self._set_aside(key, artefact_folder(key))
            return None

    def _ending(self, name: str, size: int) -> str:
        try:
            return self.objects.ending(name, size, TAIL).hex()
        except FileNotFoundError:
            raise Damaged(f"{name} is missing") from None

    def _set_aside(self, key: str, folder: str) -> None:
        """Move manifest and files to the quarantine, the manifest first."""
        aside = f"quarantine/{key}.{datetime.now(UTC):{ASIDE}}"
        self.objects.move(manifest_name(key), f"{aside}/manifest.json")
        self.index.forget(key)
        for item in self.objects.below(folder):
            self.objects.move(item["path"], f"{aside}/{item['path'].removeprefix(f'{folder}/')}")

    def _indexed(self, key: str, content: bytes) -> list[Manifest]:
        """What the index says of an artefact; where the index is damaged, the manifest itself."""
        try:
            return [Manifest.load(content, key)]
        except Damaged:
            return list(filter(None, [self.manifest(key)]))


def _key_of(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".json")


def _below_data(path: str) -> str:
    return path.removeprefix(f"{DATA}/")
