"""Kernels of loss and margin gradients against rᵀ Θ r', and the identities that tie them to one another."""

from __future__ import annotations

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import close, dense_jacobian, dense_ntk, jacobians_of

from ntk_explorer import KERNELS, build, cosine, entk, estimate, gram, loss_gradient, margin, pntk, single_logit, trntk
from ntk_explorer.errors import InvalidInput, UnknownName

CASE = cases.registered("mlp")
Y1, Y2 = np.array([0, 2, 1, 1]), np.array([2, 0, 0, 1])
TARGETS = np.random.default_rng(0).normal(size=(2, 4, 3))


def residuals(outputs, y, loss):
    """∂ℓ/∂f by the formulas of the cards."""
    if loss == "squared":
        return outputs - y
    if loss == "cross_entropy":
        return jax.nn.softmax(outputs) - jax.nn.one_hot(y, 3)
    others = jax.nn.softmax(jnp.where(jax.nn.one_hot(y, 3) > 0, -jnp.inf, outputs))
    return jax.nn.one_hot(y, 3) - others


def contracted(case, y, loss):
    """rᵀ J J'ᵀ r'."""
    gradients = jnp.einsum("nc,ncp->np", residuals(case.f(case.params, case.x1), y, loss), jacobians_of(case)[0])
    return gradients @ gradients.T


def test_between_two_sets_of_examples():
    theta = dense_ntk(CASE.f, CASE.params, CASE.x1, CASE.x2)
    for kernel, loss in ((loss_gradient, "cross_entropy"), (margin, "margin")):
        left, right = (residuals(CASE.f(CASE.params, x), y, loss) for x, y in ((CASE.x1, Y1), (CASE.x2, Y2)))
        expected = jnp.einsum("na,nmab,mb->nm", left, theta, right)
        close(kernel(CASE.f, CASE.params, CASE.x1, CASE.x2, y1=Y1, y2=Y2), expected)


def test_squared_loss():
    found = loss_gradient(CASE.f, CASE.params, CASE.x1, y1=TARGETS[0], loss="squared")
    close(found, contracted(CASE, TARGETS[0], "squared"))
    classes = loss_gradient(CASE.f, CASE.params, CASE.x1, y1=Y1, loss="squared")
    close(classes, loss_gradient(CASE.f, CASE.params, CASE.x1, y1=np.eye(3)[Y1], loss="squared"), 1e-12)


def test_loss_gradient_is_a_weighted_margin():
    """Grad CE = −(1 − p_y) grad m, so the kernels differ by a factor per example (identity 8)."""
    kernel = loss_gradient(CASE.f, CASE.params, CASE.x1, y1=Y1)
    other = 1 - jax.nn.softmax(CASE.f(CASE.params, CASE.x1))[jnp.arange(4), Y1]
    close(kernel, other[:, None] * other[None, :] * margin(CASE.f, CASE.params, CASE.x1, y1=Y1), 1e-12)
    theta, r = entk(CASE.f, CASE.params, CASE.x1), residuals(CASE.f(CASE.params, CASE.x1), Y1, "cross_entropy")
    close(kernel, jnp.einsum("na,nmab,mb->nm", r, theta, r), 1e-12)


def test_what_is_added_to_all_outputs_changes_nothing():
    """Identity 18: probabilities, and so these kernels, do not see it; the pNTK does."""

    def shifted(params, x):
        return CASE.f(params["net"], x) + jnp.broadcast_to(jnp.sin(x @ params["common"]), (len(x), 3))

    common = jax.random.normal(jax.random.key(0), (CASE.x1[0].size, 1), "float64")
    x = CASE.x1.reshape(4, -1)
    params = {"net": CASE.params, "common": common}
    for kernel in (loss_gradient, margin):
        close(kernel(shifted, params, x, y1=Y1), kernel(CASE.f, CASE.params, x, y1=Y1), 1e-9)
    before = pntk(CASE.f, CASE.params, x)
    assert jnp.linalg.norm(pntk(shifted, params, x) - before) > 0.01 * jnp.linalg.norm(before)


@pytest.mark.parametrize("kernel", [loss_gradient, margin])
def test_batching_changes_nothing_beyond_rounding(kernel):
    whole = kernel(CASE.f, CASE.params, CASE.x1, CASE.x2, y1=Y1, y2=Y2)
    close(kernel(CASE.f, CASE.params, CASE.x1, CASE.x2, y1=Y1, y2=Y2, batch_size=3), whole, 1e-12)


@pytest.mark.parametrize("name", ["loss_gradient", "margin"])
def test_float32_agrees_with_float64(name):
    case = cases.registered("cnn")
    single = jax.tree.map(lambda a: a.astype("float32"), (case.params, case.x1))
    kernel = KERNELS[name](case.f, *single, y1=Y1)
    assert kernel.dtype == jnp.float32
    close(kernel.astype("float64"), KERNELS[name](case.f, case.params, case.x1, y1=Y1), 2e-4)


