"""Models of flax and equinox: their own outputs, their trainable real arrays, their kernels."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import dense_ntk

from ntk_explorer.architectures.adapters import from_equinox, from_flax
from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels.empirical import entk

IMAGES = np.random.default_rng(0).normal(size=(4, 8, 8, 2))
KEY = jax.random.key(0)


class LinenCNN(nn.Module):
    """Convolution, batch normalisation and dropout, in double precision."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(5, (3, 3), param_dtype=jnp.float64)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, param_dtype=jnp.float64)(x))
        x = nn.Dropout(0.5, deterministic=not train)(x.mean(axis=(1, 2)))
        return nn.Dense(3, param_dtype=jnp.float64)(x)


class NnxCNN(nnx.Module):
    def __init__(self, rngs):
        real = {"rngs": rngs, "param_dtype": jnp.float64}
        self.conv = nnx.Conv(2, 5, (3, 3), **real)
        self.norm = nnx.BatchNorm(5, **real)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.table = nnx.Param(jnp.arange(3))
        self.out = nnx.Linear(5, 3, **real)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.conv(x))).mean(axis=(1, 2))
        return self.out(self.drop(x)) + self.table[...][None]


class EqxCNN(eqx.Module):
    conv: eqx.nn.Conv2d
    drop: eqx.nn.Dropout
    out: eqx.nn.Linear
    table: jax.Array
    activation: object = eqx.field(static=True, default=jax.nn.relu)

    def __init__(self, key):
        first, second = jax.random.split(key)
        self.conv = eqx.nn.Conv2d(2, 5, 3, padding=1, key=first, dtype=jnp.float64)
        self.drop = eqx.nn.Dropout(0.5)
        self.out = eqx.nn.Linear(5, 3, key=second, dtype=jnp.float64)
        self.table = jnp.arange(3)

    def __call__(self, x, key=None):
        return self.out(self.drop(self.activation(self.conv(x)).mean(axis=(1, 2)), key=key)) + self.table


def linen():
    module = LinenCNN()
    variables = module.init(KEY, IMAGES)
    variables["batch_stats"] = jax.tree.map(lambda leaf: leaf + 0.5, variables["batch_stats"])
    return *from_flax(module, IMAGES, variables=variables), module.apply(variables, IMAGES)


def nnx_model():
    module = NnxCNN(nnx.Rngs(0))
    module.norm.mean[...] = jnp.full(5, 0.5)
    module.eval()
    return *from_flax(module, IMAGES), module(IMAGES)


def equinox():
    model = EqxCNN(KEY)
    images = np.moveaxis(IMAGES, -1, 1)
    return *from_equinox(model, channels_first=True), jax.vmap(eqx.nn.inference_mode(model))(images)


@pytest.fixture(params=[linen, nnx_model, equinox], scope="module")
def taken_over(request):
    return request.param()


def test_outputs_are_the_models_own(taken_over):
    network, params, own = taken_over
    np.testing.assert_allclose(network.apply(params, IMAGES), own, rtol=1e-12)


def test_parameters_are_real_arrays_only(taken_over):
    network, params, _ = taken_over
    kinds = {leaf.dtype for leaf in jax.tree.leaves(params)}
    assert kinds == {jnp.dtype("float64")}
    scaled = network.apply(jax.tree.map(lambda leaf: 1.1 * leaf, params), IMAGES)
    assert not np.allclose(scaled, network.apply(params, IMAGES))


def test_kernels_are_those_of_the_dense_jacobian(taken_over):
    network, params, _ = taken_over
    kernel, dense = entk(network.apply, params, IMAGES), dense_ntk(network.apply, params, jnp.asarray(IMAGES))
    assert kernel.shape == (4, 4, 3, 3)
    np.testing.assert_allclose(kernel, dense, atol=1e-10 * np.abs(dense).max())


def test_inputs_are_brought_to_the_parameters_dtype():
    network, params = from_equinox(eqx.nn.Conv2d(2, 3, 3, key=KEY, dtype=jnp.float32), channels_first=True)
    assert network.apply(params, IMAGES).dtype == jnp.float32


def test_whole_numbers_stay_indices():
    network, params = from_equinox(eqx.nn.Embedding(5, 3, key=KEY))
    np.testing.assert_array_equal(network.apply(params, np.array([4, 0])), params.weight[np.array([4, 0])])


def test_linen_draws_anew_from_a_key():
    network, params = from_flax(LinenCNN(), IMAGES, key=KEY)
    again, other = network.init(KEY), network.init(jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, params, again)
    assert not np.allclose(params["Conv_0"]["kernel"], other["Conv_0"]["kernel"])


def test_networks_of_different_models_differ():
    model = eqx.nn.Linear(4, 3, key=KEY)
    (first, _), (second, _) = from_equinox(model), from_equinox(model)
    assert first == first
    assert first != second
    assert len({first, second}) == 2


class Centred(nn.Module):
    """What batch normalisation does in training: examples see one another."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x - x.mean(axis=0, keepdims=True))


@pytest.mark.parametrize(
    ("module", "options"), [(Centred(), {"key": KEY}), (nnx.BatchNorm(2, rngs=nnx.Rngs(0)), {})], ids=["linen", "nnx"]
)
def test_models_that_mix_examples_are_refused(module, options):
    with pytest.raises(InvalidInput, match=f"{type(module).__name__} gives an example other outputs alone than in"):
        from_flax(module, IMAGES, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_flax(LinenCNN(), IMAGES), "LinenCNN has no parameters yet. Pass an example and a key"),
        (lambda: from_flax(LinenCNN(), key=KEY), "LinenCNN has no parameters yet"),
        (lambda: from_flax(eqx.nn.Linear(4, 3, key=KEY)), "Linear is no flax module"),
        (lambda: from_equinox(LinenCNN()), "LinenCNN is no callable equinox module"),
        (
            lambda: from_equinox(eqx.nn.Linear(4, 3, key=KEY))[0].init(KEY),
            "Linear came with its parameters and cannot be drawn anew",
        ),
        (lambda: from_flax(nnx.Linear(4, 3, rngs=nnx.Rngs(0)))[0].init(KEY), "Linear came with its parameters"),
    ],
)
def test_what_cannot_be_taken_over_is_said(call, message):
    with pytest.raises(InvalidInput, match=message) as refusal:
        call()
    assert refusal.value.remedy


def test_a_flax_model_in_training_mode_is_refused_with_the_reason():
    """Flax's own words are of immutable collections."""
    from flax import linen

    model = linen.Sequential([linen.Dense(4), linen.BatchNorm(use_running_average=False), linen.Dense(2)])
    with pytest.raises(InvalidInput, match="training mode"):
        from_flax(model, np.ones((3, 5), "float32"), key=jax.random.key(0))
