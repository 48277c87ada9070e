"""The curves of a training, one row per epoch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

CURVES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate")
BASE = "base_learning_rate"


def extended(history: xr.Dataset | None, rates: np.ndarray, row: Mapping[str, np.ndarray]) -> xr.Dataset:
    """The history with one epoch more.

    Args:
        history: of the epochs before; None for none.
        rates: the largest learning rate of every member [s].
        row: every curve's values [s].

    Returns:
        A Dataset with dims (seed, epoch): losses, accuracies (NaN where there are no classes, or no test examples)
        and learning rates; and ``base_learning_rate`` (seed), which the schedule scales.
    """
    curves = {name: np.asarray(row[name], float)[:, None] for name in CURVES}
    if history is not None:
        curves = {name: np.concatenate([history[name].values, new], axis=1) for name, new in curves.items()}
    seeds, epochs = curves["train_loss"].shape
    variables = {name: (("seed", "epoch"), values) for name, values in curves.items()}
    return xr.Dataset(
        variables | {BASE: (("seed",), np.asarray(rates, float))},
        coords={"seed": np.arange(seeds), "epoch": np.arange(epochs)},
    )
