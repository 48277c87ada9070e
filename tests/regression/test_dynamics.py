"""The closed form is gradient descent of the linearised network: by steps, in its limits, beside neural-tangents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from neural_tangents_here import needs_neural_tangents
from regression_by_hand import flat, lifted, task

from ntk_explorer.architectures import build
from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels.empirical import entk
from ntk_explorer.regression.dynamics import learning_rate_limit, linearised_dynamics
from ntk_explorer.regression.regression import kernel_regression
from ntk_explorer.training.config import TrainingConfig
from ntk_explorer.training.epochs import train_epochs
from ntk_explorer.training.linear import linearised


def arguments(known):
    return known.train, known.y, known.outputs["f0_train"], known.test, known.outputs["f0_test"]


def recursion(known, rate, steps):
    """f ← f − η Θ (f − y) / n, for all examples together."""
    n, c = known.y.shape
    kernel = flat(known.blocks[:, :n])
    f = known.f0.ravel().copy()
    for _ in range(steps):
        f -= rate / n * kernel @ (f[: n * c] - known.y.ravel())
    return f[: n * c].reshape(n, c), f[n * c :].reshape(-1, c)


@given(n=st.integers(1, 6), m=st.integers(1, 3), c=st.integers(1, 3), parameters=st.sampled_from([2, 30]))
def test_the_closed_form_is_the_recursion_also_of_a_singular_kernel(n, m, c, parameters):
    known = task(n, m, c, parameters)
    rate, steps = 0.9 * learning_rate_limit(known.train), [0, 1, 2, 7, 60]
    found = linearised_dynamics(*arguments(known), learning_rate=rate, steps=steps)
    for t, train, test in zip(steps, *found, strict=True):
        expected = recursion(known, rate, t)
        np.testing.assert_allclose(train, expected[0], rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(test, expected[1], rtol=1e-8, atol=1e-8)


def test_one_number_per_pair_stands_for_its_lift():
    known = task()
    kernel = known.blocks.sum((2, 3)) / 3
    rest = known.y, known.outputs["f0_train"]
    options = {"learning_rate": 0.01, "steps": [3, 40]}
    short = linearised_dynamics(kernel[:12, :12], *rest, kernel[12:, :12], known.outputs["f0_test"], **options)
    blocks = lifted(kernel, 3)
    long = linearised_dynamics(blocks[:12, :12], *rest, blocks[12:, :12], known.outputs["f0_test"], **options)
    np.testing.assert_allclose(short.train, long.train, atol=1e-10)
    np.testing.assert_allclose(short.test, long.test, atol=1e-10)


@pytest.mark.parametrize("flow", [False, True])
def test_its_end_is_kernel_regression(flow):
    known = task()
    rate = 0.5 * learning_rate_limit(known.train)
    found = linearised_dynamics(*arguments(known), learning_rate=rate, steps=100_000, flow=flow)
    np.testing.assert_allclose(found.train[0], known.y, atol=1e-9)
    expected = kernel_regression(known.train, known.y, known.test, **known.outputs)
    np.testing.assert_allclose(found.test[0], expected, atol=1e-9)


def test_small_steps_are_gradient_flow():
    known, time = task(), 0.5
    flow = linearised_dynamics(*arguments(known), learning_rate=time, steps=1.0, flow=True)
    steps = linearised_dynamics(*arguments(known), learning_rate=time / 10**6, steps=10**6)
    np.testing.assert_allclose(steps.test, flow.test, atol=1e-5)
    assert np.abs(flow.test - known.outputs["f0_test"]).max() > 0.1


def test_the_learning_rate_limit_parts_convergence_from_divergence():
    known = task()
    limit = learning_rate_limit(known.train)
    assert limit == pytest.approx(2 * 12 / np.linalg.eigvalsh(flat(known.train))[-1])
    sizes = {}
    for share in (0.99, 1.01):
        found = linearised_dynamics(*arguments(known), learning_rate=share * limit, steps=[0, 2000])
        sizes[share] = np.linalg.norm(found.train - known.y, axis=(1, 2))
    assert sizes[0.99][1] < 0.01 * sizes[0.99][0]
    assert sizes[1.01][1] > 100 * sizes[1.01][0]
    assert learning_rate_limit(np.zeros((2, 2))) == np.inf


def test_the_closed_form_is_explicit_gradient_descent_of_a_linearised_network():
    network = build("mlp", inputs=(5,), outputs=3, width=16)
    params, x = network.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (14, 5))
    y, blocks, f0 = np.arange(8) % 3, entk(network.apply, params, x, x[:8]), network.apply(params, x)
    rate = 0.5 * learning_rate_limit(blocks[:8])
    found = linearised_dynamics(
        blocks[:8], np.eye(3)[y], f0[:8], blocks[8:], f0[8:], learning_rate=rate, steps=range(31)
    )
    config = TrainingConfig(loss="squared", optimizer="sgd", learning_rate=rate, batch_size=None, epochs=30)
    stacked = jax.tree.map(lambda leaf: leaf[None], params)
    options = {"config": config, "key": jax.random.key(3), "linearised": True}
    epochs = [epoch.params for epoch in train_epochs(network.apply, stacked, x[:8], y, **options)]
    outputs = jax.jit(linearised(network.apply, params))
    for t in (0, 1, 10, 30):
        expected = outputs(jax.tree.map(lambda leaf: leaf[0], epochs[t]), x)
        np.testing.assert_allclose(np.concatenate([found.train[t], found.test[t]]), expected, atol=1e-9)
    assert np.abs(found.test[30] - found.test[0]).max() > 0.1


@needs_neural_tangents
@pytest.mark.parametrize("blocks", [False, True])
def test_gradient_flow_is_that_of_neural_tangents(blocks):
    """Its loss is the mean over examples and outputs, so that its time runs c times as fast."""
    from ntk_explorer.infinite._neural_tangents import neural_tangents

    known = task(6, 4)
    train, test = (k if blocks else k.sum((2, 3)) / 3 for k in (known.train, known.test))
    f0_train, f0_test = known.outputs.values()
    rate = 0.5 * learning_rate_limit(train)
    with jax.numpy_rank_promotion("allow"):
        predict = neural_tangents().predict.gradient_descent_mse
        at = predict(jnp.asarray(train), jnp.asarray(known.y), learning_rate=rate, trace_axes=() if blocks else (-1,))
        partway, end = (at(time, f0_train, f0_test, jnp.asarray(test)) for time in (3 * 2.0, None))
    found = linearised_dynamics(train, known.y, f0_train, test, f0_test, learning_rate=rate, steps=2.0, flow=True)
    np.testing.assert_allclose(found.train[0], partway[0], atol=1e-9)
    np.testing.assert_allclose(found.test[0], partway[1], atol=1e-9)
    np.testing.assert_allclose(kernel_regression(train, known.y, test, **known.outputs), end[1], atol=1e-8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"steps": -1}, "steps is -1"),
        ({"steps": 0.5}, "whole ones unless flow"),
        ({"y": np.ones((3, 2))}, "f0_train has shape"),
        ({"f0_test": np.ones((3, 3))}, "f0_test has shape"),
        ({"theta_train": np.ones((3, 4))}, "Pass .n, n."),
    ],
)
def test_bad_input(change, message):
    ones = np.ones((3, 3))
    options = {"theta_train": np.eye(3), "y": ones, "f0_train": ones, "theta_test": ones[:2], "f0_test": ones[:2]}
    with pytest.raises(InvalidInput, match=message):
        linearised_dynamics(**({"learning_rate": 0.1, "steps": 1} | options | change))
