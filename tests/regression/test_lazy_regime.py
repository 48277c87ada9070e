"""What wide networks do in training: kernels stay as different as they were, and their regressions come together.

Set-up: 30 + 30 Gaussian inputs in 32 dimensions of norm √32, classes from a random linear map to 10 outputs; three
layers, ReLU, no biases, hidden weights N(0, 2/fan-in), readout N(0, 1/fan-in), float64, four seeds. Full-batch gradient
descent on ½‖f − Y‖² with steps of 0.5/λ_max(Θ).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_explorer.architectures import build
from ntk_explorer.comparison.measures import relative_frobenius
from ntk_explorer.kernels import KERNELS
from ntk_explorer.kernels.empirical import entk
from ntk_explorer.regression.dynamics import learning_rate_limit
from ntk_explorer.regression.measures import correction_difference, regression_difference
from ntk_explorer.regression.regression import kernel_regression

STEPS = (0, 10, 100, 1000)


def examples(seed):
    inputs, labels = jax.random.split(jax.random.key(seed))
    x = jax.random.normal(inputs, (60, 32), "float64")
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True) * jnp.sqrt(32.0)
    return x, np.eye(10)[np.argmax(x @ jax.random.normal(labels, (32, 10), "float64"), axis=1)]


def descend(f, params, x, y, rate, steps):
    """Explicit gradient descent."""

    def step(_, at):
        gradient = jax.grad(lambda p: jnp.sum((f(p, x) - y) ** 2) / 2)(at)
        return jax.tree.map(lambda leaf, slope: leaf - rate * slope, at, gradient)

    return jax.jit(lambda at: jax.lax.fori_loop(0, steps, step, at))(params)


def moments(width, seed):
    """Of one network along training: relF of the pNTK, and both differences of regressions [3, steps]."""
    (x, y), network = examples(seed), build("mlp", inputs=(32,), outputs=10, width=width, depth=3, bias=False)
    params, done, table = network.init(jax.random.key(100 + seed)), 0, []
    rate = learning_rate_limit(entk(network.apply, params, x[:30])) / 30 / 4
    for steps in STEPS:
        params, done = descend(network.apply, params, x[:30], y[:30], rate, steps - done), steps
        blocks = np.asarray(entk(network.apply, params, x, x[:30]))
        single = KERNELS["pntk"].extras["from_blocks"](blocks)
        outputs = np.asarray(network.apply(params, x))
        f0 = {"f0_train": outputs[:30], "f0_test": outputs[30:]}
        full, short = (kernel_regression(k[:30], y[:30], k[30:], **f0) for k in (blocks, single))
        error = relative_frobenius(single[:30], blocks[:30])
        table.append([error, regression_difference(short, full), correction_difference(short, full, outputs[30:])])
    return np.transpose(table)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "level", "difference"), [(64, 0.159, 0.30), (256, 0.077, 0.12), (1024, 0.038, 0.058)]
)
def test_kernels_stay_as_different_while_their_regressions_come_together(width, level, difference):
    error, regression, correction = np.mean([moments(width, seed) for seed in range(4)], axis=0)
    np.testing.assert_allclose(error, error[0], rtol=0.06)
    assert error[0] == pytest.approx(level, rel=0.2)
    assert regression[0] == pytest.approx(difference, rel=0.2)
    assert (np.diff(regression) < 0).all()
    assert regression[3] < 0.05 * regression[0]
    # Not since the kernels got closer, but since residuals vanish: what both add to the network differs ever more.
    assert (np.diff(correction) > 0).all()
