"""Small networks of every kind that the kernels must be exact on: (name, f, params, x1, x2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

import jax
import jax.numpy as jnp

from ntk_explorer.architectures import ARCHITECTURES, build

# What makes an instance of a registered architecture small enough for a dense Jacobian; a plug-in needs no line here.
_SMALL = {"cnn": {"depth": 2}, "resnet": {"blocks": (1, 1)}, "resnet18": {"blocks": (1, 1)}}


@dataclass(frozen=True, eq=False)
class Case:
    name: str
    f: Any
    params: Any
    x1: jax.Array
    x2: jax.Array


def _inputs(shape, key):
    k1, k2 = jax.random.split(key)
    return jax.random.normal(k1, (4, *shape), "float64"), jax.random.normal(k2, (4, *shape), "float64")


@cache
def registered(name: str, parameterization: str = "standard", bias: bool = True) -> Case:
    """A small instance of a registered architecture, with three outputs."""
    options = {"width": 4, "outputs": 3, "inputs": (6, 6, 2), **_SMALL.get(name, {})}
    network = build(name, parameterization=parameterization, bias=bias, bias_variance=0.3 if bias else 0.0, **options)
    inputs = _inputs(network.config.inputs, jax.random.key(2))
    return Case(f"{name}-{parameterization}", network.apply, network.init(jax.random.key(1)), *inputs)


def _as_users_write(f):
    """Other people's code may add a vector to a matrix without saying so; ours may not (conftest.py)."""

    @wraps(f)
    def lenient(params, x):
        with jax.numpy_rank_promotion("allow"):
            return f(params, x)

    return lenient


def _normal(key, *shape):
    return jax.random.normal(key, shape, "float64")


@_as_users_write
def _attention(params, x):
    """One head of self-attention over 4 tokens, tied key and query weights, layer norm with scale and shift."""
    tokens = x.reshape(x.shape[0], 4, 3)
    key, value = tokens @ params["tied"], tokens @ params["value"]
    query = tokens @ params["tied"]
    weights = jax.nn.softmax(jnp.einsum("ntd,nsd->nts", query, key) / jnp.sqrt(5.0))
    mixed = jnp.einsum("nts,nsd->ntd", weights, value)
    centred = mixed - mixed.mean(-1, keepdims=True)
    normed = centred / jnp.sqrt(mixed.var(-1, keepdims=True) + 1e-5) * params["scale"] + params["shift"]
    return normed.reshape(x.shape[0], -1) @ params["readout"]


@_as_users_write
def _rescaled(params, x):
    """NTK-style factors, a weight on the left, a jitted body called twice, weight norm and a scan over layers."""
    hidden = jax.nn.relu(x @ (params["first"] * (0.7 / jnp.sqrt(12.0))))
    layer = jax.jit(lambda w, h: jnp.tanh(h @ w))
    hidden = layer(params["twice"], layer(params["twice"], hidden))
    hidden = jax.checkpoint(lambda w, h: (w.T @ h.T).T)(-params["left"] / 3, hidden)
    direction = params["normed"] / jnp.linalg.norm(params["normed"], axis=0)
    hidden = jax.nn.gelu(hidden @ direction * params["gain"])
    hidden, _ = jax.lax.scan(lambda h, w: (jnp.sin(h @ w), None), hidden, params["stack"])
    return hidden @ params["readout"] + params["offset"]


@_as_users_write
def _grouped(params, x):
    """Strided, dilated, grouped and depthwise convolutions with valid padding."""
    numbers = ("NHWC", "HWIO", "NHWC")
    h = jax.lax.conv_general_dilated(
        x, params["dilated"], (1, 1), "VALID", rhs_dilation=(2, 1), dimension_numbers=numbers
    )
    h = jax.nn.relu(h + params["bias"])
    h = jax.lax.conv_general_dilated(
        h, params["depthwise"], (2, 1), "SAME", dimension_numbers=numbers, feature_group_count=4
    )
    h = jax.lax.conv_general_dilated(jnp.tanh(h), params["pointwise"], (1, 1), "SAME", dimension_numbers=numbers)
    return h.mean((1, 2)) @ params["readout"]


