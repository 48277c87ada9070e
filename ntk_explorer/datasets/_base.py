"""What a data set is before (RawData) and after (LabelledData) a subset has been drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field, PositiveInt


class DataConfig(BaseModel, frozen=True, extra="forbid"):
    """Which examples: hashable, and the one door for links, YAML, CLI and notebooks."""

    name: str = Field("digits", description="data set")
    n: int = Field(100, ge=2, le=100_000, description="number of examples")
    classes: int | None = Field(None, ge=2, le=1000, description="use only the first classes (None: all)")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the subset, or of a toy's draw")
    path: str | None = Field(None, description="file or folder, for data sets that are read from one")
    shape: tuple[PositiveInt, ...] | None = Field(
        None, min_length=1, max_length=3, description="shape of one example, for data sets that can have any"
    )


@dataclass(frozen=True, eq=False)
class RawData:
    """All examples of a source, as its loader returns them.

    ``x`` [N, *shape] float64, or uint8 for large sets of images, not yet standardised; ``y`` [N] integer labels
    0..c-1 (classification) or [N, c] float targets (regression). ``image`` says whether ``shape`` is (height, width,
    channels). ``drawn`` sources were made for their configuration and are used as they are, without a further draw.
    ``test`` reads the test set that was published beside it.
    """

    x: np.ndarray
    y: np.ndarray
    class_names: tuple[str, ...] = ()
    image: bool = False
    task: Literal["classification", "regression"] = "classification"
    standardise: bool = True
    drawn: bool = False
    test: Callable[[], RawData] | None = None


@dataclass(frozen=True, eq=False)
class LabelledData:
    """A seeded, class-balanced subset, sorted by nothing: rows are in the order they were drawn.

    ``x`` [n, *shape] standardised inputs; ``y`` [n] integer labels, or [n, c] regression targets;
    ``targets`` [n, c] one-hot labels, or the regression targets; ``ids`` [n] rows in the source, or in its
    published test set; ``images`` [n, height, width, channels] raw values for display, or None.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    targets: np.ndarray
    ids: np.ndarray
    class_names: tuple[str, ...]
    images: np.ndarray | None
    task: Literal["classification", "regression"]

    @property
    def inputs(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.x.shape[1:]

    @property
    def outputs(self) -> int:
        """Number of network outputs: classes, or regression targets."""
        return self.targets.shape[1]

    @cached_property
    def duplicates(self) -> int:
        """How many examples repeat an earlier one; any makes every kernel matrix singular."""
        return sum(1 for _ in repeats(self.x))


def repeats(x: np.ndarray) -> Iterator[tuple[int, int]]:
    """Each of the examples [n, ...] that repeats an earlier one, after that one."""
    seen: dict[bytes, int] = {}
    for row, example in enumerate(x):
        # Adding 0 turns -0.0 into 0.0, which is equal but has other bytes. Digests, since the bytes themselves would
        # be all data once more.
        first = seen.setdefault(sha256((example + 0.0).tobytes()).digest(), row)
        if first != row:
            yield first, row
