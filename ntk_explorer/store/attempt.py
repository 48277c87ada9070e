"""One artefact made by many processes: all fill the same arrays, whole chunks at a time, and one seals them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ntk_explorer.errors import NTKExplorerError
from ntk_explorer.store.keys import Identity
from ntk_explorer.store.manifest import (
    DATA,
    SHARED,
    ArrayInfo,
    Damaged,
    File,
    Manifest,
    artefact_folder,
    write_manifest,
)

if TYPE_CHECKING:
    import zarr
    from zarr.storage import StorePath

    from ntk_explorer.store.artefacts import Store


class Incomplete(NTKExplorerError):
    """Chunks that were never written, or were damaged and have been removed; ``missing`` is their number."""

    def __init__(self, missing: int):
        """Say how many."""
        self.missing = missing
        super().__init__(f"{missing} chunks are missing or were damaged", "Press run again: only they are computed.")


@dataclass(frozen=True)
class Attempt:
    """Arrays that grow chunk by chunk until :meth:`seal` makes them an artefact.

    A chunk counts as done when it is there, so write whole chunks only. Sent to another process it is its store's
    address and its identity. Writing the same chunk twice is no harm before it is sealed.
    """

    store: Store
    identity: Identity

    @property
    def folder(self) -> str:
        """Where it lies in the store."""
        return f"{artefact_folder(self.identity.key)}/{SHARED}"

    @property
    def arrays(self) -> StorePath:
        """The Zarr store that holds the arrays; :meth:`create` makes them in the right form."""
        from zarr.storage import StorePath

        from ntk_explorer.store.arrays import Stored

        return StorePath(Stored(self.store.objects), f"{self.folder}/{DATA}")

    def group(self, attributes: dict[str, Any] | None = None) -> zarr.Group:
        """The group of all arrays, made where it is not there; ``coordinates`` names arrays that are no variables."""
        import zarr

        with self.store.objects.explained():
            try:
                return zarr.open_group(self.arrays, mode="r+")
            except FileNotFoundError:
                return zarr.create_group(self.arrays, attributes=attributes)

    def create(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: Any,
        dims: tuple[str, ...],
        *,
        chunks: tuple[int, ...] | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> zarr.Array:
        """An array to write whole chunks into: new, or the same that another process has made.

        Shape, type and chunks have to follow from the identity: metadata that say otherwise count as damaged and
        are written anew.

        Raises:
            InvalidInput: the store cannot be written to.
        """
        from zarr.errors import ContainsArrayError

        from ntk_explorer.store.arrays import METADATA, create_array, find_array

        with self.store.objects.explained():
            for _ in range(3):
                try:
                    if found := find_array(self.group(), name, shape, dtype, chunks):
                        return found
                    return create_array(self.group(), name, shape, dtype, dims, chunks=chunks, attributes=attributes)
                except ContainsArrayError:  # another process was faster
                    continue
                except (Damaged, ValueError, TypeError):  # its metadata is damaged; the chunks are kept
                    self.store.objects.remove([f"{self.folder}/{DATA}/{name}/{METADATA}"])
        raise NTKExplorerError(f"The array {name!r} cannot be made in {self.store.address!r}", "Try again.")

    def __contains__(self, chunk: str) -> bool:
        """Whether one chunk is there; for many, ask for :meth:`keys`."""
        return self.store.objects.exists(f"{self.folder}/{DATA}/{chunk}")

    def keys(self) -> set[str]:
        """Names of the chunks that are there, such as ``kernel/c/0/3``, by one listing."""
        start = f"{self.folder}/{DATA}/"
        found = {item["path"].removeprefix(start) for item in self.store.objects.below(self.folder)}
        return {path for path in found if not path.endswith("zarr.json")}

    def seal(
        self,
        *,
        title: str = "",
        scalars: dict[str, Any] | None = None,
        provenance: dict[str, Any] | None = None,
        seconds: float = 0.0,
    ) -> Manifest:
        """Check every chunk of every array and publish them as the artefact.

        Raises:
            Incomplete: some are not there, or are damaged and were removed.
        """
        if found := self.store.manifest(self.identity.key):
            return found
        files, arrays = self._checked()
        details: Any = {"title": title, "scalars": scalars, "provenance": provenance, "seconds": seconds}
        return self.store.publish(write_manifest(self.identity, SHARED, files, arrays, **details))

    def _checked(self) -> tuple[list[File], dict[str, ArrayInfo]]:
        from ntk_explorer.store.arrays import METADATA, consolidated, describe

        group, present, files, missing = self._readable_group(), self.keys(), [], 0
        for name, array in _arrays(group):
            for file in self._chunks(name, array, present):
                files += [file] if file else []
                missing += file is None
        if missing or not files:
            raise Incomplete(missing or 1)
        metadata = {path: self._content(path) for path in (METADATA, *(f"{n}/{METADATA}" for n in group.array_keys()))}
        metadata[METADATA] = consolidated(metadata)
        self.store.objects.write(f"{self.folder}/{DATA}/{METADATA}", metadata[METADATA])
        files += [File.of(f"{DATA}/{path}", content) for path, content in metadata.items()]
        return files, describe(group)

    def _readable_group(self) -> zarr.Group:
        import zarr

        try:
            return zarr.open_group(self.arrays, mode="r+", use_consolidated=False)
        except FileNotFoundError:
            raise Incomplete(1) from None

    def _chunks(self, name: str, array: zarr.Array, present: set[str]) -> Iterator[File | None]:
        """What the manifest is to say of every chunk, None for those that are not sound."""
        from ntk_explorer.store.arrays import METADATA, chunk_names, decode_chunk

        metadata = self._content(f"{name}/{METADATA}")
        for chunk, place in chunk_names(array):
            path = f"{name}/{chunk}"
            if path not in present:
                yield None
                continue
            try:
                content = self._content(path)
                decode_chunk(metadata, chunk, place, content)
                yield File.of(f"{DATA}/{path}", content)
            except (FileNotFoundError, Damaged):
                self.store.objects.remove([f"{self.folder}/{DATA}/{path}"])
                yield None

    def _content(self, path: str) -> bytes:
        return self.store.objects.read(f"{self.folder}/{DATA}/{path}")


def _arrays(group: zarr.Group) -> list[tuple[str, zarr.Array]]:
    try:
        return list(group.arrays())
    except (ValueError, KeyError, TypeError):  # damaged metadata; `create` writes it anew
        raise Incomplete(1) from None
