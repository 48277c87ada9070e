"""From a whole source to the examples that a kernel is computed on: seeded, balanced, standardised."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import ValidationError

from ntk_explorer.datasets._base import DataConfig, LabelledData, RawData
from ntk_explorer.errors import InvalidInput, explain_validation
from ntk_explorer.registry import Registry

# Loaders are functions `(config: DataConfig) -> RawData`. Tags: "classification" or "regression"; "image" when
# examples have height, width and channels; "file" when `path` is read; "any-shape" when `shape` is.
DATASETS = Registry("data set", "ntk_explorer.datasets")


def load_dataset(
    name: str,
    *,
    n: int | None = None,
    classes: int | None = None,
    seed: int = 0,
    path: str | None = None,
    shape: tuple[int, ...] | None = None,
) -> LabelledData:
    """Draw a seeded subset of a data set, balanced over its classes, with standardised inputs.

    Subsets of one seed are nested: the first 50 rows of ``n=100`` are the subset ``n=50``.

    Args:
        name: a name of ``DATASETS``: digits, rings, sphere, sine, step, npz.
        n: number of examples; None means 100, or all of a smaller source.
        classes: use only this many classes, the first in order of their labels; None means all.
        seed: seed of the subset, or of a toy's draw.
        path: the file, for data sets that are read from one.
        shape: shape of one example, for data sets that can be drawn in any (sphere).

    Returns:
        A :class:`LabelledData` with ``x`` [n, *shape] float64, labels ``y`` [n] and one-hot ``targets`` [n, c].
        Class counts differ by at most one, except where a class of the source has no more examples.

    Raises:
        UnknownName: no such data set.
        InvalidInput: n or classes do not fit the source, or the file cannot be used.

    Example:
        >>> load_dataset("digits", n=20, seed=1).inputs
        (8, 8, 1)
    """
    chosen: dict[str, Any] = {"name": name, "classes": classes, "seed": seed, "path": path, "shape": shape}
    if n is not None:
        chosen["n"] = n
    try:
        config = DataConfig(**chosen)
    except ValidationError as error:
        raise explain_validation(error) from None
    return _load(config, whole=n is None)


def load(config: DataConfig) -> LabelledData:
    """The subset that a configuration asks for; see :func:`load_dataset`."""
    return _load(config, whole=False)


def _load(config: DataConfig, *, whole: bool) -> LabelledData:
    """``whole``: take fewer than ``config.n`` examples where the source holds fewer."""
    entry = DATASETS[config.name]
    if config.path is not None and "file" not in entry.tags:
        raise InvalidInput(f"{config.name!r} is not read from a file, got path={config.path!r}", "Leave path out.")
    if config.shape is not None and "any-shape" not in entry.tags:
        problem = f"Examples of {config.name!r} have a shape of their own, got shape={config.shape}"
        raise InvalidInput(problem, "Leave shape out.")
    raw = entry(config)
    rows = _choose(raw, config, whole=whole)
    x = _standardised(raw, rows)
    if raw.task == "regression":
        y = targets = raw.y[rows]
    else:
        y = raw.y[rows].astype(np.int64)
        targets = np.eye(config.classes or len(raw.class_names))[y]
    return LabelledData(
        name=config.name,
        x=x,
        y=y,
        targets=targets,
        ids=rows,
        class_names=raw.class_names[: config.classes],
        images=raw.x[rows] if raw.image else None,
        task=raw.task,
    )


def _choose(raw: RawData, config: DataConfig, *, whole: bool) -> np.ndarray:
    """Row numbers of the subset [n], in the order drawn."""
    candidates = np.arange(len(raw.y))
    if config.classes is not None:
        _check_classes(raw, config)
        candidates = np.flatnonzero(raw.y < config.classes)
    n = min(config.n, len(candidates)) if whole else config.n
    if n > len(candidates):
        raise InvalidInput(
            f"n = {n} is beyond the {len(candidates)} examples of {config.name!r}", f"Lower n to {len(candidates)}."
        )
    classes = config.classes or len(raw.class_names)
    if n < classes:
        raise InvalidInput(
            f"n = {n} is below the {classes} classes of {config.name!r}", f"Raise n to {classes} or lower classes."
        )
    if raw.drawn:
        return candidates[:n]
    rng = np.random.default_rng(config.seed)
    return rng.permutation(candidates)[:n] if raw.task == "regression" else balanced_rows(raw.y, candidates, n, rng)


def _check_classes(raw: RawData, config: DataConfig) -> None:
    found, wanted = len(raw.class_names), config.classes or 0
    if raw.task == "regression":
        raise InvalidInput(f"{config.name!r} is a regression, got classes={wanted}", "Leave classes out.")
    if wanted > found:
        raise InvalidInput(f"{config.name!r} has {found} classes, got classes={wanted}", f"Lower it to {found}.")


def balanced_rows(y: np.ndarray, candidates: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``n`` of the ``candidates`` in rounds, one example of every class per round.

    Args:
        y: labels of the whole source [N].
        candidates: row numbers to draw from.
        n: how many to draw, at most ``len(candidates)``.
        rng: shuffles the examples of each class, and the classes within each round.

    Returns:
        Row numbers [n]; class counts differ by at most one until a class is used up.
    """
    shuffled = rng.permutation(candidates)
    turn = np.empty(len(shuffled), dtype=np.int64)
    for label in np.unique(y[shuffled]):
        of_class = y[shuffled] == label
        turn[of_class] = np.arange(of_class.sum())
    # A stable sort keeps the shuffled order within a round, so that the last, incomplete round favours no class.
    return shuffled[np.argsort(turn, kind="stable")][:n]


def _standardised(raw: RawData, rows: np.ndarray) -> np.ndarray:
    """Examples with zero mean and unit variance over the whole source: per channel of images, per feature of tables.

    One mean and deviation per channel keeps the geometry between pixels; what is constant becomes 0.
    """
    if not raw.standardise:
        return raw.x[rows]
    axes = tuple(range(raw.x.ndim - 1)) if raw.image else (0,)
    # Divided by the largest magnitude first, so that the square of no finite value overflows.
    largest = np.abs(raw.x).max(axis=axes, keepdims=True)
    x = raw.x / np.where(largest == 0, 1.0, largest)
    constant = x.max(axis=axes, keepdims=True) == x.min(axis=axes, keepdims=True)
    mean, deviation = x.mean(axis=axes, keepdims=True), np.where(constant, 1.0, x.std(axis=axes, keepdims=True))
    return np.where(constant, 0.0, (x[rows] - mean) / deviation)
