"""Small ensembles and data for trainings."""

from __future__ import annotations

import jax
import numpy as np

from ntk_explorer.architectures import build
from ntk_explorer.training.config import TrainingConfig, configure_training
from ntk_explorer.training.epochs import Epoch, train_epochs

N, CLASSES = 22, 3


def classes_of(n=N, seed=0):
    """Inputs [n, 5] and classes [n] that a small network can tell apart."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    return x, (x[:, 0] > 0.3).astype(int) + (x[:, 1] > 0).astype(int)


def network_of(width=8, **options):
    return build("mlp", **{"inputs": (5,), "outputs": CLASSES, "width": width, "depth": 2} | options)


def ensemble_of(network, seeds=2, dtype="float64"):
    params = jax.vmap(network.init)(jax.random.split(jax.random.key(3), seeds))
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def epochs_of(seeds=2, *, network=None, data=None, start=None, linearised=False, tests=(), **options) -> list[Epoch]:
    """All epochs of a small training; ``options`` are those of the configuration."""
    network, (x, y) = network or network_of(), data or classes_of()
    config: TrainingConfig = configure_training(None, **{"batch_size": 8, "epochs": 3} | options)
    params = ensemble_of(network, seeds)
    key = jax.random.key(1)
    named: dict = dict(zip(("x_test", "y_test"), tests, strict=False))
    return list(
        train_epochs(network.apply, params, x, y, config=config, key=key, start=start, linearised=linearised, **named)
    )


def member(params, index):
    return jax.tree.map(lambda leaf: leaf[index], params)


def assert_same_bits(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
