"""Datasets as Zarr v3: with a checksum in every chunk, uncompressed, and readable by plain ``xarray.open_zarr``.

Zarr is imported here, so import this module where it is used.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore, ObjectStore, StorePath

from ntk_explorer.errors import InvalidInput
from ntk_explorer.store.addresses import Objects
from ntk_explorer.store.keys import plain
from ntk_explorer.store.manifest import ArrayInfo, Damaged, File

METADATA = "zarr.json"
COORDINATES = "coordinates"  # xarray's name for the attribute that tells coordinates from variables
NAME = re.compile(r"[\w-][\w.-]*")
LARGEST_CHUNK = 16 * 2**20  # bytes
NUMBERS, TEXT = "biufc", "string"
WRITE_ALL: Any = {"write_empty_chunks": True}  # else a chunk of zeros would count as one that was never written


def encode(dataset: xr.Dataset, keep: Callable[[str, bytes], Any]) -> dict[str, ArrayInfo]:
    """Write a dataset; ``keep`` is given the name and content of every file, an array at a time.

    Zarr writes to memory and the files go on from there: its way to a bucket takes three times the work.
    """
    memory: dict[str, Buffer] = {}
    attributes = plain(dataset.attrs, "attributes") | {COORDINATES: " ".join(map(str, dataset.coords))}
    group = zarr.create_group(MemoryStore(memory), attributes=attributes)
    for name, variable in dataset.variables.items():
        values = _storable(str(name), variable.values)
        array = create_array(
            group, str(name), values.shape, values.dtype, variable.dims, attributes=plain(variable.attrs, str(name))
        )
        array[...] = values
        for path in [path for path in memory if not path.endswith(METADATA)]:
            keep(path, memory.pop(path).to_bytes())
    metadata = {path: content.to_bytes() for path, content in memory.items()}
    for path, content in (metadata | {METADATA: consolidated(metadata)}).items():
        keep(path, content)
    return describe(group)


def decode(files: Mapping[str, bytes]) -> xr.Dataset:
    """The dataset of :func:`encode`, in memory, from the content of its files."""
    if not files:
        return xr.Dataset()
    group = zarr.open_group(memory_store(files), mode="r", use_consolidated=True)
    attributes = dict(group.attrs)
    coordinates = str(attributes.pop(COORDINATES, "")).split()
    variables = {
        name: xr.Variable(_dims(array), _text(np.asarray(array[...])), dict(array.attrs))
        for name, array in group.arrays()
    }
    return xr.Dataset(variables, attrs=attributes).set_coords(coordinates)


def decode_lazily(store: ObjectStore, folder: str) -> xr.Dataset:
    """The dataset of :func:`encode`, whose numbers are read where they are used."""
    path = StorePath(store, folder)
    return xr.open_dataset(path, engine="zarr", chunks=None, consolidated=True)  # pyright: ignore[reportArgumentType]


def memory_store(files: Mapping[str, bytes]) -> MemoryStore:
    """A Zarr store of some files' contents."""
    return MemoryStore({path: as_buffer(content) for path, content in files.items()})


def as_buffer(content: bytes) -> Buffer:
    """Bytes as Zarr's own type."""
    return default_buffer_prototype().buffer.from_bytes(content)


def create_array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: Any,
    dims: tuple[Any, ...],
    *,
    chunks: tuple[int, ...] | None = None,
    attributes: dict[str, Any] | None = None,
) -> zarr.Array:
    """An array in the store's own form; a chunk that is not there reads as NaN, one that is written always is."""
    dtype = np.dtype(dtype)
    if not NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name for an array", "Use letters, digits, '_', '-' and '.'.")
    kind = TEXT if dtype.kind in "UO" else dtype
    return group.create_array(
        name,
        shape=shape,
        dtype=kind,
        chunks=chunks or chunk_shape(shape, dtype.itemsize),
        compressors=[Crc32cCodec()],
        fill_value={"f": math.nan, "c": complex(math.nan), "U": "", "O": ""}.get(dtype.kind, 0),
        dimension_names=[str(dim) for dim in dims],
        attributes=attributes,
        config=WRITE_ALL,
    )


def find_array(
    group: zarr.Group, name: str, shape: tuple[int, ...], dtype: Any, chunks: tuple[int, ...] | None
) -> zarr.Array | None:
    """The array of :func:`create_array` that is there already, or None."""
    dtype = np.dtype(dtype)
    try:
        array: Any = group[name]
    except KeyError:
        return None
    kind = str(dtype) if dtype.kind in NUMBERS else TEXT
    form = tuple(shape), kind, tuple(chunks or chunk_shape(shape, dtype.itemsize))
    if (array.shape, _kind(array), array.chunks) != form:
        raise Damaged(f"The array {name!r} has another form than {form}")
    return array.with_config(WRITE_ALL)


