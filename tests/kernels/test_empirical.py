"""Every kernel on every kind of network against the dense Jacobian, and the exact identities E1 to E5."""

from __future__ import annotations

from functools import cache

import cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import dense_ntk

from ntk_explorer import KERNELS, entk, pntk, single_logit, trntk

CASES = cases.all_cases()
SCALAR = [name for name, card in KERNELS.items() if "from_blocks" in card.extras]


def close(actual, expected, tolerance=1e-10):
    """Relative distance in Frobenius norm, the issue's own measure of exactness."""
    assert actual.shape == expected.shape
    assert jnp.linalg.norm(jnp.ravel(actual - expected)) <= tolerance * jnp.linalg.norm(jnp.ravel(expected))


def contractions(theta):
    c = theta.shape[-1]
    return {
        "pntk": jnp.einsum("nmab->nm", theta) / c,
        "trntk": jnp.einsum("nmaa->nm", theta) / c,
        "single_logit": theta[..., 0, 0],
    }


@cache
def mixed(case):
    """The case's network followed by a fixed matrix ``mix`` [3, c]: one program, compiled once, for E1 to E4."""

    def f(params, x):
        return case.f(params["network"], x) @ jax.lax.stop_gradient(params["mix"])

    return f


def with_mix(params, mix=None):
    return {"network": params, "mix": jnp.eye(3) if mix is None else mix}


def trained(case, steps=3):
    """A few gradient steps on squared loss against fixed targets."""
    targets = jax.random.normal(jax.random.key(11), (len(case.x1), 3), "float64")
    optimiser = optax.sgd(1e-3)
    gradient = jax.jit(jax.grad(lambda p: ((case.f(p, case.x1) - targets) ** 2).mean()))
    params, state = case.params, optimiser.init(case.params)
    for _ in range(steps):
        updates, state = optimiser.update(gradient(params), state)
        params = optax.apply_updates(params, updates)
    return params


@pytest.fixture(
    scope="module",
    params=[(case, late) for case in CASES for late in (False, True)],
    ids=lambda param: f"{param[0].name}-{'trained' if param[1] else 'init'}",
)
def situation(request):
    """A network, at its first parameters and after some training, with all of its kernels."""
    case, after_training = request.param
    params = with_mix(trained(case) if after_training else case.params)
    theta = entk(mixed(case), params, case.x1)
    return case, params, theta, {name: KERNELS[name](mixed(case), params, case.x1) for name in SCALAR}


def flat(theta):
    n, _, c, _ = theta.shape
    return theta.transpose(0, 2, 1, 3).reshape(n * c, n * c)


