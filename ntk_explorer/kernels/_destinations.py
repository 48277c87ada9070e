"""Where the tiles of a Gram matrix go: an array in memory, or a Zarr folder that an interrupted run continues."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ntk_explorer.errors import InvalidInput

if TYPE_CHECKING:
    import xarray as xr
    import zarr

KERNEL, FINGERPRINT, CHUNK = "kernel", "fingerprint", "chunk"
# Examples per side of a stored chunk, at most: 4 MB of float32 numbers.
LARGEST_CHUNK = 1024


class Destination(Protocol):
    """Takes tiles of an array [x1, x2, ...] (behind ``lead`` axes) in any order."""

    def has(self, rows: slice, columns: slice) -> bool:
        """Whether a tile is there already."""
        ...

    def put(self, rows: slice, columns: slice, values: np.ndarray) -> None:
        """Keep one tile."""
        ...


class InMemory:
    """One numpy array."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, lead: int = 0):
        """``lead`` axes stand before the two of examples."""
        self.values = np.full(shape, np.nan, dtype)
        self._lead = (slice(None),) * lead

    def has(self, rows: slice, columns: slice) -> bool:  # noqa: ARG002
        """Nothing is known before it is computed."""
        return False

    def put(self, rows: slice, columns: slice, values: np.ndarray) -> None:
        """Keep one tile."""
        self.values[(*self._lead, rows, columns)] = values


class OnDisk:
    """The array ``kernel`` of a Zarr v3 group, with a checksum in every chunk."""

    def __init__(self, array: zarr.Array, lead: int, exists: Callable[[str], bool]):
        """Use what there is.

        Args:
            array: its attributes hold ``chunk``, the examples per side of a chunk.
            lead: axes before the two of examples.
            exists: tells whether there is a chunk of a name in the group.
        """
        self._array, self._lead, self._exists = array, lead, exists

    def tile(self, size: int) -> int:
        """The tile nearest to ``size`` that is made of whole chunks; part of one could pass for all of it."""
        chunk = self._chunk
        return max(chunk, size - size % chunk)

    def has(self, rows: slice, columns: slice) -> bool:
        """Whether all chunks of a tile were written."""
        first, last = ["c", *["0"] * self._lead], ["0"] * (self._array.ndim - self._lead - 2)
        places = ((str(i), str(j)) for i in self._chunks(rows) for j in self._chunks(columns))
        return all(self._exists("/".join([KERNEL, *first, *place, *last])) for place in places)

    def put(self, rows: slice, columns: slice, values: np.ndarray) -> None:
        """Write whole chunks."""
        self._array[(slice(None),) * self._lead + (rows, columns)] = values

    @property
    def _chunk(self) -> int:
        """Examples per side of a chunk; the array's own are cut where it has fewer rows or columns."""
        return int(self._array.attrs[CHUNK])  # pyright: ignore[reportArgumentType]

    def _chunks(self, examples: slice) -> range:
        return range(examples.start // self._chunk, -(-examples.stop // self._chunk))


def create_or_continue(
    path: Path,
    shape: tuple[int, ...],
    dtype: Any,
    dims: tuple[str, ...],
    coords: dict[str, tuple[str, np.ndarray]],
    attrs: dict[str, Any],
    size: int,
) -> OnDisk:
    """The group at ``path``: made now, or of the same kernel (by its ``fingerprint``) and continued.

    Raises:
        InvalidInput: the folder holds something else, or cannot be written.
    """
    import zarr
    from zarr.codecs import Crc32cCodec

    lead = len(dims) - len(dims[dims.index("x1") :])

    def exists(name: str) -> bool:
        return (path / name).exists()

    if path.exists():
        return OnDisk(_existing(path, attrs[FINGERPRINT]), lead, exists)
    chunk = min(size, LARGEST_CHUNK)
    chunks = [chunk if dim in ("x1", "x2") else length for dim, length in zip(dims, shape, strict=True)]
    try:
        group = zarr.create_group(path, attributes=attrs)
        for name, (dim, values) in coords.items():
            # Text of any length has a place in the format, text of one length has none.
            kind = "string" if values.dtype.kind == "U" else values.dtype
            group.create_array(name, shape=values.shape, dtype=kind, dimension_names=[dim])[:] = values
        array = group.create_array(
            KERNEL,
            shape=shape,
            dtype=dtype,
            chunks=tuple(min(c, s) for c, s in zip(chunks, shape, strict=True)),
            compressors=[Crc32cCodec()],  # kernels hardly compress; a flipped bit must not pass for a number
            fill_value=float("nan"),
            dimension_names=list(dims),
            attributes=attrs
            | {CHUNK: chunk}
            | ({"coordinates": " ".join(sorted(set(coords) - set(dims)))} if coords else {}),
            config={"write_empty_chunks": True},
        )
    except OSError as error:
        raise InvalidInput(
            f"{str(path)!r} cannot be written: {error}", "Choose a folder that exists and is yours, with room left."
        ) from None
    return OnDisk(array, lead, exists)


def seal(path: Path) -> None:
    """Write the summary of a finished group that xarray looks for first."""
    import zarr

    with warnings.catch_warnings():
        # Zarr remarks that the summary is its own addition to version 3; who does not know it reads the parts.
        warnings.simplefilter("ignore", UserWarning)
        zarr.consolidate_metadata(path)


def open_kernel(path: Path) -> xr.DataArray:
    """The array of a finished or unfinished group, read from disk where it is used."""
    import xarray as xr

    return xr.open_dataset(path, engine="zarr", chunks=None, consolidated=False)[KERNEL]


def _existing(path: Path, fingerprint: str) -> zarr.Array:
    import zarr

    remedy = "Choose another folder, or remove it."
    try:
        array = zarr.open_array(path, path=KERNEL, mode="r+")
    except Exception:  # whatever Zarr makes of a folder that is none of its own
        raise InvalidInput(f"{str(path)!r} exists and is no kernel in Zarr format", remedy) from None
    if array.attrs.get(FINGERPRINT) != fingerprint:
        raise InvalidInput(f"{str(path)!r} holds another kernel, of another network, other examples or options", remedy)
    return array
