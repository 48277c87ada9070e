"""Labelled Gram matrices: the same numbers as the kernel functions, with dimensions, provenance and bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels import card_of
from ntk_explorer.kernels._destinations import (
    FINGERPRINT,
    Destination,
    InMemory,
    OnDisk,
    create_or_continue,
    open_kernel,
    seal,
)
from ntk_explorer.kernels.estimate import Estimate, estimate

if TYPE_CHECKING:
    import xarray as xr

    from ntk_explorer.architectures import Network
    from ntk_explorer.reading.tiles import Tile, TiledKernel
    from ntk_explorer.registry import Entry

Place = tuple[slice, slice]  # rows and columns of a tile


def gram(
    kernel: Any,
    network: Network,
    params: Any,
    x: Any,
    x2: Any = None,
    *,
    labels: Sequence[Any] | None = None,
    labels2: Sequence[Any] | None = None,
    memory: int | None = None,
    batch_size: int | None = None,
    path: str | Path | None = None,
    progress: Callable[[float], None] | None = None,
    precision: str = "highest",
    by: str | None = None,
) -> xr.DataArray:
    """The Gram matrix of a kernel as a labelled array, computed in tiles that fit in memory, on all visible devices.

    Rows of a panel are held, columns are streamed past them; of a kernel of examples with themselves each pair of
    tiles is computed once.

    Args:
        kernel: a name of ``KERNELS``, or what a transform returns.
        network: anything with ``apply(params, x)`` and, for the provenance, ``config``.
        params: parameters of the network.
        x: examples [n, ...].
        x2: examples [m, ...]; ``x`` again when None.
        labels: one label per example of ``x``, kept as coordinate ``label1``; kernels that use labels need them.
        labels2: one label per example of ``x2``, kept as coordinate ``label2``.
        memory: bound in bytes; half of what is free on the device when None.
        batch_size: examples along each side of a tile; as many as ``memory`` allows when None.
        path: a folder to write the matrix to in Zarr format (v3, with checksums), tile by tile. One that holds some
            tiles of the very same matrix already is continued.
        progress: called with the share that is done, from 0 to 1, between tiles; what it raises ends the computation,
            and finished tiles stay in ``path``.
        precision: precision of all matrix products (``jax.default_matmul_precision``): "highest", or by choice
            "tensorfloat32" or "bfloat16".
        by: "layer" or "parameter" for the shares of each along a first dimension of that name.

    Returns:
        DataArray with dims (x1, x2), or (x1, x2, c, d) for kernels of all pairs of outputs; attrs say which
        kernel, network, dtype, precision and versions made it. With ``path`` it is read from there where it is used.

    Raises:
        UnknownName: no such kernel.
        InvalidInput: shapes, dtypes, labels or NaN that no kernel can be computed from; a path that cannot be
            written or holds something else.
        TooLarge: the result and the smallest tile do not fit in memory.
    """
    folder = None if path is None else Path(path)
    bounds = {"memory": memory, "batch_size": batch_size, "in_memory": folder is None}
    work = tiled_gram(
        kernel, network, params, x, x2, labels=labels, labels2=labels2, precision=precision, by=by, bounds=bounds
    )
    if folder is None:
        destination = InMemory(work.labelled.shape, work.labelled.dtype, work.labelled.lead)
        work.fill(destination, work.size, progress)
        return work.labelled.array(_finished(destination.values, work.tiled, work.labelled), work.attrs)
    stored = work.in_folder(folder)
    work.fill(stored, stored.tile(work.size), progress)
    seal(folder)
    return open_kernel(folder)


def tiled_gram(
    kernel: Any,
    network: Network,
    params: Any,
    x: Any,
    x2: Any = None,
    *,
    labels: Sequence[Any] | None = None,
    labels2: Sequence[Any] | None = None,
    precision: str = "highest",
    by: str | None = None,
    bounds: dict[str, Any],
) -> TiledGram:
    """A Gram matrix before its tiles are computed; arguments and errors are those of :func:`gram`.

    ``bounds`` are those of :func:`plan_tiles`: memory, batch_size, in_memory.
    """
    from ntk_explorer.reading.checks import checked_call  # not above: cards are read without jax

    card = card_of(kernel)
    x, x2 = checked_call(network.apply, x, x2, bounds.get("batch_size"), by, precision)
    _check_labels(labels, x, "labels")
    _check_labels(labels2, x2, "labels2")
    size = plan_tiles(kernel, network.apply, params, x, x2, **bounds, by=by).batch_size
    options: dict[str, Any] = {"precision": precision, "by": by}
    if "uses-labels" in card.tags:
        options |= {"y1": labels, "y2": labels2}
    tiled = card.extras["tiled"](network.apply, params, x, x2, batch_size=size, **options)
    labelled = _Labelled(tiled, by, {"label1": labels, "label2": labels if x2 is None else labels2})
    return TiledGram(card, tiled, labelled, size, _provenance(card, network, precision), (options, params, x, x2))


@dataclass(frozen=True)
class TiledGram:
    """A Gram matrix whose tiles are computed one by one, here or by several processes that fill one array.

    ``size`` is the tile's side in examples, ``attrs`` the provenance, ``made_from`` all that the numbers depend on.
    """

    card: Entry
    tiled: TiledKernel
    labelled: _Labelled
    size: int
    attrs: dict[str, Any]
    made_from: tuple

    def require_tiles(self) -> None:
        """Refuse kernels of which no tile can be finished alone.

        Raises:
            InvalidInput: it is one.
        """
        if self.tiled.finish is not None:
            raise InvalidInput(
                f"Every entry of the {self.card.label} depends on all columns, so it cannot be written tile by tile",
                "Write the kernel itself, and centre the finished matrix: centred(matrix).",
            )

    def in_folder(self, folder: Path) -> OnDisk:
        """The array in a folder, made or continued.

        Raises:
            InvalidInput: kernels of which no tile can be finished alone; a folder that holds something else.
        """
        self.require_tiles()
        attrs = self.attrs | {FINGERPRINT: _fingerprint(self.attrs, *self.made_from), "dtype": str(self.labelled.dtype)}
        shape = self.labelled.shape, self.labelled.dtype, self.labelled.dims, self.labelled.coords
        return create_or_continue(folder, *shape, attrs, self.size)

    def missing(self, destination: Destination, size: int) -> list[Place]:
        """Rows and columns of the tiles that are not there, whole, with their mirror images."""
        return [place for place in self.tiled.grid(size) if not self.there(destination, *place)]

    def there(self, destination: Destination, rows: slice, columns: slice) -> bool:
        """Whether a tile is there, whole, with its mirror image."""
        return destination.has(rows, columns) and (not self._symmetric or destination.has(columns, rows))

    def fill(self, destination: Destination, size: int, progress: Callable[[float], None] | None = None) -> None:
        """Compute all tiles that are not there yet, those below the diagonal as mirror images."""
        report, compute = progress or (lambda _: None), self.computer()
        missing = self.missing(destination, size)
        total = sum(_area(*place) for place in self.tiled.grid(size))
        done = total - sum(_area(*place) for place in missing)
        report(done / total)
        for place in missing:
            self.put(destination, compute(*place))
            done += _area(*place)
            report(done / total)

    def computer(self) -> Callable[[slice, slice], Tile]:
        """What computes one tile after the other, on all visible devices, and holds the rows that it read last."""
        # Not above: cards are read without jax.
        import jax

        from ntk_explorer.reading.devices import over_devices
        from ntk_explorer.reading.lanes import in_lanes
        from ntk_explorer.reading.tiles import HeldRows

        return HeldRows(over_devices(self.tiled) if jax.device_count() > 1 else in_lanes(self.tiled)).tile

    def put(self, destination: Destination, tile: Tile) -> None:
        """Keep a tile and its mirror image.

        Raises:
            InvalidInput: it is not finite.
        """
        from ntk_explorer.reading.tiles import mirrored  # not above: cards are read without jax

        _require_finite(tile)
        if self._symmetric and tile.rows != tile.columns:
            # The mirror image first: whoever finds the tile itself may rely on both.
            destination.put(tile.columns, tile.rows, self._array(mirrored(tile.values)))
        destination.put(tile.rows, tile.columns, self._array(tile.values))

    @property
    def _symmetric(self) -> bool:
        return self.tiled.x2 is None

    def _array(self, values: Any) -> np.ndarray:
        return np.stack([np.asarray(share) for share in values.values()]) if self.labelled.by else np.asarray(values)


@dataclass(frozen=True)
class _Labelled:
    """The whole array: its axes, and what stands along them."""

    tiled: TiledKernel
    by: str | None
    labels: dict[str, Any]

    @cached_property
    def _tile(self) -> Any:
        """Shapes of the tile of one example, or of its shares by name."""
        import jax  # not above: cards are read without jax

        one = jax.ShapeDtypeStruct((1, *self.tiled.x1.shape[1:]), self.tiled.x1.dtype)
        return jax.eval_shape(lambda x: self.tiled.contract(self.tiled.read(x), None), one)

    @property
    def lead(self) -> int:
        """Axes before the two of examples: that of the shares."""
        return int(self.by is not None)

    @property
    def names(self) -> list[str]:
        return list(self._tile) if self.by else []

    @property
    def shape(self) -> tuple[int, ...]:
        return (*[len(self.names)] * self.lead, *self.tiled.shape, *self._one.shape[2:])

    @property
    def dtype(self) -> np.dtype:
        return self._one.dtype

    @property
    def _one(self) -> Any:
        return self._tile[self.names[0]] if self.by else self._tile

    @property
    def dims(self) -> tuple[str, ...]:
        return (*([self.by] if self.by else []), "x1", "x2", *("c", "d")[: len(self.shape) - self.lead - 2])

    @property
    def coords(self) -> dict[str, tuple[str, np.ndarray]]:
        named = {self.by: (self.by, np.asarray(self.names, dtype=str))} if self.by else {}
        given = {name: (f"x{name[-1]}", np.asarray(y)) for name, y in self.labels.items() if y is not None}
        return named | given

    def array(self, values: Any, attrs: dict[str, Any]) -> xr.DataArray:
        """The finished array in memory."""
        import xarray as xr  # not above: it is slow to import

        attrs = attrs | {"dtype": str(values.dtype)}
        return xr.DataArray(values, dims=self.dims, coords=self.coords, name=attrs["label"], attrs=attrs)


def _require_finite(tile: Tile) -> None:
    """Refuse what no check beforehand could see: an overflow, or an example without a gradient to take a cosine of."""
    for values in tile.values.values() if isinstance(tile.values, dict) else [tile.values]:
        wrong = np.argwhere(~np.isfinite(np.asarray(values)))
        if len(wrong):
            raise InvalidInput(
                f"The kernel is NaN or infinite between example {tile.rows.start + wrong[0][0]} of the rows and "
                f"example {tile.columns.start + wrong[0][1]} of the columns",
                "Take float64 against overflow, or leave out examples whose gradient is zero.",
            )


def _finished(values: np.ndarray, tiled: TiledKernel, labelled: _Labelled) -> np.ndarray:
    if tiled.finish is None:
        return values
    if not labelled.by:
        return np.asarray(tiled.finish(values))
    shares = tiled.finish(dict(zip(labelled.names, values, strict=True)))
    return np.stack([np.asarray(share) for share in shares.values()])


class TilePlan(NamedTuple):
    """Examples along each side of a tile, and what the matrix then takes."""

    batch_size: int
    cost: Estimate


def plan_tiles(
    kernel: Any,
    f: Callable[..., Any],
    params: Any,
    x: Any,
    x2: Any = None,
    *,
    memory: int | None = None,
    batch_size: int | None = None,
    in_memory: bool = True,
    by: str | None = None,
) -> TilePlan:
    """How :func:`gram` will compute a matrix: in the largest tiles, by halving, that fit into ``memory`` bytes.

    Args:
        kernel: as for :func:`gram`, like ``f`` (a network's ``apply``), ``params``, ``x``, ``x2`` and ``by``.
        f: the network's function.
        params: its parameters.
        x: examples [n, ...].
        x2: examples [m, ...].
        memory: bound in bytes; half of what is free on the device when None, or all of it for a given tile size.
        batch_size: the tile's size, when it is not to be chosen.
        in_memory: whether the finished matrix is kept, or its tiles go elsewhere one by one.
        by: shares of each, which are as large as the matrix.

    Raises:
        InvalidInput: a bound that is not positive.
        TooLarge: the smallest tile, or that of ``batch_size``, and the result where it is kept, take more.
    """
    # Not above: cards are read without jax.
    import jax

    from ntk_explorer.reading.checks import share_of
    from ntk_explorer.reading.machine import available_bytes
    from ntk_explorer.reading.taps import parameter_names

    if memory is not None and memory < 1:
        raise InvalidInput(f"memory is {memory} bytes", "Give a positive number of bytes, or None.")
    free = available_bytes()
    budget = memory or (free if batch_size else free // 2)  # half: others take memory too while this runs
    n, m = len(x), len(x if x2 is None else x2)
    row = jax.eval_shape(f, params, jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype))
    result = n * m * row.dtype.itemsize * (row.size**2 if "per-output" in card_of(kernel).tags else 1)
    shares = 1 if by is None else len({share_of(name, by) for name in parameter_names(params)})

    def cost(batch: int) -> Estimate:
        one = estimate(kernel, f, params, x, x2, batch_size=batch, in_memory=False)
        tile = result * min(batch, n) * min(batch, m) // (n * m)
        return replace(one, bytes=one.bytes + shares * result * in_memory + (shares - 1) * tile)

    batch = batch_size or max(n, m)
    needed = cost(batch)
    while needed.bytes > budget and batch > 1 and batch_size is None:
        batch = (batch + 1) // 2
        needed = cost(batch)
    smaller = "" if batch_size is None else "smaller tiles, "
    remedy = f"Take {smaller}fewer examples or classes, a narrower network, float32, or write to a path."
    needed.require(budget, remedy, are="free for it" if memory is None else "allowed")
    return TilePlan(batch, needed)


def _check_labels(labels, x, name: str) -> None:
    if labels is None:
        return
    if x is None:
        raise InvalidInput(f"There are {name} but no examples x2", f"Give x2 as well, or leave {name} out.")
    if np.ndim(labels) == 0 or len(labels) != len(x):
        count = "one" if np.ndim(labels) == 0 else len(labels)
        raise InvalidInput(f"{name} holds {count} for {len(x)} examples", "Give one label per example.")


def _area(rows: slice, columns: slice) -> int:
    return (rows.stop - rows.start) * (columns.stop - columns.start)


def _provenance(card: Entry, network: Any, precision: str) -> dict[str, Any]:
    return {
        "kernel": card.name,
        "label": card.label,
        "network": str(getattr(network, "config", network)),
        "precision": precision,
        "ntk_explorer": version("ntk-explorer"),
        "jax": version("jax"),
    }


def _fingerprint(attrs: dict[str, Any], options: dict[str, Any], params, x, x2) -> str:
    """Of everything that the numbers depend on."""
    import jax  # not above: cards are read without jax

    digest = hashlib.sha256(repr(sorted(attrs.items())).encode())
    for path, leaf in jax.tree_util.tree_flatten_with_path((options, params, x, x2))[0]:
        values = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {values.dtype} {values.shape} ".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