def test_confident_networks_lose_nothing_to_rounding():
    """A margin's gradient stays of order one where the loss's has all but vanished."""

    def linear(params, x):
        return x @ params

    x = jnp.eye(2, dtype="float64")
    params = 40.0 * jnp.eye(2, dtype="float64")
    close(margin(linear, params, x, y1=[0, 1]), 2 * jnp.eye(2))
    assert 0 < loss_gradient(linear, params, x, y1=[0, 1])[0, 0] < 1e-30


def test_token_inputs_stay_whole_numbers():
    def bag(params, tokens):
        assert tokens.dtype == jnp.int32
        return params["table"][tokens].mean(axis=1) @ params["readout"]

    params = {"table": jnp.arange(12.0).reshape(4, 3) / 7, "readout": jnp.ones((3, 2)) + jnp.eye(3, 2)}
    tokens = jnp.array([[0, 1, 1], [3, 2, 0]], "int32")
    jacobian = dense_jacobian(bag, params, tokens)
    r = jax.nn.softmax(bag(params, tokens)) - jax.nn.one_hot(jnp.array([0, 1]), 2)
    gradients = jnp.einsum("nc,ncp->np", r, jacobian)
    close(loss_gradient(bag, params, tokens, y1=[0, 1]), gradients @ gradients.T)


def test_compiled_and_mapped_with_traced_labels():
    direct = loss_gradient(CASE.f, CASE.params, CASE.x1, y1=Y1)
    traced = jax.jit(lambda params, x, y: loss_gradient(CASE.f, params, x, y1=y))(CASE.params, CASE.x1, Y1)
    close(traced, direct, 1e-12)


def test_labelled_gram_matrix_uses_its_labels():
    network = build("mlp", inputs=(5,), width=4, outputs=3)
    params = network.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(4, 5))
    kernel = gram("loss_gradient", network, params, x, labels=Y1)
    np.testing.assert_array_equal(kernel.label1, Y1)
    close(jnp.asarray(kernel.values), loss_gradient(network.apply, params, x, y1=Y1), 1e-12)
    assert estimate("margin", network.apply, params, x).flops == estimate("pntk", network.apply, params, x).flops
    with pytest.raises(InvalidInput, match="labels, and those of x1 are missing"):
        gram("margin", network, params, x)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, "those of x1 are missing. Pass y1"),
        ({"y1": Y1}, "those of x2 are missing. Pass y2"),
        ({"y1": Y1[:3], "y2": Y2}, r"y1 has shape \(3,\) for 4 examples"),
        ({"y1": Y1, "y2": Y2 + 1}, "y2 holds class 3 .example 0., and the network has 3 outputs. Number .* 0 to 2"),
        ({"y1": Y1 - 1, "y2": Y2}, "y1 holds class -1"),
        ({"y1": Y1 / 1.0, "y2": Y2}, "y1 has shape .4,. and dtype float64"),
    ],
)
@pytest.mark.parametrize("kernel", [loss_gradient, margin, cosine(margin)])
def test_wrong_labels(kernel, labels, message):
    with pytest.raises(InvalidInput, match=message):
        kernel(CASE.f, CASE.params, CASE.x1, CASE.x2, **labels)


def test_other_bad_input():
    with pytest.raises(InvalidInput, match="labels y2 but no examples x2"):
        margin(CASE.f, CASE.params, CASE.x1, y1=Y1, y2=Y2)
    with pytest.raises(UnknownName, match="Did you mean 'squared'"):
        loss_gradient(CASE.f, CASE.params, CASE.x1, y1=Y1, loss="square")
    with pytest.raises(InvalidInput, match="2 targets per example for 3 outputs"):
        loss_gradient(CASE.f, CASE.params, CASE.x1, y1=np.ones((4, 2)), loss="squared")
    with pytest.raises(InvalidInput, match="y1 holds NaN"):
        loss_gradient(CASE.f, CASE.params, CASE.x1, y1=np.full((4, 3), np.nan), loss="squared")
    with pytest.raises(InvalidInput, match="single output says nothing"):
        margin(lambda p, x: x @ p, jnp.ones((3, 1)), np.ones((2, 3)), y1=[0, 0])
    with pytest.raises(InvalidInput, match="x1 holds NaN or infinite values, first in example 1"):
        margin(CASE.f, CASE.params, CASE.x1.at[1].set(jnp.nan), y1=Y1)


def test_one_output_and_squared_loss():
    """C = 1: residual times residual times the one tangent kernel that there is."""

    def linear(params, x):
        return x @ params

    x, params, y = TARGETS[0], jnp.ones((3, 1), "float64"), TARGETS[1][:, 0]
    r = (linear(params, x)[:, 0]) - y
    expected = r[:, None] * r[None, :] * single_logit(linear, params, x)
    close(loss_gradient(linear, params, x, y1=y, loss="squared"), expected)
    close(trntk(linear, params, x), pntk(linear, params, x), 1e-12)
