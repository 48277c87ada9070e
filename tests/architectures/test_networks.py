"""Every architecture: variances of the draw, both parameterisations, independent examples, honest shapes."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.special

from ntk_explorer.architectures import ARCHITECTURES, build
from ntk_explorer.architectures._layers import ACTIVATIONS
from ntk_explorer.errors import InvalidInput

IMAGES = np.random.default_rng(0).normal(size=(4, 6, 6, 2))
BIASED = {"bias": True, "bias_variance": 0.3}
CASES = {
    "mlp": ("mlp", {}),
    "mlp-biased": ("mlp", {"depth": 4, "activation": "gelu", **BIASED}),
    "cnn": ("cnn", {}),
    "cnn-flat": ("cnn", {"pooling": "flatten", "kernel_size": 4, "activation": "tanh", **BIASED}),
    "resnet": ("resnet", {"blocks": (1, 1)}),
    "resnet-group": ("resnet", {"normalization": "group", "blocks": (1,), "width": 32, **BIASED}),
    "resnet-plain": ("resnet", {"normalization": "none", "blocks": (2,)}),
    "resnet18": ("resnet18", {"blocks": (1, 1)}),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def make(case, **options):
    name, own = case
    return build(name, **{"inputs": (6, 6, 2), "outputs": 3, "width": 8} | own | options)


def leaves(params):
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


@functools.lru_cache
def compiled(network):
    return jax.jit(network.apply)


def outputs(network, seeds, x=IMAGES):
    """Outputs [seeds, n, c] of freshly drawn networks."""
    return np.stack([compiled(network)(network.init(key), x) for key in jax.random.split(jax.random.key(1), seeds)])


def started(network, seed=0):
    return network.init(jax.random.key(seed))


def test_all_registered_architectures_are_tried_here():
    assert {name for name, _ in CASES.values()} == set(ARCHITECTURES)


def test_draws_have_the_configured_variance(case):
    network = make(case, weight_variance=1.7, readout_variance=0.6)
    drawn = leaves(jax.vmap(network.init)(jax.random.split(jax.random.key(0), 60)))
    assert any("readout" in name for name in drawn)
    for name, values in drawn.items():
        fan_in = math.prod(values.shape[1:-1])
        if "scale" in name:
            np.testing.assert_array_equal(values, 1)
            continue
        expected = 0.3 if "bias" in name else (0.6 if "readout" in name else 1.7) / fan_in
        assert abs(values.var() / expected - 1) < 5 * math.sqrt(2 / values.size), name
        assert abs(values.mean()) < 5 * math.sqrt(expected / values.size), name


def test_ntk_draws_are_standard_normal():
    network = make(CASES["mlp-biased"], parameterization="ntk", weight_variance=1.7)
    for name, values in leaves(jax.vmap(network.init)(jax.random.split(jax.random.key(0), 60))).items():
        assert abs(values.var() - 1) < 5 * math.sqrt(2 / values.size), name


def test_layers_and_keys_are_drawn_independently(case):
    network = make(case)
    drawn = [item for seed in (0, 1) for item in leaves(started(network, seed)).items()]
    values = np.concatenate([np.ravel(value) for name, value in drawn if "scale" not in name])
    assert len(np.unique(values)) == len(values)


def test_both_parameterisations_are_the_same_function_at_the_start(case):
    """The same key draws the same normals: only the place of their deviation differs."""
    standard, ntk = (make(case, parameterization=p) for p in ("standard", "ntk"))
    first, second = started(standard, 3), started(ntk, 3)
    np.testing.assert_allclose(compiled(standard)(first, IMAGES), compiled(ntk)(second, IMAGES), rtol=1e-10, atol=1e-12)
    assert not np.allclose(first["readout"]["weight"], second["readout"]["weight"])


@pytest.mark.parametrize(("depth", "readout_variance"), [(2, 3.0), (5, 1.0)])
def test_relu_mlp_outputs_have_the_variance_that_theory_gives(depth, readout_variance):
    """With hidden variance 2, ReLU layers keep the mean square: Var f(x) = readout_variance ‖x‖²/p."""
    network = build("mlp", inputs=(36,), outputs=3, width=64, depth=depth, readout_variance=readout_variance)
    x = IMAGES[:2, ..., 0].reshape(2, 36)
    values = outputs(network, 1000, x)
    expected = readout_variance * np.mean(x**2, axis=1)
    np.testing.assert_allclose(np.mean(values**2, axis=(0, 2)), expected, rtol=0.12)
    np.testing.assert_allclose(values.mean(axis=(0, 2)), 0, atol=0.2)


def test_output_scale_does_not_depend_on_the_width(case):
    narrow, wide = (np.sqrt(np.mean(outputs(make(case, width=width), 50) ** 2)) for width in (8, 32))
    assert 0.7 < narrow / wide < 1.4
    assert 0.05 < wide < 10


def test_examples_are_independent(case):
    network = make(case)
    params = started(network)
    apply = compiled(network)
    together = apply(params, IMAGES)
    assert together.shape == (4, 3)
    for i in range(len(IMAGES)):
        np.testing.assert_allclose(apply(params, IMAGES[i : i + 1])[0], together[i], rtol=1e-10, atol=1e-12)


def test_every_parameter_moves_the_output(case):
    network = make(case, parameterization="ntk")
    params = started(network)
    gradient = jax.jit(jax.grad(lambda params: network.apply(params, IMAGES)[:, 0].sum()))(params)
    for name, value in leaves(gradient).items():
        assert np.abs(value).max() > 1e-6, name


@pytest.mark.parametrize(("x64", "dtype"), [(True, "float64"), (False, "float32")])
def test_parameters_have_the_default_float_type_and_decide_that_of_the_output(case, x64, dtype):
    with jax.enable_x64(x64):
        network = make(case)
        params = jax.eval_shape(network.init, jax.random.key(0))
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
        for x in (IMAGES, IMAGES.astype("float32"), (IMAGES > 0).astype("uint8")):
            assert jax.eval_shape(network.apply, params, x).dtype == dtype


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_their_formulas(name):
    x = np.linspace(-4, 4, 33)
    expected = {
        "relu": np.maximum(x, 0),
        "gelu": x * (1 + scipy.special.erf(x / np.sqrt(2))) / 2,
        "erf": scipy.special.erf(x),
        "tanh": np.tanh(x),
        "sigmoid": scipy.special.expit(x),
        "silu": x * scipy.special.expit(x),
        "softplus": np.log1p(np.exp(x)),
        "leaky_relu": np.where(x < 0, 0.01 * x, x),
        "identity": x,
    }[name]
    np.testing.assert_allclose(ACTIVATIONS[name](jnp.asarray(x)), expected, rtol=1e-12, atol=1e-14)
    network = build("mlp", inputs=(4,), outputs=2, width=3, activation=name)
    params = started(network)
    h = np.ones((1, 4)) @ params["dense_0"]["weight"]
    h = ACTIVATIONS[name](ACTIVATIONS[name](h) @ params["dense_1"]["weight"])
    np.testing.assert_allclose(network.apply(params, np.ones((1, 4))), h @ params["readout"]["weight"])


def test_an_mlp_takes_images_flat_or_in_shape():
    network = build("mlp", inputs=(6, 6, 2), outputs=3, width=8)
    params = started(network)
    np.testing.assert_array_equal(network.apply(params, IMAGES), network.apply(params, IMAGES.reshape(4, 72)))


def test_a_convolution_is_scipys_correlation():
    network = build("cnn", inputs=(6, 6, 2), outputs=3, width=4, depth=1, activation="identity")
    params = started(network)
    weight = np.asarray(params["conv_0"]["weight"])
    maps = [
        sum(scipy.signal.correlate2d(IMAGES[0, ..., c], weight[..., c, o], "same") for c in range(2)) for o in range(4)
    ]
    expected = np.mean(maps, axis=(1, 2)) @ params["readout"]["weight"]
    np.testing.assert_allclose(network.apply(params, IMAGES[:1])[0], expected, rtol=1e-10)


@pytest.mark.parametrize("normalization", ["layer", "group"])
def test_a_resnet_is_the_same_one_built_from_flax_layers(normalization):
    network = build("resnet", inputs=(6, 6, 2), outputs=3, width=32, blocks=(1, 2), normalization=normalization)
    # Scales other than 1, so that a misplaced one shows.
    params = jax.tree.map(lambda leaf: 1.3 * leaf, started(network))

    def conv(p, x, stride=1):
        weight = p["weight"]
        layer = nn.Conv(weight.shape[-1], weight.shape[:2], stride, use_bias=False)
        return layer.apply({"params": {"kernel": weight}}, x)

    def norm(p, x):
        groups = 1 if normalization == "layer" else x.shape[-1] // 16
        layer = nn.GroupNorm(groups, use_bias=False)
        return layer.apply({"params": {"scale": p["affine"]["scale"]}}, x)

    def block(p, x, stride):
        b = p["branch"]
        y = nn.relu(norm(b["norm_0"], conv(b["conv_0"], x, stride)))
        y = norm(b["norm_1"], conv(b["conv_1"], y))
        if "shortcut" in p:
            x = norm(p["shortcut"]["norm"], conv(p["shortcut"]["projection"], x, stride))
        return nn.relu(x + y)

    def reference(params, x):
        x = nn.relu(norm(params["stem_norm"], conv(params["stem"], x)))
        x = block(params["stage_0_block_0"], x, 1)
        x = block(params["stage_1_block_0"], x, 2)
        x = block(params["stage_1_block_1"], x, 1)
        assert x.shape == (4, 3, 3, 64)
        return x.mean(axis=(1, 2)) @ params["readout"]["weight"]

    expected = jax.jit(reference)(params, IMAGES)
    np.testing.assert_allclose(compiled(network)(params, IMAGES), expected, rtol=1e-9, atol=1e-10)


def test_the_layout_of_resnet_18_has_its_number_of_parameters():
    """11 173 962 for ten classes and a 3×3 stem (He et al. 2016), without the readout's bias and the 4800 shifts."""
    network = build("resnet18")
    assert (network.config.inputs, network.config.outputs) == ((32, 32, 3), 10)
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == 11_173_962 - 10 - 4800


@pytest.mark.parametrize("size", [1, 5])
def test_a_resnet_takes_images_smaller_than_its_strides(size):
    network = build("resnet", inputs=(size, size, 1), outputs=3, width=2, blocks=(1, 1, 1))
    values = compiled(network)(started(network), IMAGES[:, :size, :size, :1])
    assert np.isfinite(values).all()
    assert np.ptp(values[:, 0]) > 0


def test_examples_of_another_shape_are_refused(case):
    network = make(case)
    params = started(network)
    with pytest.raises(InvalidInput, match=r"Examples of shape \(6, 6\) do not fit .* inputs=\(6, 6, 2\)"):
        network.apply(params, IMAGES[..., 0])
    with pytest.raises(InvalidInput, match="do not fit"):
        compiled(network)(params, IMAGES[0])
