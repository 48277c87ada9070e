"""A user's own arrays from an .npz file, which is not trusted: headers are checked before data are read."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ntk_explorer.datasets._base import DataConfig, RawData
from ntk_explorer.datasets._subset import DATASETS
from ntk_explorer.errors import InvalidInput

# 64 million numbers are 0.5 GB in double precision, and standardising them takes a few copies.
MAX_NUMBERS = 64_000_000
MAX_CLASSES = 1000

FORMAT = "Save it with numpy.savez(path, x=x, y=y): x [n, features], [n, h, w] or [n, h, w, channels], and y [n]."


@DATASETS.register(
    "npz",
    label="Your own file (.npz)",
    tags={"classification", "regression", "image", "file"},
    reference="arrays x and y saved by numpy.savez",
    cost=f"up to {MAX_NUMBERS // 10**6} million numbers",
    split=(100, 100),
)
def npz(config: DataConfig) -> RawData:
    """Arrays x and y of a file: integer y are class labels of any values, real y are regression targets."""
    path = _existing(config.path)
    try:
        with zipfile.ZipFile(path) as archive:
            for name in ("x", "y"):
                _check_header(archive, name, path)
            x, y = (_read(archive, name) for name in ("x", "y"))
    except InvalidInput:
        raise
    except Exception as error:
        # Damaged bytes make zip, header and number parsers raise almost anything; all of it is about the file.
        raise InvalidInput(f"{path} cannot be read as an .npz file ({error})", FORMAT) from None
    return _raw(x, y, path)


def _existing(path: str | None) -> Path:
    if path is None:
        raise InvalidInput("The data set 'npz' is read from a file, got path=None", "Pass path='data.npz'.")
    found = os.path.expanduser(path)
    # os.path answers False where pathlib raises, for instance for names that are too long.
    if not os.path.isfile(found):
        raise InvalidInput(f"No file at {path}", "Check the path; it is relative to where the program was started.")
    return Path(found)


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype


def _header(stream: IO[bytes]) -> _Header:
    # Version 1 is all that plain numbers need; later ones allow headers of gigabytes.
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array in a format for structured types")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return _Header(shape, dtype)


def _check_header(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    """Refuse what is missing, pickled, not numbers or too large, from the first bytes alone."""
    if f"{name}.npy" not in archive.namelist():
        held = ", ".join(item.removesuffix(".npy") for item in archive.namelist()[:10]) or "nothing"
        raise InvalidInput(f"{path} holds no array {name!r} (it holds: {held})", FORMAT)
    with archive.open(f"{name}.npy") as stream:
        shape, dtype = _header(stream)
    if dtype.hasobject:
        raise InvalidInput(f"{name!r} in {path} holds pickled objects, which could run code", "Convert it to numbers.")
    if dtype.kind not in "biuf":
        raise InvalidInput(f"{name!r} in {path} has dtype {dtype}, not real numbers", "Convert it to numbers.")
    if math.prod(shape) > MAX_NUMBERS or any(size < 0 for size in shape):
        raise InvalidInput(
            f"{name!r} in {path} has shape {shape}, {math.prod(shape):.2g} numbers",
            f"Save at most {MAX_NUMBERS:,} numbers, for instance fewer examples.",
        )


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _raw(x: np.ndarray, y: np.ndarray, path: Path) -> RawData:
    """Check what the arrays say about one another, and give them the shapes of this library."""
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise InvalidInput(f"x in {path} has shape {x.shape}", FORMAT)
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[2] == x.shape[3] > 4:
        raise InvalidInput(
            f"x in {path} has shape {x.shape}, which looks like channels before height and width",
            "Save x.transpose(0, 2, 3, 1) instead.",
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim not in ((1, 2) if y.dtype.kind == "f" else (1,)) or y.size == 0:
        raise InvalidInput(
            f"y in {path} has shape {y.shape}", "Give integer labels [n], or real targets [n] or [n, c]."
        )
    if len(x) != len(y):
        raise InvalidInput(f"x in {path} has {len(x)} examples but y has {len(y)}", "Give one entry of y per example.")
    x = _finite(x, "x", path)
    x = x[..., None] if x.ndim == 3 else x
    if y.dtype.kind == "f":
        targets = _finite(y, "y", path).reshape(len(y), -1)
        return RawData(x, targets, image=x.ndim == 4, task="regression")
    labels, y = np.unique(y, return_inverse=True)
    if not 2 <= len(labels) <= MAX_CLASSES:
        raise InvalidInput(
            f"y in {path} has {len(labels)} {'class' if len(labels) == 1 else 'classes'} (first label: {labels[0]})",
            f"Give 2 to {MAX_CLASSES} classes, or real-valued y for a regression.",
        )
    return RawData(x, y, tuple(str(label) for label in labels), image=x.ndim == 4)


def _finite(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    values = values.astype(np.float64)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        first = tuple(int(i) for i in wrong[0])
        raise InvalidInput(
            f"{name} in {path} has {len(wrong)} values that are not finite, the first at {first}: {values[first]}",
            "Remove or replace them.",
        )
    return values