def chunk_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The whole array, or halves of its longest side until a chunk has at most 16 MiB."""
    chunk = [max(1, length) for length in shape]
    while math.prod(chunk) * itemsize > LARGEST_CHUNK:
        longest = chunk.index(max(chunk))
        chunk[longest] = -(-chunk[longest] // 2)
    return tuple(chunk)


def chunk_names(array: zarr.Array) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name below the array, and place, of every chunk that a whole array has."""
    for place in itertools.product(*map(range, array.cdata_shape)):
        yield "/".join(["c", *map(str, place)]), place


def decode_chunk(metadata: bytes, name: str, place: tuple[int, ...], content: bytes) -> np.ndarray:
    """The numbers of one chunk, given the metadata of its array.

    Raises:
        Damaged: its checksum is another.
    """
    try:
        array: Any = zarr.open_array(memory_store({METADATA: metadata, name: content}), mode="r")
        return array.blocks[place] if place else array[...]
    except Exception as error:  # whatever Zarr makes of damaged bytes
        raise Damaged(f"The chunk {name} is damaged: {error}") from None


def describe(group: zarr.Group) -> dict[str, ArrayInfo]:
    """Form of every array of a group."""
    return {name: ArrayInfo(shape=a.shape, dtype=_kind(a), dims=_dims(a)) for name, a in group.arrays()}


def consolidated(metadata: Mapping[str, bytes]) -> bytes:
    """A group's metadata with that of all its arrays in it, so that xarray opens it by one reading.

    Zarr's own function for this warns, and a warning cannot be held back in one thread only.
    """
    inner = {path.removesuffix(f"/{METADATA}"): json.loads(text) for path, text in metadata.items() if "/" in path}
    summary = {"kind": "inline", "must_understand": False, "metadata": inner}
    return json.dumps(json.loads(metadata[METADATA]) | {"consolidated_metadata": summary}).encode()


class Stored(ObjectStore):
    """Zarr's way to a store, with our errors instead of obstore's."""

    def __init__(self, objects: Objects, *, read_only: bool = False):
        """All of ``objects``."""
        super().__init__(objects.root(writing=not read_only), read_only=read_only)
        self._objects = objects

    def with_read_only(self, read_only: bool = False):
        """The same, for reading only or not."""
        return type(self)(self._objects, read_only=read_only)

    async def set(self, key: str, value: Buffer) -> None:
        """Write one file."""
        with self._objects.explained():
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write nothing: this is how Zarr makes a group of every folder above an array, up to the store's own."""


class Listed(Stored):
    """Files of one artefact, each compared with the manifest whenever it is read."""

    def __init__(self, objects: Objects, files: Mapping[str, File], damaged: Callable[[], Any]):
        """``files`` by their names in the store; ``damaged`` is called before a reader is told."""
        super().__init__(objects, read_only=True)
        self._files, self._damaged = files, damaged

    def with_read_only(self, read_only: bool = False):  # noqa: ARG002
        """Itself: there is nothing to write."""
        return self

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Buffer | None:
        """One file; what the manifest does not list is not there."""
        if key not in self._files:
            return None
        if byte_range is not None:
            raise NotImplementedError("a part of a file cannot be compared; arrays of ours are read in whole chunks")
        content = await super().get(key, prototype)
        # In a thread: the sums of several chunks are taken side by side.
        if content is None or not await asyncio.to_thread(self._files[key].holds, content.to_bytes()):
            self._damaged()
            problem = f"What the store {self._objects.address!r} holds as {key!r} is damaged or was removed"
            raise Damaged(problem, "Press run again: it is computed anew.")
        return content


def _storable(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in NUMBERS or values.dtype.kind == "U":
        return values
    if values.dtype.kind in "OT" and all(isinstance(value, str) for value in values.flat):
        return values.astype(object)
    remedy = "Only numbers and text are kept; convert the array, bfloat16 for instance to float32."
    raise InvalidInput(f"The array {name!r} is of type {values.dtype}", remedy)


def _text(values: np.ndarray) -> np.ndarray:
    """Text in numpy's oldest form, which everything takes; numbers as they are."""
    return values if values.dtype.kind in NUMBERS else values.astype(object).astype(str)


def _kind(array: zarr.Array) -> str:
    return str(array.dtype) if array.dtype.kind in NUMBERS else TEXT


def _dims(array: zarr.Array) -> tuple[str, ...]:
    return tuple(getattr(array.metadata, "dimension_names", None) or ())
