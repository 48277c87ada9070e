"""From a whole source to the examples that a kernel is computed on: seeded, balanced, standardised."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import ValidationError

from ntk_explorer.datasets._base import DataConfig, LabelledData, RawData
from ntk_explorer.datasets._standard import Scale, scale
from ntk_explorer.errors import InvalidInput, explain_validation
from ntk_explorer.registry import Registry

# Loaders are functions `(config: DataConfig) -> RawData`. Tags: "classification" or "regression"; "image" when
# examples have height, width and channels; "file" or "folder" when `path` names one; "any-shape" when `shape` is read.
# `split` is how many examples to train and to test on where nobody says; `publication` where files come from.
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
        name: a name of ``DATASETS``, for instance digits, rings, cifar10 or npz.
        n: number of examples; None means 100, or all of a smaller source.
        classes: use only this many classes, the first in order of their labels; None means all.
        seed: seed of the subset, or of a toy's draw.
        path: the file or folder, for data sets that are read from one; published ones are looked for in the data
            folder otherwise.
        shape: shape of one example, for data sets that can have any (sphere, folder).

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


def load_split(config: DataConfig, test: int) -> tuple[LabelledData, LabelledData]:
    """The training examples that a configuration asks for, and others to test on.

    Test examples come from the test set that was published with the source, else from the same source: the next
    rows after the training examples, whose rows are those of :func:`load`. No statistic by which inputs are
    standardised sees a test example, so training inputs of a source without a test set of its own may differ from
    those of :func:`load` by that little.

    Args:
        config: which examples to train on.
        test: number of test examples, balanced over classes like those of training. From a published test set a
            seed draws the same ones for every ``config.n``, and smaller draws are the beginning of larger ones.

    Returns:
        Training data [config.n] and test data [test], without a common example.

    Raises:
        UnknownName: no such data set.
        InvalidInput: the numbers or classes do not fit the source, or its files cannot be used.
    """
    if not isinstance(test, int) or test < 1:
        raise InvalidInput(f"There have to be test examples, got test={test!r}", "Give a whole number from 1.")
    # Toys are made as large as they are asked for; other loaders do not look at n.
    raw = _source(config.model_copy(update={"n": config.n + test}))
    candidates = _candidates(raw, config)
    if raw.test is None:
        _check_count("n + test", config.n + test, candidates, config)
        _check_cover(config.n, raw, config)
        rows = _draw(raw, candidates, config.n + test, np.random.default_rng(config.seed))
        rows, held_rows, held = rows[: config.n], rows[config.n :], raw
        standard = scale(raw, without=held_rows)
    else:
        rows = _choose(raw, config, config.n)
        held = raw.test()
        candidates = _candidates(held, config)
        _check_count("test", test, candidates, config)
        # A stream of its own, so that test examples do not follow from those of training.
        held_rows = _draw(held, candidates, test, np.random.default_rng([config.seed, 1]))
        standard = scale(raw)
    return _labelled(raw, rows, config, standard), _labelled(held, held_rows, config, standard)


def _load(config: DataConfig, *, whole: bool) -> LabelledData:
    """``whole``: take fewer than ``config.n`` examples where the source holds fewer."""
    raw = _source(config)
    n = min(config.n, len(_candidates(raw, config))) if whole else config.n
    return _labelled(raw, _choose(raw, config, n), config, scale(raw))


def _source(config: DataConfig) -> RawData:
    entry = DATASETS[config.name]
    if config.path is not None and not entry.tags & {"file", "folder"}:
        raise InvalidInput(f"{config.name!r} is not read from a file, got path={config.path!r}", "Leave path out.")
    if config.shape is not None and "any-shape" not in entry.tags:
        problem = f"Examples of {config.name!r} have a shape of their own, got shape={config.shape}"
        raise InvalidInput(problem, "Leave shape out.")
    return entry(config)


def _labelled(raw: RawData, rows: np.ndarray, config: DataConfig, standard: Scale) -> LabelledData:
    """The chosen rows, standardised, with their targets."""
    x = np.ascontiguousarray(raw.x[rows])  # a source may be a view with its axes in another order
    if raw.task == "regression":
        y = targets = raw.y[rows]
    else:
        y = raw.y[rows].astype(np.int64)
        targets = np.eye(config.classes or len(raw.class_names))[y]
    return LabelledData(
        name=config.name,
        x=standard(x),
        y=y,
        targets=targets,
        ids=rows,
        class_names=raw.class_names[: config.classes],
        images=x if raw.image else None,
        task=raw.task,
    )


def _choose(raw: RawData, config: DataConfig, n: int) -> np.ndarray:
    """Row numbers of a subset [n], in the order drawn."""
    candidates = _candidates(raw, config)
    _check_count("n", n, candidates, config)
    _check_cover(n, raw, config)
    return _draw(raw, candidates, n, np.random.default_rng(config.seed))


def _candidates(raw: RawData, config: DataConfig) -> np.ndarray:
    """Rows of the classes that are wanted."""
    if config.classes is None:
        return np.arange(len(raw.y))
    _check_classes(raw, config)
    return np.flatnonzero(raw.y < config.classes)


def _draw(raw: RawData, candidates: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    if raw.drawn:
        return candidates[:n]
    return rng.permutation(candidates)[:n] if raw.task == "regression" else balanced_rows(raw.y, candidates, n, rng)


def _check_count(what: str, count: int, candidates: np.ndarray, config: DataConfig) -> None:
    if count > len(candidates):
        raise InvalidInput(
            f"{what} = {count} is beyond the {len(candidates)} examples of {config.name!r}",
            f"Lower {what} to {len(candidates)}.",
        )


def _check_cover(n: int, raw: RawData, config: DataConfig) -> None:
    classes = config.classes or len(raw.class_names)
    if n < classes:
        raise InvalidInput(
            f"n = {n} is below the {classes} classes of {config.name!r}", f"Raise n to {classes} or lower classes."
        )


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
