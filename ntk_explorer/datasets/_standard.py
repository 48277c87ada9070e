"""Zero mean and unit variance, by the statistics of the source or of a part of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ntk_explorer.datasets._base import RawData

CHUNK = 1_000_000  # pixels counted at a time: numpy counts them as 8-byte numbers
LEVELS = np.arange(256)

Scale = Callable[[np.ndarray], np.ndarray]


def scale(raw: RawData, without: np.ndarray | None = None) -> Scale:
    """What makes examples standardised: zero mean and unit variance over the source.

    One mean and deviation per channel of images keeps the geometry between pixels; tables have one per feature.
    What is constant over the source becomes 0.

    Args:
        raw: the source.
        without: rows whose examples the statistics must not see.

    Returns:
        A function from raw examples [n, *shape], of this source or another, to float64 of the same shape.
    """
    if not raw.standardise:
        return lambda x: x
    seen = raw.x if without is None else np.delete(raw.x, without, axis=0)
    if raw.x.dtype == np.uint8:
        return _scale_of_bytes(seen)
    axes = tuple(range(raw.x.ndim - 1)) if raw.image else (0,)
    # Divided by the largest magnitude first, so that the square of no finite value overflows.
    largest = np.abs(seen).max(axis=axes, keepdims=True)
    largest = np.where(largest == 0, 1.0, largest)
    seen = seen / largest
    constant = seen.max(axis=axes, keepdims=True) == seen.min(axis=axes, keepdims=True)
    mean, deviation = seen.mean(axis=axes, keepdims=True), np.where(constant, 1.0, seen.std(axis=axes, keepdims=True))
    return lambda x: np.where(constant, 0.0, (x / largest - mean) / deviation)


def _scale_of_bytes(images: np.ndarray) -> Scale:
    """The same for images of bytes, by how often each of the 256 values occurs in a channel: exact, and small."""
    counts = [_counts(images[..., channel]) for channel in range(images.shape[-1])]
    mean = np.array([count @ LEVELS / count.sum() for count in counts])
    square = [count @ (LEVELS - m) ** 2 / count.sum() for count, m in zip(counts, mean, strict=True)]
    constant = np.array([np.count_nonzero(count) < 2 for count in counts])
    deviation = np.where(constant, 1.0, np.sqrt(square))

    def standard(x: np.ndarray) -> np.ndarray:
        standardised = x.astype(np.float64)
        # In place: a copy of all training images would be another gigabyte.
        standardised -= mean
        standardised /= deviation
        standardised[..., constant] = 0.0
        return standardised

    return standard


def _counts(values: np.ndarray) -> np.ndarray:
    """How often each of 0..255 occurs [256]."""
    rows = max(1, CHUNK // max(1, values[0].size))
    parts = (np.bincount(values[i : i + rows].ravel(), minlength=256) for i in range(0, len(values), rows))
    return sum(parts, np.zeros(256, dtype=np.int64))
