"""Drift and alignment against their definitions, with lifts that are really formed."""

import math

import numpy as np
import pytest

from ntk_explorer.comparison.movement import alignment, drift
from ntk_explorer.errors import InvalidInput

RNG = np.random.default_rng(0)
N, C = 7, 3
ROOT = RNG.normal(size=(N * C, N * C))
THETA = (ROOT @ ROOT.T).reshape(N, C, N, C).transpose(0, 2, 1, 3)
KERNEL = np.einsum("ijkk->ij", THETA)
Y = np.eye(C)[np.arange(N) % C]


def test_drift_is_the_relative_distance_of_matrices_and_blocks():
    assert drift(KERNEL, KERNEL) == 0
    assert drift(3 * THETA, THETA) == pytest.approx(2)
    other = KERNEL + RNG.normal(size=KERNEL.shape)
    assert drift(other, KERNEL) == pytest.approx(np.linalg.norm(other - KERNEL) / np.linalg.norm(KERNEL))
    assert math.isnan(drift(KERNEL, np.zeros((N, N))))
    with pytest.raises(InvalidInput, match="no distance"):
        drift(KERNEL, THETA)


def cosine(a, b):
    return (a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b))


def test_alignment_is_the_cosine_of_centred_kernels():
    h = np.eye(N) - 1 / N
    assert alignment(KERNEL, Y) == pytest.approx(cosine(h @ KERNEL @ h, h @ Y @ Y.T @ h))


def test_alignment_of_blocks_is_that_of_their_matrix_with_the_lifted_targets():
    h = np.kron(np.eye(N) - 1 / N, np.eye(C))
    matrix = THETA.transpose(0, 2, 1, 3).reshape(N * C, N * C)
    assert alignment(THETA, Y) == pytest.approx(cosine(h @ matrix @ h, h @ np.kron(Y @ Y.T, np.eye(C)) @ h))


def test_a_kernel_and_its_lift_are_aligned_alike_and_the_targets_own_perfectly():
    lift = KERNEL[:, :, None, None] * np.eye(C)
    assert alignment(lift, Y) == pytest.approx(alignment(KERNEL, Y))
    assert alignment(Y @ Y.T, Y) == pytest.approx(1)
    assert alignment(5 * KERNEL + 2, Y) == pytest.approx(alignment(KERNEL, Y))  # scale and offset say nothing
    assert math.isnan(alignment(np.ones((N, N)), Y))
    assert math.isnan(alignment(KERNEL, np.ones((N, 1))))


def test_shapes_that_do_not_belong_together():
    with pytest.raises(InvalidInput, match="cannot be aligned"):
        alignment(KERNEL, Y[:-1])
    with pytest.raises(InvalidInput, match="cannot be aligned"):
        alignment(KERNEL, np.arange(N))
