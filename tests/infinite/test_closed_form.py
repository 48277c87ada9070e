"""Duals against integrals over Gaussians, the recursion against neural-tangents and against networks that are drawn."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from neural_tangents_here import needs_neural_tangents
from scipy.integrate import quad

from ntk_explorer.architectures import build, configure
from ntk_explorer.architectures._layers import ACTIVATIONS
from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.infinite import LIMITS
from ntk_explorer.infinite import limits as limits_module
from ntk_explorer.infinite.duals import DUALS
from ntk_explorer.infinite.limits import infinite_ntk, nngp
from ntk_explorer.infinite.twin import missing_twin, twin, twins_in_words
from ntk_explorer.kernels.empirical import entk, trntk

VARIANCES = {"weight_variance": 1.7, "readout_variance": 0.6}
BIASES = {"none": {}, "drawn": {"bias": True, "bias_variance": 0.3}, "zero": {"bias": True}}


def vectors(n=4, p=6):
    """Some inputs, with one repeated and one of opposite sign, where cosines are ±1."""
    x = np.random.default_rng(0).normal(size=(n, p))
    return x, np.concatenate([x[:2], -x[1:2], 0.3 * x[:1]])


def images():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 4, 5, 2))
    x[2, :3] = 0.0
    return x, np.concatenate([-x[:1], rng.normal(size=(1, 4, 5, 2))])


@pytest.mark.parametrize("name", DUALS)
def test_duals_are_the_gaussian_expectations(name):
    """By Gauss-Hermite quadrature in u and, given u, in v; kinks make it converge slowly."""
    phi, slope = ACTIVATIONS[name], jax.vmap(jax.grad(ACTIVATIONS[name]))
    nodes, weights = np.polynomial.hermite_e.hermegauss(180)
    weights = weights / weights.sum()
    for k1, k2, correlation in ((1.0, 1.0, 0.4), (0.5, 2.0, -0.7), (3.0, 0.2, 0.0)):
        u = math.sqrt(k1) * nodes[:, None]
        v = math.sqrt(k2) * (correlation * nodes[:, None] + math.sqrt(1 - correlation**2) * nodes[None, :])
        both = weights[:, None] * weights[None, :]
        found = DUALS[name](np.array(correlation * math.sqrt(k1 * k2)), np.array(k1), np.array(k2))
        for function, value in zip((phi, lambda x: slope(x.ravel()).reshape(x.shape)), found, strict=True):
            expected = (both * np.asarray(function(jnp.asarray(u)) * function(jnp.asarray(v)))).sum()
            smooth = name in ("erf", "gelu", "identity")
            assert value == pytest.approx(expected, abs=1e-7 if smooth else 0.02)


@pytest.mark.parametrize("name", DUALS)
def test_second_dual_is_the_derivative_of_the_first(name):
    """Price (1958)."""
    rng = np.random.default_rng(2)
    k1, k2 = rng.uniform(0.2, 3.0, (2, 50))
    k = rng.uniform(-0.95, 0.95, 50) * np.sqrt(k1 * k2)
    step = 1e-6
    slope = (DUALS[name](k + step, k1, k2)[0] - DUALS[name](k - step, k1, k2)[0]) / (2 * step)
    np.testing.assert_allclose(DUALS[name](k, k1, k2)[1], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", DUALS)
def test_dual_of_a_number_with_itself_is_exact(name):
    """At the angle 0, where a rounded cosine would cost half the digits."""
    k = np.array([0.37, 1.0, 2.9, 0.0])
    scaled = DUALS[name](k * (1 - 1e-16), k, k)[1]
    slope = jax.jit(jax.grad(ACTIVATIONS[name]))
    for value, variance in zip(scaled[:3], k[:3], strict=True):

        def square(u, variance=variance):
            return float(slope(u)) ** 2 * math.exp(-(u**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)

        expected = sum(quad(square, *ends, epsabs=1e-12)[0] for ends in ((-math.inf, 0), (0, math.inf)))
        assert value == pytest.approx(expected, abs=1e-10)
    assert np.isfinite(scaled).all()


@needs_neural_tangents
@pytest.mark.parametrize(
    ("parameterization", "bias"),
    [("standard", "none"), ("standard", "drawn"), ("standard", "zero"), ("ntk", "none"), ("ntk", "drawn")],
)
@pytest.mark.parametrize("activation", DUALS)
def test_fully_connected_limits_are_those_of_neural_tangents(activation, parameterization, bias):
    options = {"activation": activation, "parameterization": parameterization} | BIASES[bias] | VARIANCES
    config = configure("mlp", inputs=(6,), outputs=3, width=50, depth=4, **options)
    agree(config, *vectors())


@needs_neural_tangents
@pytest.mark.parametrize("parameterization", ["standard", "ntk"])
def test_images_in_fully_connected_networks_have_the_limits_of_neural_tangents(parameterization):
    x1, x2 = images()
    agree(configure("mlp", inputs=x1.shape[1:], depth=3, parameterization=parameterization, **VARIANCES), x1, x2)


@needs_neural_tangents
@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("pooling", ["gap", "flatten"])
@pytest.mark.parametrize(
    ("activation", "parameterization", "bias"), [("relu", "standard", "drawn"), ("gelu", "ntk", "none")]
)
def test_convolutional_limits_are_those_of_neural_tangents(activation, parameterization, bias, pooling, kernel_size):
    options = {"activation": activation, "parameterization": parameterization} | BIASES[bias] | VARIANCES
    options |= {"pooling": pooling, "kernel_size": kernel_size}
    agree(configure("cnn", inputs=(4, 5, 2), outputs=3, width=50, depth=2, **options), *images())


def agree(config, x1, x2):
    for limit in (infinite_ntk, nngp):
        expected = limit(config, x1, x2, method="neural_tangents")
        # neural-tangents keeps roots away from 0 by 1e-15, which costs it half the digits at the angle 0.
        np.testing.assert_allclose(limit(config, x1, x2), expected, rtol=1e-6, atol=1e-7 * abs(expected).max())


@pytest.mark.parametrize("limit", [infinite_ntk, nngp])
@pytest.mark.parametrize("method", ["closed_form", pytest.param("neural_tangents", marks=needs_neural_tangents)])
def test_tiles_never_change_the_result(limit, method, monkeypatch):
    x, _ = images()
    x = np.concatenate([x, x + 0.1])
    config = configure("cnn", inputs=x.shape[1:], depth=1, bias=True, bias_variance=0.1)
    whole = limit(config, x, x, method=method)
    np.testing.assert_allclose(whole, whole.T, rtol=1e-10)
    monkeypatch.setitem(limits_module.TILES, method, 2**11)  # five tiles of two images or one
    np.testing.assert_allclose(limit(config, x, method=method), whole, rtol=1e-10)
    np.testing.assert_allclose(limit(config, x[:3], x[2:], method=method), whole[:3, 2:], rtol=1e-10)


def test_images_are_flattened_for_a_fully_connected_network():
    x, _ = images()
    flat, image = configure("mlp", inputs=(40,)), configure("mlp", inputs=(4, 5, 2))
    for config in (flat, image):
        for examples in (x, x.reshape(3, -1)):
            np.testing.assert_array_equal(infinite_ntk(config, examples), infinite_ntk(flat, x))


def test_width_matters_in_the_standard_parameterisation_only():
    x, _ = vectors()
    standard, ntk = configure("mlp", inputs=(6,)), configure("mlp", inputs=(6,), parameterization="ntk")
    at = [infinite_ntk(standard.replace(width=w), x) for w in (10, 20, 30)]
    np.testing.assert_allclose(at[2] - at[1], at[1] - at[0], rtol=1e-10)
    assert (np.diag(at[1]) > np.diag(at[0])).all()
    np.testing.assert_array_equal(infinite_ntk(ntk.replace(width=10), x), infinite_ntk(ntk.replace(width=99), x))
    np.testing.assert_array_equal(nngp(standard, x), nngp(ntk, x))


def drawn(config, x, seeds):
    """eNTK blocks [seed, n, n, c, c] and outputs [seed, n, c] of networks drawn from a configuration."""
    network = build(config)

    def one(key):
        params = network.init(key)
        return entk(network.apply, params, x), network.apply(params, x)

    keys = jax.random.split(jax.random.key(5), seeds)
    return (np.asarray(a) for a in jax.lax.map(jax.jit(one), keys))


def assert_mean(samples, expected, *, bias=0.0):
    """Samples [seed, ...] have a mean within five standard errors, and ``bias`` of the scale, of the expected one."""
    error = samples.std(axis=0, ddof=1) / math.sqrt(len(samples))
    assert (abs(samples.mean(axis=0) - expected) <= 5 * error + bias * abs(expected).max()).all()


CASES = {
    "relu, standard": ("mlp", {"activation": "relu", "bias": True, "bias_variance": 0.2}),
    "erf, ntk": ("mlp", {"activation": "erf", "parameterization": "ntk"}),
    "gelu, standard": ("mlp", {"activation": "gelu"}),
    "pooled": ("cnn", {"depth": 2, "bias": True, "bias_variance": 0.2}),
    "flattened": ("cnn", {"depth": 2, "pooling": "flatten", "parameterization": "ntk"}),
}


def monte_carlo(architecture, options, *, width, seeds):
    x = jnp.asarray((vectors()[0] if architecture == "mlp" else images()[0])[:3])
    config = configure(architecture, inputs=x.shape[1:], outputs=2, width=width, **options)
    blocks, outputs = drawn(config, x, seeds)
    limit, covariance = infinite_ntk(config, x), nngp(config, x)
    # The expectation differs from the limit by a share of the order of 1 / width.
    bias = 4 / width
    assert_mean(outputs[:, :, None, 0] * outputs[:, None, :, 0], covariance, bias=bias)
    assert_mean(outputs[:, :, None, 0] * outputs[:, None, :, 1], np.zeros_like(covariance))
    assert_mean(blocks[..., 0, 0], limit, bias=bias)
    assert_mean(blocks[..., 0, 1], np.zeros_like(limit))
    return math.sqrt(((blocks[..., 0, 0] - limit) ** 2).mean() / (limit**2).mean())


@pytest.mark.parametrize("name", CASES)
def test_drawn_networks_have_the_limits_as_their_means(name):
    monte_carlo(*CASES[name], width=64, seeds=60)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_wide_networks_have_the_limits_as_their_means_and_spread_as_one_over_root_width(name):
    narrow, wide = (monte_carlo(*CASES[name], width=width, seeds=250) for width in (32, 512))
    assert math.log(wide / narrow) / math.log(16) == pytest.approx(-0.5, abs=0.12)


@needs_neural_tangents
@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_default_of_neural_tangents_is_our_trace_kernel_over_the_outputs(architecture):
    from ntk_explorer.infinite._neural_tangents import neural_tangents

    x = jnp.asarray(vectors()[0] if architecture == "mlp" else images()[0])
    init, apply, _ = twin(configure(architecture, inputs=x.shape[1:], outputs=3, width=7, bias=True))
    params = init(jax.random.key(0), x.shape)[1]
    expected = neural_tangents().empirical_ntk_fn(apply)(x, None, params)
    np.testing.assert_allclose(trntk(apply, params, x), expected, rtol=1e-10)


@needs_neural_tangents
def test_twin_computes_what_our_network_computes():
    """Up to the names and the order of its parameters, which tangents of equal draws would show."""
    x, _ = images()
    for architecture, shape in (("mlp", (40,)), ("cnn", x.shape[1:])):
        config = configure(architecture, inputs=shape, outputs=3, width=7, parameterization="ntk", bias=True,
                           bias_variance=0.2)  # fmt: skip
        init, apply, _ = twin(config)
        theirs = init(jax.random.key(0), (1, *shape))[1]
        network = build(config)
        ours = network.init(jax.random.key(0))
        layers = iter([layer for layer in theirs if layer])
        filled = {}
        for name, layer in ours.items():
            weight, bias = next(layers)
            filled[name] = {"weight": weight, "bias": jnp.ravel(bias)}
            assert jnp.shape(weight) == layer["weight"].shape
        batch = jnp.asarray(x.reshape(-1, *shape))
        with jax.numpy_rank_promotion("allow"):
            np.testing.assert_allclose(network.apply(filled, batch), apply(theirs, batch), rtol=1e-10)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (configure("mlp", activation="tanh"), "tanh has no closed form"),
        (configure("cnn", activation="softplus"), "softplus has no closed form"),
        (configure("resnet"), "a ResNet of this layout has no closed form"),
        (configure("resnet18"), "a ResNet of this layout has no closed form"),
        ("mlp", "str is no configuration"),
    ],
)
def test_without_a_twin_the_reason_is_given(config, reason):
    assert reason in missing_twin(config)
    with pytest.raises(InvalidInput, match=reason[2:]) as caught:
        infinite_ntk(config, np.ones((2, 64)))
    assert twins_in_words() in str(caught.value)


@pytest.mark.parametrize("activation", DUALS)
def test_what_has_a_twin_is_said_and_has_none_missing(activation):
    assert activation in twins_in_words()
    assert missing_twin(configure("mlp", activation=activation)) is None
    assert missing_twin(configure("cnn", activation=activation)) is None


@pytest.mark.parametrize(
    ("x1", "x2", "message"),
    [
        (np.ones((2, 5)), None, r"shape \(2, 5\) do not fit"),
        (np.ones((2, 6)), np.ones((2, 7)), r"shape \(2, 7\) do not fit"),
        (np.ones(6), None, r"shape \(6,\)"),
        (np.ones((0, 6)), None, r"shape \(0, 6\)"),
        ([["a"]], None, "are not numbers"),
        (np.full((2, 6), np.nan), None, "NaN or infinite"),
        (np.ones((2, 6)), np.full((2, 6), np.inf), "NaN or infinite"),
    ],
)
def test_wrong_examples_are_refused(x1, x2, message):
    with pytest.raises(InvalidInput, match=message):
        nngp(configure("mlp", inputs=(6,)), x1, x2)


def test_unknown_method_is_refused():
    with pytest.raises(UnknownName, match="Did you mean 'closed_form'"):
        infinite_ntk(configure("mlp", inputs=(6,)), np.ones((2, 6)), method="closed_from")


def test_without_neural_tangents_the_closed_form_goes_on(monkeypatch):
    def missing(_):
        from importlib.metadata import PackageNotFoundError

        raise PackageNotFoundError

    monkeypatch.setattr("ntk_explorer.infinite.installed.version", missing)
    x, config = vectors()[0], configure("mlp", inputs=(6,))
    with pytest.raises(InvalidInput, match="neural-tangents is not installed") as caught:
        infinite_ntk(config, x, method="neural_tangents")
    assert "pip install --no-deps neural-tangents==0.6.5 frozendict" in str(caught.value)
    assert np.isfinite(infinite_ntk(config, x)).all()


def test_limits_have_cards():
    assert list(LIMITS) == ["infinite_ntk", "nngp"]
    for entry in LIMITS.values():
        assert entry.equation
        assert entry.reference
        assert "O(" in entry.cost
