"""CK and Em: which activations count, against layers written out and what flax itself records."""

from __future__ import annotations

import re

import cases
import jax
import jax.numpy as jnp
import pytest
from reference import close, jacobians_of

from ntk_explorer import KERNELS, ck, em, entk, estimate, explain
from ntk_explorer.errors import InvalidInput
from ntk_explorer.reading.activations import find_activations
from ntk_explorer.reading.taps import read_network

CASES = {case.name: case for case in cases.all_cases()}
READOUT = re.compile(r"readout/weight|readout|4/0|(params/)?Dense_0/kernel|readout/kernel|.*layers/2/weight")

# Sizes of the module outputs of one example, layer by layer as one reads the networks in cases.py.
MODULES = {
    "mlp": [4, 4, 3],
    "cnn": [144, 144, 3],
    "resnet": [144, 144, 144, 72, 72, 72, 3],
    "attention": [20, 16, 20, 3],  # key, value, query, readout: the layer norm is no module
    "rescaled": [5, 5, 5, 6, 4, 4, 3],  # a layer used twice counts twice, a scan once
    "grouped": [64, 64, 40, 3],
    "serial": [27, 4, 3],
    "tokens": [30, 30, 3],
    "batchnorm": [144, 3],  # the frozen normalisation belongs to the convolution that it follows
    "flax-linen": [144, 3],
    "flax-nnx": [144, 3],
    "equinox": [5, 5, 3],
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_modules_of_every_network(case):
    found = find_activations(read_network(case.f, case.params, case.x1).program.jaxpr)
    name = case.name.removesuffix("-standard").removesuffix("-ntk")
    if name in MODULES:  # a plug-in's network has no line here
        assert [module.variable.aval.size for module in found.modules] == MODULES[name]


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.name != "tokens"], ids=lambda case: case.name)
def test_share_of_the_readout_is_the_conjugate_kernel(case):
    """The readout weight's part of the summed trace is C · CK (identity 4); a tied readout has none of its own."""
    leaves, begin = jax.tree_util.tree_flatten_with_path(case.params)[0], 0
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if READOUT.fullmatch(name):
            break
        begin += leaf.size
    part = jacobians_of(case)[0][:, :, begin : begin + leaf.size]
    kernel = ck(case.f, case.params, case.x1)
    scale = 3 / leaf.size if case.name.endswith("-ntk") else 1.0  # the readout's factor², variance / fan-in
    close(jnp.einsum("ncp,mcp->nm", part, part), 3 * scale * kernel, 1e-12)
    close(jnp.einsum("ncp,mdp->nm", part, part), 3 * scale * kernel, 1e-12)


def test_readout_with_bias_adds_one():
    case = CASES["mlp-standard"]
    rest = {name: value for name, value in case.params.items() if name != "readout"}
    theta = entk(lambda p, x: case.f({**rest, "readout": p}, x), case.params["readout"], case.x1)
    close(jnp.einsum("nmcc->nm", theta), 3 * (ck(case.f, case.params, case.x1) + 1), 1e-12)


def gram_of(*activations):
    return sum(jnp.einsum("nd,md->nm", a.reshape(len(a), -1), a.reshape(len(a), -1)) for a in activations)


@pytest.mark.parametrize("name", ["mlp-standard", "mlp-ntk"])
def test_em_of_an_mlp_sums_what_enters_each_nonlinearity(name):
    case = CASES[name]
    h, outputs = case.x1.reshape(4, -1), []
    for layer in ("dense_0", "dense_1", "readout"):
        weight, bias = case.params[layer]["weight"], case.params[layer]["bias"]
        ntk = name.endswith("ntk")
        variance = 1.0 if layer == "readout" else 2.0
        s, t = (jnp.sqrt(variance / weight.shape[0]), jnp.sqrt(0.3)) if ntk else (1.0, 1.0)
        outputs.append(s * (h @ weight) + jnp.broadcast_to(t * bias, (4, bias.size)))
        h = jax.nn.relu(outputs[-1])
    close(em(case.f, case.params, case.x1), gram_of(*outputs))


