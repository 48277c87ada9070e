"""Data drawn from a formula: rings and a sphere to classify, a sine and a step to fit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ntk_explorer.datasets._base import DataConfig, RawData
from ntk_explorer.datasets._subset import DATASETS

SPHERE_DIMENSION = 32
RING_NOISE = 0.1
SPLIT = (100, 100)


@DATASETS.register(
    "rings",
    label="Concentric rings",
    tags={"classification"},
    equation=r"x = r_k\,(\cos\varphi, \sin\varphi),\quad r_k \propto k + 1 + 0.1\,\varepsilon",
    reference="a standard example of classes that no line separates",
    cost="any n, 2 features",
    split=SPLIT,
)
def rings(config: DataConfig) -> RawData:
    """Points on concentric circles in the plane, one circle per class, with a noisy radius."""
    classes = config.classes or 2
    y = np.arange(config.n) % classes
    # One array of normals, row by row, so that more examples never change the first ones.
    normal = np.random.default_rng(config.seed).standard_normal((config.n, 3))
    direction = normal[:, :2] / np.linalg.norm(normal[:, :2], axis=1, keepdims=True)
    radius = y + 1 + RING_NOISE * normal[:, 2]
    # Unit variance per coordinate for the ideal rings: a point at radius r has r²/2 per coordinate on average.
    scale = np.sqrt(2 / np.mean(np.arange(1, classes + 1) ** 2))
    return _drawn(scale * radius[:, None] * direction, y, classes)


@DATASETS.register(
    "sphere",
    label="Gaussian sphere, linear labels",
    tags={"classification", "any-shape"},
    equation=r"x = \sqrt{d}\,\frac{g}{\lVert g\rVert},\quad y = \arg\max_k (A x)_k",
    reference="the set-up of the slopes measured against width",
    cost="any n; 32 features, or examples of any shape",
    split=SPLIT,
)
def sphere(config: DataConfig) -> RawData:
    """Gaussian inputs in d = 32 dimensions rescaled to equal norm √d, labelled by a random linear map.

    Labels are those of the linear map, hence not balanced over classes. With ``shape``, d is its number of
    features, for instance those of an image.
    """
    classes, shape = config.classes or 10, config.shape or (SPHERE_DIMENSION,)
    dimension = math.prod(shape)
    rng = np.random.default_rng(config.seed)
    linear_map = rng.standard_normal((dimension, classes))
    x = rng.standard_normal((config.n, dimension))
    x *= np.sqrt(dimension) / np.linalg.norm(x, axis=1, keepdims=True)
    drawn = _drawn(x, np.argmax(x @ linear_map, axis=1), classes)
    return replace(drawn, x=x.reshape(-1, *shape), image=len(shape) == 3)


@DATASETS.register(
    "sine",
    label="Sine (regression)",
    tags={"regression"},
    equation=r"y = \sin(2 t),\quad x = (t, 1)",
    reference="a standard example of a smooth target",
    cost="any n, 2 features",
    split=SPLIT,
)
def sine(config: DataConfig) -> RawData:
    """A smooth function of one variable t, uniform in [-√3, √3]; inputs are (t, 1)."""
    x = _line(config)
    return RawData(x, np.sin(2 * x[:, :1]), task="regression", standardise=False, drawn=True)


@DATASETS.register(
    "step",
    label="Step (regression)",
    tags={"regression"},
    equation=r"y = \operatorname{sign}(t),\quad x = (t, 1)",
    reference="a standard example of a target with a jump",
    cost="any n, 2 features",
    split=SPLIT,
)
def step(config: DataConfig) -> RawData:
    """A jump at t = 0, for t uniform in [-√3, √3]; inputs are (t, 1)."""
    x = _line(config)
    return RawData(x, np.where(x[:, :1] < 0, -1.0, 1.0), task="regression", standardise=False, drawn=True)


def _line(config: DataConfig) -> np.ndarray:
    """Inputs (t, 1) [n, 2]; without the 1, a ReLU network without biases is linear on either side of 0."""
    t = np.random.default_rng(config.seed).uniform(-np.sqrt(3), np.sqrt(3), config.n)
    return np.stack([t, np.ones_like(t)], axis=1)


def _drawn(x: np.ndarray, y: np.ndarray, classes: int) -> RawData:
    names = tuple(str(label) for label in range(classes))
    return RawData(x, y, names, standardise=False, drawn=True)
