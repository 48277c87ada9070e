"""Networks whose examples influence one another, and parameters that are not numbers, are told apart from others."""

from __future__ import annotations

import cases
import jax
import jax.numpy as jnp
import pytest

from ntk_explorer.errors import InvalidInput
from ntk_explorer.reading.independence import require_finite, require_independent

X = jax.random.normal(jax.random.key(0), (3, 5), "float64")
WEIGHT = jax.random.normal(jax.random.key(1), (5, 2), "float64")
MIXED = "changes with the other examples in the batch"


def batch_normalised(params, x):
    h = x @ params
    return (h - h.mean(0, keepdims=True)) / (h.std(0, keepdims=True) + 1e-3)


def faintly_mixed(params, x):
    """Far below what a comparison of values would see; its derivative is not zero."""
    return x @ params + 1e-13 * jnp.broadcast_to((x @ params).sum(0, keepdims=True), (len(x), 2))


def mixed_without_derivative(params, x):
    return x @ params + jax.lax.stop_gradient(jnp.broadcast_to((x @ params).max(0, keepdims=True), (len(x), 2)))


def ranked(params, tokens):
    """Whole numbers have no derivative."""
    return params[tokens].sum(1) + 1.0 * (tokens.sum() > tokens[0].sum())


@pytest.mark.parametrize("case", cases.all_cases(), ids=lambda case: case.name)
def test_every_network_of_ours_passes(case):
    require_independent(case.f, case.params, case.x1)
    require_finite(case.params)


@pytest.mark.parametrize("f", [batch_normalised, faintly_mixed, mixed_without_derivative])
@pytest.mark.parametrize("n", [1, 3])
def test_mixed_examples_are_found_from_one_example_or_more(f, n):
    with pytest.raises(InvalidInput, match=MIXED):
        require_independent(f, WEIGHT, X[:n])


@pytest.mark.parametrize("n", [1, 2])
def test_tokens(n):
    tokens = jnp.array([[0, 1, 1], [1, 2, 2]])
    with pytest.raises(InvalidInput, match=MIXED):
        require_independent(ranked, WEIGHT, tokens[:n])
    require_independent(lambda p, tokens: p[tokens].sum(1), WEIGHT, tokens[:n])


def test_flax_batch_normalisation_in_training_and_in_evaluation():
    from flax import linen

    model = linen.Sequential([linen.Dense(4), linen.BatchNorm(use_running_average=False), linen.Dense(2)])
    frozen = linen.Sequential([linen.Dense(4), linen.BatchNorm(use_running_average=True), linen.Dense(2)])
    variables = model.init(jax.random.key(0), X)
    params, rest = variables["params"], {"batch_stats": variables["batch_stats"]}
    with jax.numpy_rank_promotion("allow"):
        with pytest.raises(InvalidInput, match="Use running averages"):
            require_independent(
                lambda p, x: model.apply({"params": p, **rest}, x, mutable=["batch_stats"])[0], params, X
            )
        require_independent(lambda p, x: frozen.apply({"params": p, **rest}, x), params, X)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_the_parameter_that_is_no_number_is_named(bad):
    params = {"first": {"weight": jnp.ones((2, 2))}, "last": jnp.ones(3).at[1].set(bad)}
    with pytest.raises(InvalidInput, match="Parameter 'last' holds NaN or infinite values"):
        require_finite(params)
    require_finite({"steps": 3, "nothing": None})


def test_large_parameters_are_numbers_though_their_squares_are_not():
    require_finite(jnp.full(4, 1e30, "float32"))
    with pytest.raises(InvalidInput, match="Parameter '1' holds NaN"):
        require_finite([jnp.full(4, 1e30, "float32"), jnp.full(4, jnp.nan)])


def test_what_is_traced_is_let_through():
    def traced(params, x):
        require_finite(params)
        require_independent(batch_normalised, params, x)
        return params.sum()

    assert jax.jit(traced)(WEIGHT, X) == pytest.approx(float(WEIGHT.sum()))