def test_em_of_attention():
    case = CASES["attention"]
    p, tokens = case.params, case.x1.reshape(4, 4, 3)
    key, value = tokens @ p["tied"], tokens @ p["value"]
    close(em(case.f, p, case.x1), gram_of(key, key, value, case.f(p, case.x1)))


def test_em_of_flax_modules_is_that_of_what_flax_records():
    from flax import linen

    class Model(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.relu(linen.Conv(4, (3, 3), param_dtype="float64")(x))
            x = linen.Embed(3, 5, param_dtype="float64")(jnp.argmax(x, -1) % 3).sum((1, 2))
            x = linen.BatchNorm(use_running_average=True, param_dtype="float64")(
                linen.Dense(6, param_dtype="float64")(x)
            )
            return linen.Dense(3, param_dtype="float64")(linen.gelu(x))

    model, x = Model(), CASES["cnn-standard"].x1
    with jax.numpy_rank_promotion("allow"):
        variables = model.init(jax.random.key(0), x)
        _, recorded = model.apply(variables, x, capture_intermediates=True)
        recorded = recorded["intermediates"]
        rest = {"batch_stats": variables["batch_stats"]}
        kernel = em(lambda p, x: model.apply({"params": p, **rest}, x), variables["params"], x)
    # The frozen normalisation follows its dense layer, and they are one module; the embedding is summed
    # only after it was looked up.
    names = ["Conv_0", "Embed_0", "BatchNorm_0", "Dense_1"]
    close(kernel, gram_of(*(recorded[name]["__call__"][0] for name in names)), 1e-6)


@pytest.mark.parametrize("name", ["ck", "em"])
def test_batches_precisions_and_symmetry(name):
    kernel, case = KERNELS[name], CASES["cnn-standard"]
    whole = kernel(case.f, case.params, case.x1, case.x2)
    close(kernel(case.f, case.params, case.x1, case.x2, batch_size=3), whole, 1e-12)
    own = kernel(case.f, case.params, case.x1)
    close(own, own.T, 1e-12)
    assert jnp.linalg.eigvalsh(own)[0] >= -1e-10 * jnp.trace(own)
    single = jax.tree.map(lambda a: a.astype("float32"), (case.params, case.x1, case.x2))
    kernel32 = kernel(case.f, *single)
    assert kernel32.dtype == jnp.float32
    close(kernel32.astype("float64"), whole, 2e-4)
    cost = estimate(name, case.f, case.params, case.x1)
    assert cost.bytes >= own.nbytes
    assert cost.flops > 0


def test_what_nobody_uses_does_not_count():
    def f(params, x):
        _ = x @ params["dead"]
        return jnp.tanh(x @ params["alive"])

    params = {"dead": jnp.ones((3, 7)), "alive": jnp.ones((3, 2))}
    x = jnp.ones((2, 3))
    close(em(f, params, x), jnp.full((2, 2), 18.0))
    close(ck(f, params, x), jnp.full((2, 2), 3.0))


def test_a_value_read_twice_ends_its_module():
    """The bias belongs to the layer only where nobody has read the layer's output without it."""

    def f(params, x):
        h = x @ params["weight"]
        return h + params["shift"][None] + jnp.sin(h)

    params = {"weight": jnp.ones((3, 2)), "shift": jnp.ones(2)}
    close(em(f, params, jnp.ones((1, 3))), jnp.full((1, 1), 18.0))


def test_bad_input():
    def entrywise(params, x):
        return x * params[None]

    with pytest.raises(InvalidInput, match="no matrix product joins parameters and data"):
        ck(entrywise, jnp.ones(3), jnp.ones((2, 3)))
    with pytest.raises(InvalidInput, match="x2 holds NaN"):
        em(CASES["mlp-standard"].f, CASES["mlp-standard"].params, jnp.ones((2, 72)), jnp.full((2, 72), jnp.nan))
    with pytest.raises(InvalidInput, match="made of features without gradients"):
        explain(CASES["mlp-standard"].f, CASES["mlp-standard"].params, CASES["mlp-standard"].x1, kernel="ck")