@_as_users_write
def _serial(params, x):
    """Layers in a row as in stax: a list of tuples, empty for what has no parameters, with a sum of two branches."""
    convolution, _, dense, _, readout = params
    h = jax.lax.conv_general_dilated(x, convolution[0], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    h = jax.nn.relu(h + convolution[1]).reshape(x.shape[0], -1)
    return (jnp.tanh(h @ dense[0] + dense[1]) + h[:, :4]) @ readout[0] + readout[1]


@_as_users_write
def _tokens(params, tokens):
    """Whole numbers looked up in a table, which is also the readout; places have parameters of their own."""
    h = params["table"][tokens] + params["places"]
    h = jax.nn.gelu(h @ params["mix"]["weight"]) + h
    return h.mean(axis=1) @ params["table"][:3].T + params["bias"]


def in_dtype(tree, dtype):
    """Real numbers in another precision; whole numbers stay what they are."""
    return jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


def handwritten() -> list[Case]:
    keys = iter(jax.random.split(jax.random.key(3), 40))
    attention = {
        "tied": _normal(next(keys), 3, 5),
        "value": _normal(next(keys), 3, 4),
        "scale": _normal(next(keys), 4),
        "shift": _normal(next(keys), 4),
        "readout": _normal(next(keys), 16, 3),
    }
    rescaled = {
        "first": _normal(next(keys), 12, 5),
        "twice": _normal(next(keys), 5, 5),
        "left": _normal(next(keys), 5, 6),
        "normed": _normal(next(keys), 6, 4),
        "gain": _normal(next(keys), 4),
        "stack": _normal(next(keys), 2, 4, 4),
        "readout": _normal(next(keys), 4, 3),
        "offset": _normal(next(keys), 3),
        "unused": _normal(next(keys), 7),
    }
    grouped = {
        "dilated": _normal(next(keys), 2, 3, 2, 4),
        "bias": _normal(next(keys), 4),
        "depthwise": _normal(next(keys), 3, 3, 1, 8),
        "pointwise": _normal(next(keys), 1, 1, 8, 5),
        "readout": _normal(next(keys), 5, 3),
    }
    serial = [
        (_normal(next(keys), 3, 3, 2, 3), _normal(next(keys), 3)),
        (),
        (_normal(next(keys), 27, 4), _normal(next(keys), 4)),
        (),
        (_normal(next(keys), 4, 3), _normal(next(keys), 3)),
    ]
    tokens = {
        "table": _normal(next(keys), 7, 5),
        "places": _normal(next(keys), 6, 5),
        "mix": {"weight": _normal(next(keys), 5, 5)},
        "bias": _normal(next(keys), 3),
    }
    sentences = jax.random.randint(next(keys), (2, 4, 6), 0, 7, "int32")
    return [
        Case("serial", _serial, serial, *_inputs((6, 6, 2), jax.random.key(10))),
        Case("tokens", _tokens, tokens, *sentences),
        Case("attention", _attention, attention, *_inputs((12,), jax.random.key(4))),
        Case("rescaled", _rescaled, rescaled, *_inputs((12,), jax.random.key(5))),
        Case("grouped", _grouped, grouped, *_inputs((6, 6, 2), jax.random.key(6))),
    ]


def frozen_normalisation() -> Case:
    """Flax's batch normalisation in evaluation mode, its statistics kept outside of the parameters."""
    from flax import linen

    class Model(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.Conv(4, (3, 3), feature_group_count=2)(x)
            x = linen.relu(linen.BatchNorm(use_running_average=True)(x))
            return linen.Dense(3)(x.mean((1, 2)))

    model, (x1, x2) = Model(), _inputs((6, 6, 2), jax.random.key(11))
    with jax.numpy_rank_promotion("allow"):
        variables = model.init(jax.random.key(12), x1)
    statistics = {"mean": _normal(jax.random.key(13), 4), "var": 0.5 + _normal(jax.random.key(14), 4) ** 2}

    def f(params, x):
        frozen = in_dtype({"BatchNorm_0": statistics}, x.dtype)
        return model.apply({"params": params, "batch_stats": frozen}, x)

    return Case("batchnorm", _as_users_write(f), in_dtype(variables["params"], "float64"), x1, x2)


def library_models() -> list[Case]:
    """Models written with flax (linen and nnx) and equinox, read as plain functions."""
    import equinox as eqx
    from flax import linen, nnx

    from ntk_explorer.architectures.adapters import from_equinox

    class Linen(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.relu(linen.GroupNorm(2)(linen.Conv(4, (3, 3))(x)))
            return linen.Dense(3)(linen.LayerNorm()(x.reshape(x.shape[0], -1)))

    class Nnx(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(2, 4, (3, 3), rngs=rngs)
            self.norm = nnx.LayerNorm(4, rngs=rngs)
            self.readout = nnx.Linear(4, 3, rngs=rngs)

        def __call__(self, x):
            return self.readout(nnx.gelu(self.norm(self.conv(x))).mean((1, 2)))

    shape = (6, 6, 2)
    x1, x2 = _inputs(shape, jax.random.key(7))
    linen_model = Linen()
    with jax.numpy_rank_promotion("allow"):
        variables = linen_model.init(jax.random.key(8), x1)
    linen_params = jax.tree.map(lambda a: a.astype("float64"), variables)
    graph, state = nnx.split(Nnx(nnx.Rngs(0)))
    nnx_params = jax.tree.map(lambda a: a.astype("float64"), nnx.to_pure_dict(state))

    def nnx_apply(params, x):
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state)(x)

    keys = jax.random.split(jax.random.key(9), 2)
    model = eqx.nn.Sequential(
        [
            eqx.nn.Lambda(jnp.ravel),
            eqx.nn.MLP(72, 3, 5, 2, key=keys[0], dtype="float64"),
        ]
    )
    network, params = from_equinox(model)
    return [
        Case("flax-linen", _as_users_write(linen_model.apply), linen_params, x1, x2),
        Case("flax-nnx", _as_users_write(nnx_apply), nnx_params, x1, x2),
        Case("equinox", _as_users_write(network.apply), params, x1, x2),
    ]


@cache
def all_cases() -> list[Case]:
    # ResNet-18 is the resnet with other defaults; its layers are tried there.
    ours = [registered(name, how) for name in ARCHITECTURES if name != "resnet18" for how in ("standard", "ntk")]
    return ours + handwritten() + [frozen_normalisation()] + library_models()