def test_agrees_with_the_dense_jacobian(situation):
    case, params, theta, kernels = situation
    dense = dense_ntk(mixed(case), params, case.x1)
    close(theta, dense)
    for name, expected in contractions(dense).items():
        close(kernels[name], expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_between_two_sets_of_examples(case):
    dense = dense_ntk(mixed(case), with_mix(case.params), case.x1, case.x2)
    close(entk(mixed(case), with_mix(case.params), case.x1, case.x2), dense)
    for name, expected in contractions(dense).items():
        close(KERNELS[name](mixed(case), with_mix(case.params), case.x1, case.x2), expected)


@pytest.mark.parametrize("case", [c for c in CASES if not c.name.endswith("-ntk")], ids=lambda case: case.name)
def test_batching_changes_nothing_beyond_rounding(case):
    """Tiles of 3 and 1: unequal ones, mirrored ones, and columns of another set."""
    whole = trntk(mixed(case), with_mix(case.params), case.x1)
    close(trntk(mixed(case), with_mix(case.params), case.x1, batch_size=3), whole, 1e-12)
    whole = trntk(mixed(case), with_mix(case.params), case.x1, case.x2)
    close(trntk(mixed(case), with_mix(case.params), case.x1, case.x2, batch_size=3), whole, 1e-12)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_batching_keeps_the_order_of_output_pairs(batch_size):
    case = CASES[0]
    close(entk(case.f, case.params, case.x1, batch_size=batch_size), entk(case.f, case.params, case.x1), 1e-12)


def test_kernels_are_contractions_of_the_blocks_by_their_own_card(situation):
    _, _, theta, kernels = situation
    for name, kernel in kernels.items():
        from_blocks = KERNELS[name].extras["from_blocks"]
        close(from_blocks(theta), kernel)
        close(jnp.asarray(from_blocks(np.asarray(theta))), kernel)


def test_symmetric_and_positive_semidefinite(situation):
    _, _, theta, kernels = situation
    for matrix in [flat(theta), *kernels.values()]:
        close(matrix, matrix.T, 1e-12)
        values = jnp.linalg.eigvalsh(matrix)
        assert values[0] >= -1e-10 * values[-1]


def test_e2_eigenvalues_interlace(situation):
    _, _, theta, kernels = situation
    outer = jnp.linalg.eigvalsh(flat(theta))
    slack = 1e-9 * outer[-1]
    for name, kernel in kernels.items():
        inner = jnp.linalg.eigvalsh(kernel)
        assert inner[-1] <= outer[-1] + slack
        assert inner[0] >= outer[0] - slack
        if name == "trntk":  # an average of compressions, not one: only the two ends are bounded
            continue
        n = len(inner)
        assert (outer[:n] - slack <= inner).all()
        assert (inner <= outer[-n:] + slack).all()


def test_e3_pythagoras(situation):
    _, _, theta, kernels = situation
    c, trace = theta.shape[-1], kernels["trntk"]

    def distance(kernel):
        return jnp.sum((kernel[:, :, None, None] * jnp.eye(c)[None, None] - theta) ** 2)

    for kernel in kernels.values():
        total = distance(trace) + c * jnp.sum((kernel - trace) ** 2)
        assert float(distance(kernel)) == pytest.approx(float(total), rel=1e-10)


def test_e4_permuting_outputs(situation):
    case, params, _, kernels = situation
    permuted = {**params, "mix": jnp.eye(3)[:, jnp.array([1, 2, 0])]}
    close(pntk(mixed(case), permuted, case.x1), kernels["pntk"])
    close(trntk(mixed(case), permuted, case.x1), kernels["trntk"])
    other = single_logit(mixed(case), permuted, case.x1)
    assert jnp.linalg.norm(other - kernels["single_logit"]) > 1e-6 * jnp.linalg.norm(other)


def test_e4_rotating_and_scaling_outputs(situation):
    case, params, theta, kernels = situation
    rotation, _ = jnp.linalg.qr(jax.random.normal(jax.random.key(12), (3, 3), "float64"))
    rotated = {**params, "mix": rotation}
    close(trntk(mixed(case), rotated, case.x1), kernels["trntk"], 1e-9)
    assert jnp.linalg.norm(pntk(mixed(case), rotated, case.x1) - kernels["pntk"]) > 1e-6 * jnp.linalg.norm(
        kernels["pntk"]
    )
    close(entk(mixed(case), {**params, "mix": -2.5 * jnp.eye(3)}, case.x1), 6.25 * theta)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_e1_one_output_makes_all_kernels_equal(case):
    params = with_mix(case.params, jnp.eye(3)[:, :1])
    theta = entk(mixed(case), params, case.x1)[..., 0, 0]
    for name in SCALAR:
        close(KERNELS[name](mixed(case), params, case.x1), theta)


@pytest.mark.parametrize("bias", [False, True])
def test_e5_share_of_the_readout(bias):
    """The readout's share is (<h, h'> + bias) I: exact at any width, so all kernels agree on it."""
    case = cases.registered("mlp", "standard", bias)
    rest = {name: value for name, value in case.params.items() if name != "readout"}
    readout = case.params["readout"]

    def of_the_readout(p, x):
        return case.f({**rest, "readout": p}, x)

    identity = {"readout": {**readout, "weight": jnp.eye(readout["weight"].shape[0])}}
    if bias:
        identity["readout"]["bias"] = jnp.zeros(readout["weight"].shape[0])
    hidden = case.f({**rest, **identity}, case.x1)
    share = hidden @ hidden.T + (1.0 if bias else 0.0)
    close(entk(of_the_readout, readout, case.x1), jnp.einsum("ij,ab->ijab", share, jnp.eye(3)))
    for name in SCALAR:
        close(KERNELS[name](of_the_readout, readout, case.x1), share)


def test_pntk_divides_by_outputs_once():
    """The normalisation trap: with four outputs the sum of a block is divided by 4, not by 16."""

    def linear(p, x):
        return x @ p

    x = jnp.ones((1, 2))
    assert pntk(linear, jnp.zeros((2, 4)), x)[0, 0] == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_kernels_can_be_compiled_differentiated_and_mapped(name):
    case = cases.registered(name)

    def total(params):
        return pntk(case.f, params, case.x1).sum()

    value = total(case.params)
    assert jax.jit(total)(case.params) == pytest.approx(float(value))
    gradient = jax.grad(total)(case.params)
    direction = jax.tree.map(lambda a: jax.random.normal(jax.random.key(0), a.shape, a.dtype), case.params)

    def along(t):
        return float(total(jax.tree.map(lambda p, d: p + t * d, case.params, direction)))

    step = 1e-5
    slope = sum(jnp.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
    assert float(slope) == pytest.approx((along(step) - along(-step)) / (2 * step), rel=1e-4)
    pair = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), case.params)
    mapped = jax.vmap(lambda p: pntk(case.f, p, case.x1))(pair)
    close(mapped[1], pntk(case.f, jax.tree.map(lambda a: 2 * a, case.params), case.x1))


def test_compiled_once_for_equal_networks():
    """Another key, the same network: no second trace."""
    from ntk_explorer import build

    traces = []
    network = build("mlp", inputs=(7,), width=5, outputs=2)

    def counted(params, x):
        traces.append(1)
        return network.apply(params, x)

    x = jnp.ones((3, 7))
    entk(counted, network.init(jax.random.key(0)), x)
    first = len(traces)
    entk(counted, network.init(jax.random.key(1)), x)
    assert first > 0
    assert len(traces) == first
