"""Networks averaged over transformed copies, and the evidence's gradient in how strong these are (V17)."""

from functools import cache

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from ntk_explorer.architectures import build
from ntk_explorer.errors import InvalidInput
from ntk_explorer.marglik import INVARIANCES
from ntk_explorer.marglik.evidence import evidence_of
from ntk_explorer.marglik.features import whitened_features
from ntk_explorer.marglik.invariances import averaged_features, draw_noise, invariance_gradient
from ntk_explorer.marglik.stochastic import Draw, draw_part

SHAPES = {"rotation": (2,), "affine": (4, 5, 1)}
ETA = {"rotation": [0.7], "affine": [0.13, -0.21, 0.4, 0.17, -0.11, 0.23]}


@cache
def problem(invariance, likelihood="categorical"):
    net = build("mlp", width=3, depth=2, inputs=SHAPES[invariance], outputs=2, activation="tanh")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, *SHAPES[invariance]))
    y = rng.integers(0, 2, 4) if likelihood == "categorical" else rng.normal(size=(4, 2))
    noise = draw_noise(4, invariance=invariance, samples=3, key=jax.random.key(1))
    return net.apply, net.init(jax.random.key(0)), x, y, noise


def gradient(invariance, eta, likelihood="categorical", **options):
    *network, noise = problem(invariance, likelihood)
    fixed = {"likelihood": likelihood, "prior_precision": 0.7, "sigma": 0.5 if likelihood == "gaussian" else None}
    return invariance_gradient(*network, invariance=invariance, eta=eta, noise=noise, **fixed, **options)


@pytest.mark.parametrize("invariance", INVARIANCES)
def test_without_strength_the_averaged_network_is_the_plain_one(invariance):
    f, params, x, y, noise = problem(invariance)
    eta = np.zeros(len(ETA[invariance]))
    averaged = averaged_features(f, params, x, y, invariance=invariance, eta=eta, noise=noise, likelihood="categorical")
    plain = whitened_features(f, params, x, y, likelihood="categorical")
    assert_allclose(averaged.outputs, plain.outputs, rtol=1e-9, atol=1e-12)
    for estimator in ("ntk", "output", "kfac"):
        one, other = (evidence_of(features, prior_precision=0.7, estimator=estimator) for features in (averaged, plain))
        assert_allclose(one.total, other.total, rtol=1e-9)


@pytest.mark.parametrize(
    ("invariance", "likelihood"),
    [
        ("rotation", "categorical"),
        pytest.param("rotation", "gaussian", marks=pytest.mark.slow),
        ("affine", "categorical"),
    ],
)
def test_gradients_equal_central_differences(invariance, likelihood):
    eta, step = np.array(ETA[invariance]), 1e-5
    found = gradient(invariance, eta, likelihood)
    assert not found.evidence.is_bound
    for k in range(len(eta)):
        ahead, behind = (
            gradient(invariance, eta + s * step * np.eye(len(eta))[k], likelihood).evidence for s in (1, -1)
        )
        assert_allclose(found.by_fit[k], (ahead.fit - behind.fit) / (2 * step), rtol=1e-5, atol=1e-7)
        assert_allclose(
            found.by_complexity[k], (ahead.complexity - behind.complexity) / (2 * step), rtol=1e-5, atol=1e-7
        )
        assert found.by_complexity[k] != 0


def test_the_evidence_is_that_of_the_averaged_features():
    f, params, x, y, noise = problem("rotation")
    options = {"invariance": "rotation", "eta": ETA["rotation"], "noise": noise, "likelihood": "categorical"}
    features = averaged_features(f, params, x, y, **options)
    expected = evidence_of(features, prior_precision=0.7)
    assert_allclose(gradient("rotation", ETA["rotation"]).evidence.total, expected.total, rtol=1e-10)
    # J of the mean is the mean of J
    copies = np.stack([_turned(x, ETA["rotation"][0] * noise[:, s, 0]) for s in range(3)], axis=1)
    outputs = np.mean([f(params, copies[:, s]) for s in range(3)], axis=0)
    assert_allclose(features.outputs, outputs, rtol=1e-12)


def _turned(x, angles):
    turns = np.stack([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]).transpose(2, 0, 1)
    return np.einsum("nij,nj->ni", turns, x)


def test_parts_stand_for_all_examples():
    whole = draw_part(4, 2, key=jax.random.key(0), size=4)
    full, part = gradient("rotation", [0.7]), gradient("rotation", [0.7], part=whole)
    assert_allclose(part.total, full.total, rtol=1e-9)
    # single outputs average to the output partition of the averaged network
    f, params, x, y, noise = problem("rotation")
    options = {"invariance": "rotation", "eta": [0.7], "noise": noise, "likelihood": "categorical"}
    bound = evidence_of(averaged_features(f, params, x, y, **options), prior_precision=0.7, estimator="output")
    draws = [gradient("rotation", [0.7], part=Draw(np.arange(4), np.full(4, c), 1.0)).evidence for c in range(2)]
    assert_allclose(np.mean([draw.total for draw in draws]), bound.total, rtol=1e-9)
    assert {draw.examples for draw in draws} == {4}
    assert {draw.weight_cost for draw in draws} == {full.evidence.weight_cost}


def test_a_quarter_turn_of_an_image_moves_its_pixels():
    from ntk_explorer.marglik._augmented import transformed_images

    image = np.arange(9.0).reshape(1, 3, 3, 1)
    turned = np.asarray(transformed_images(image, np.array([0, 0, np.pi / 2, 0, 0, 0.0]), np.ones((1, 1, 6))))
    assert_allclose(turned[0, 0, :, :, 0], np.rot90(image[0, :, :, 0], 1), atol=1e-12)
    moved = np.asarray(transformed_images(image, np.array([1.0, 0, 0, 0, 0, 0]), np.ones((1, 1, 6))))
    assert_allclose(moved[0, 0, :, :2, 0], image[0, :, 1:, 0], atol=1e-12)
    assert_allclose(moved[0, 0, :, 2, 0], 0, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eta": [0.1, 0.2]}, "Give 1 finite numbers: rotation"),
        ({"eta": [np.nan]}, "eta is"),
        ({"noise": np.zeros((3, 2, 1))}, "noise has shape"),
        ({"invariance": "affine"}, "no images"),
        ({"x": np.zeros((4, 3))}, "no points in the plane"),
        ({"prior_precision": np.ones(12)}, "one prior precision per tensor"),
    ],
)
def test_bad_input(changes, message):
    f, params, x, y, noise = problem("rotation")
    options = {"invariance": "rotation", "eta": [0.1], "noise": noise, "x": x, "prior_precision": 0.5} | changes
    with pytest.raises(InvalidInput, match=message):
        invariance_gradient(f, params, options.pop("x"), y, likelihood="categorical", **options)
    with pytest.raises(InvalidInput, match="samples is 0"):
        draw_noise(4, invariance="rotation", samples=0, key=jax.random.key(0))
