"""Kernel matrices as files, and in a few lines of text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_explorer.errors import InvalidInput

if TYPE_CHECKING:
    import xarray as xr

ZARR, NETCDF, NUMPY = ".zarr", ".nc", ".npz"
ROWS = 512  # read at a time: a matrix in a Zarr folder may be larger than memory
LARGEST = 4 * 10**9  # bytes of a matrix whose largest eigenvalue is taken


def check_matrix(path: Path) -> None:
    """Refuse a file, or a folder for Zarr, that a matrix could not be written to."""
    if path.suffix != ZARR:
        from ntk_explorer.sweeps.files import check_output

        check_output(path, (ZARR, NETCDF, NUMPY))
        return
    if path.is_file():
        raise InvalidInput(f"{str(path)!r} is a file, and a matrix in Zarr format a folder", "Choose another name.")
    if not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise InvalidInput(f"Cannot write to {str(path)!r}", "Choose a place in a folder that exists and is yours.")


def write_matrix(matrix: xr.DataArray, path: Path) -> None:
    """NetCDF with everything, or the plain numbers (``kernel``, and the labels) for numpy."""
    if path.suffix == NETCDF:
        matrix.to_netcdf(path, engine="h5netcdf")
    else:
        arrays: dict[str, Any] = {str(name): values.values for name, values in matrix.coords.items()}
        np.savez(path, kernel=matrix.values, **arrays)


def summary(matrix: xr.DataArray, *, of_itself: bool, precision: str, by: str | None = None) -> Iterator[str]:
    """Size and norm; of a set of examples with itself also trace, λ_1 and the floor below which λ is rounding."""
    yield f"{matrix.attrs['label']}: {' × '.join(map(str, matrix.shape))}, {matrix.dtype}"
    squares, traces = 0.0, np.zeros(matrix.sizes[by] if by else 1)
    for start in range(0, matrix.sizes["x1"], ROWS):
        panel = np.asarray(matrix.isel(x1=slice(start, start + ROWS)), float)
        panel = panel if by else panel[None]
        squares += float(np.sum(panel.sum(axis=0) ** 2))
        if of_itself:
            traces += [_diagonal_sum(share, start) for share in panel]
    yield f"Frobenius norm   {squares**0.5:.6g}"
    if of_itself:
        yield f"trace            {traces.sum():.6g}"
        names = matrix[by].values if by else []
        yield from (f"  {name:30} {trace:.6g}" for name, trace in zip(names, traces, strict=False))
    if of_itself and matrix.nbytes <= LARGEST:
        whole = (matrix.sum(by) if by else matrix).values
        yield from _largest(whole, precision)


def _largest(kernel: np.ndarray, precision: str) -> Iterator[str]:
    from ntk_explorer.linalg.top import top_eigenvalues
    from ntk_explorer.spectra.eigen import flatten, noise_floor

    whole = flatten(kernel)
    largest = float(top_eigenvalues(whole, 1).values[0]) if len(whole) > 1 else float(whole[0, 0])
    yield f"λ1               {largest:.6g}"
    yield f"noise floor      {noise_floor(largest, len(whole), kernel.dtype, precision):.2g}"


def _diagonal_sum(panel: np.ndarray, start: int) -> float:
    """The part of the trace that lies in some rows, of [n, n] or [n, n, c, c]."""
    own = np.diagonal(panel[:, start : start + len(panel)])
    return float(own.sum() if panel.ndim == 2 else np.trace(own).sum())
