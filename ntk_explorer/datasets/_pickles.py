"""Reads the pickles in which CIFAR was published, and can read nothing else: no name in a file is ever imported."""

from __future__ import annotations

import pickle
from typing import BinaryIO

import numpy as np


class _Dtype:
    """Stands in for numpy.dtype: remembers its code."""

    def __init__(self, code=None, *_):
        self.code = code.decode("latin1") if isinstance(code, bytes) else code

    def __setstate__(self, state):
        """Byte order and the like, which bytes do not have."""


class _Array:
    """Stands in for numpy.ndarray: remembers shape, type and bytes."""

    def __init__(self, *_):
        self.state = None

    def __setstate__(self, state):
        self.state = state


def _rebuilt(*_) -> _Array:
    return _Array()


def _encoded(text: str, *_) -> bytes:
    return text.encode("latin1")


# What the published files, and Python 3's own of the same protocol, name.
KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): _rebuilt,
    ("numpy._core.multiarray", "_reconstruct"): _rebuilt,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encoded,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which data have no use for")
        return KNOWN[module, name]


def read_batch(file: BinaryIO, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, pixels] and labels [N] of one batch.

    Args:
        file: the opened pickle.
        labels: under which name the labels stand in its dictionary.

    Raises:
        ValueError: it is no such dictionary. Damaged pickles raise almost anything else.
    """
    content = _Reader(file, encoding="bytes").load()
    if not isinstance(content, dict):
        raise ValueError("it holds no dictionary")
    content = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in content.items()}
    if "data" not in content or labels not in content:
        raise ValueError(f"its dictionary has no 'data' or no {labels!r}")
    return _numbers(content["data"]), np.asarray(content[labels], dtype=np.int64)


def _numbers(array: _Array) -> np.ndarray:
    _, shape, dtype, by_column, content = array.state  # pyright: ignore[reportGeneralTypeIssues]
    if dtype.code not in ("u1", "|u1"):
        raise ValueError(f"its data have the type {dtype.code!r} instead of bytes")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if by_column else "C")
