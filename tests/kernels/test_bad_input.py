"""Each mistake gets one message that names the cause, the value and a remedy."""

from __future__ import annotations

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_explorer import KERNELS, entk, estimate, gram, pntk
from ntk_explorer.errors import InvalidInput, TooLarge, UnknownName
from ntk_explorer.registry import Entry

CASE = cases.registered("mlp")


def linear(params, x):
    return x @ params


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("which", ["x1", "x2"])
def test_not_finite(bad, which):
    inputs = {"x1": np.ones((4, 3)), "x2": np.ones((4, 3))}
    inputs[which][2, 1] = bad
    with pytest.raises(InvalidInput, match=f"{which} holds NaN or infinite values, first in example 2"):
        pntk(linear, jnp.ones((3, 2)), **inputs)


@pytest.mark.parametrize("x", [np.ones(3), np.float64(1.0), np.ones((0, 3))])
def test_no_examples(x):
    with pytest.raises(InvalidInput, match="Give at least one example along the first axis"):
        pntk(linear, jnp.ones((3, 2)), x)


def test_inputs_of_two_shapes():
    with pytest.raises(InvalidInput, match=r"x1 have shape \(3,\), of x2 \(4,\)"):
        pntk(linear, jnp.ones((3, 2)), np.ones((2, 3)), np.ones((2, 4)))


@pytest.mark.parametrize(
    "wrong", [lambda p, x: (x @ p)[:, 0], lambda p, x: (x @ p)[..., None], lambda p, x: (x @ p).sum()]
)
def test_function_without_rows_of_outputs(wrong):
    with pytest.raises(InvalidInput, match=r"It must return \[n, c\]"):
        entk(wrong, jnp.ones((3, 2)), np.ones((2, 3)))


def test_integer_parameters_are_named():
    params = {"weight": jnp.ones((3, 2)), "steps": jnp.array(3)}
    with pytest.raises(InvalidInput, match="'steps' has dtype int64"):
        entk(lambda p, x: x @ p["weight"], params, np.ones((2, 3)))


def test_outputs_that_are_whole_numbers_blame_the_parameters():
    with pytest.raises(InvalidInput, match="has dtype int64"):
        pntk(lambda p, x: x.astype(int) @ p, jnp.ones((3, 2), int), np.ones((2, 3)))


def test_unhashable_function():
    class Model:
        __hash__ = None

        def __call__(self, params, x):
            return x @ params

    with pytest.raises(InvalidInput, match="cannot be hashed"):
        entk(Model(), jnp.ones((3, 2)), np.ones((2, 3)))


def test_batch_size():
    with pytest.raises(InvalidInput, match="batch_size is 0"):
        pntk(linear, jnp.ones((3, 2)), np.ones((2, 3)), batch_size=0)


def test_unknown_kernel_offers_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'pntk'"):
        gram("pnkt", None, None, np.ones((2, 3)))
    with pytest.raises(UnknownName):
        estimate("nothing", linear, jnp.ones((3, 2)), np.ones((2, 3)))


def test_a_card_that_does_not_say_how_the_kernel_is_computed():
    card = Entry("mine", "mine", pntk)
    with pytest.raises(InvalidInput, match=r"card of mine lacks tiled, costs, roads\. Register it with \*\*facts"):
        estimate(card, linear, jnp.ones((3, 2)), jnp.ones((2, 3)))


def test_beyond_memory_is_refused_with_figures_before_computing():
    params = jax.ShapeDtypeStruct((3, 1000), "float64")
    x = jax.ShapeDtypeStruct((5000, 3), "float64")
    cost = estimate("entk", linear, params, x)
    assert cost.bytes >= (5000 * 1000) ** 2 * 8
    with pytest.raises(TooLarge, match=r"eNTK of 5000 × 5000 examples would take about .* TB, and 16 GB are free"):
        cost.require(16 * 10**9, "Take fewer.")


def test_names_are_the_registry():
    assert list(KERNELS)[:4] == ["entk", "pntk", "trntk", "single_logit"]
