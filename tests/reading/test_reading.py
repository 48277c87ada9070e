"""Which road each parameter takes, and what the cost model says of it."""

from __future__ import annotations

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_explorer import build, entk, estimate, explain, pntk
from ntk_explorer.reading import contract
from ntk_explorer.reading.tangent import read_tile

CASES = {case.name: case for case in cases.all_cases()}


def road_of(case, **options):
    return {row.parameter: row for row in explain(case.f, case.params, case.x1, **options)}


def test_scaled_transposed_and_rematerialised_weights_are_sites():
    rows = road_of(CASES["rescaled"])
    assert rows["first"].road == rows["left"].road == rows["readout"].road == "factored"
    # Used twice, normalised by itself, or inside a scan: no single product to factor at.
    assert all(rows[name].positions == 0 for name in ("twice", "normed", "gain", "stack", "offset"))
    assert "unused" not in rows


def test_grouped_convolutions_and_tied_weights_are_materialised_others_sited():
    rows = road_of(CASES["grouped"])
    assert rows["depthwise"].positions == 0
    assert rows["dilated"].positions == 16
    assert (rows["pointwise"].fan_in, rows["pointwise"].fan_out) == (8, 5)
    rows = road_of(CASES["attention"])
    assert rows["tied"].positions == 0
    assert (rows["value"].positions, rows["value"].fan_in, rows["value"].fan_out) == (4, 3, 4)


def test_look_ups_and_frozen_normalisation_are_materialised_and_lists_of_layers_named_by_number():
    rows = road_of(CASES["tokens"])
    assert {name for name, row in rows.items() if row.positions == 0} == {"table", "places", "bias"}
    assert rows["mix/weight"].positions == 6
    rows = road_of(CASES["batchnorm"])
    grouped = ("BatchNorm_0/scale", "BatchNorm_0/bias", "Conv_0/bias", "Conv_0/kernel", "Dense_0/bias")
    assert all(rows[name].positions == 0 for name in grouped)
    assert rows["Dense_0/kernel"].road == "factored"
    rows = road_of(CASES["serial"])
    assert (rows["0/0"].positions, rows["2/0"].road, rows["4/0"].road) == (9, "factored", "factored")


def test_dense_layers_are_factored_and_wide_convolutions_materialised():
    network = build("cnn", inputs=(8, 8, 1), width=4, outputs=3)
    params = network.init(jax.random.key(0))
    rows = {r.parameter: r for r in explain(network.apply, params, jnp.ones((20, 8, 8, 1)))}
    convolutions = [r for r in rows.values() if len(r.shape) == 4]
    assert convolutions
    assert all(r.road == "materialised" and r.positions == 64 for r in convolutions)
    assert rows["readout/weight"].road == "factored"


@pytest.mark.parametrize("name", ["mlp-standard", "cnn-ntk", "grouped", "attention", "rescaled"])
def test_both_roads_give_the_same_kernel(name, monkeypatch):
    """The choice is a matter of cost only: forced the other way, nothing changes but rounding."""
    from ntk_explorer.reading import roads

    case = CASES[name]

    def factors(p, x):  # another function, so that nothing compiled before is found
        return case.f(p, x)

    def gradients(p, x):
        return case.f(p, x)

    monkeypatch.setattr(roads, "factored_is_cheaper", lambda *_, **__: True)
    one = entk(factors, case.params, case.x1, case.x2)
    monkeypatch.setattr(roads, "factored_is_cheaper", lambda *_, **__: False)
    other = entk(gradients, case.params, case.x1, case.x2)
    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10 * float(jnp.abs(one).max()))


@pytest.mark.parametrize("paired", [False, True])
def test_large_kernels_in_blocks_are_the_same(paired, monkeypatch):
    """Blocks below the diagonal are mirror images; seven examples make uneven ones."""
    case = CASES["cnn-standard"]
    held, other = (
        read_tile(case.f, case.params, x, directions=np.eye, paired=paired, size=7)
        for x in (jnp.concatenate([case.x1, case.x2[:3]]), case.x2)
    )
    whole = [contract.contract(held, right, paired=paired) for right in (None, other)]
    assert contract.splits(held, None, paired=paired) == 1
    monkeypatch.setattr(contract, "SPLIT_ABOVE", 0)
    assert contract.splits(held, None, paired=paired) == contract.SPLITS > 1
    for right, expected in zip((None, other), whole, strict=True):
        found = contract.contract(held, right, paired=paired)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * float(abs(expected).max()))


def test_relu_keeps_its_derivative_at_zero():
    """jax.nn.relu has derivative 0 at 0 by its own rule; the bare maximum would say 1/2."""

    def f(params, x):
        return jax.nn.relu(x @ params["w"]) @ params["r"]

    params = {"w": jnp.ones((2, 3)), "r": jnp.ones((3, 2))}
    assert pntk(f, params, jnp.zeros((1, 2)))[0, 0] == 0.0
    assert pntk(f, params, jnp.array([[1.0, -1.0]]))[0, 0] == 0.0


def test_closed_over_arrays_and_constants():
    offset = jnp.arange(6.0).reshape(2, 3)

    def f(params, x):
        return (x @ offset) * 2 @ params

    x = jnp.ones((3, 2))
    expected = (x @ offset * 2) @ (x @ offset * 2).T
    np.testing.assert_allclose(entk(f, jnp.ones((3, 2)), x)[..., 0, 0], expected, rtol=1e-12)


def test_outputs_that_ignore_the_data():
    def f(params, x):
        return jnp.broadcast_to(params["bias"], (x.shape[0], 2)) + 0 * x[:, :1]

    np.testing.assert_allclose(pntk(f, {"bias": jnp.ones(2)}, jnp.ones((3, 2))), np.ones((3, 3)), rtol=1e-12)

    def constant(params, x):
        return jnp.broadcast_to(params["bias"], (x.shape[0], 2))

    np.testing.assert_allclose(pntk(constant, {"bias": jnp.ones(2)}, jnp.ones((3, 2))), np.ones((3, 3)), rtol=1e-12)


def test_a_function_of_no_parameters_has_a_zero_kernel():
    kernel = entk(lambda p, x: x, {"unused": jnp.ones(2)}, jnp.ones((3, 2)))
    assert kernel.shape == (3, 3, 2, 2)
    np.testing.assert_array_equal(kernel, np.zeros((3, 3, 2, 2)))


def test_estimate_follows_the_formula_of_a_linear_network():
    """One dense layer: half of 2n²(p + c²(o + 1)) operations to contract (symmetry), and a result of n²c² numbers."""

    def linear(p, x):
        return x @ p

    n, d, c = 40, 6, 3
    cost = estimate("entk", linear, jnp.ones((d, c)), jnp.ones((n, d)))
    contraction = n * n * (d + c * c * (c + 1))
    reading = n * 2 * d * c * (1 + c)
    assert cost.flops == contraction + reading
    assert cost.bytes >= n * n * c * c * 8


@pytest.mark.parametrize("name", ["mlp-standard", "cnn-standard"])
def test_estimated_memory_covers_what_xla_allocates(name):
    """Temporary and output bytes of the compiled contraction stay below the estimate."""
    case = CASES[name]
    x = jnp.tile(case.x1, (20, *[1] * (case.x1.ndim - 1)))
    compiled = jax.jit(lambda p, x: entk(case.f, p, x)).lower(case.params, x).compile()
    used = compiled.memory_analysis()
    actual = used.temp_size_in_bytes + used.output_size_in_bytes
    estimated = estimate("entk", case.f, case.params, x).bytes
    assert 0.3 * estimated <= actual <= 1.5 * estimated


def test_kernels_of_convolutions_are_differentiable_in_both_modes():
    """Cotangents of convolutions take a way of their own, which must be there for tangents too."""
    case = CASES["cnn-standard"]

    def total(scale):
        return pntk(case.f, jax.tree.map(lambda leaf: scale * leaf, case.params), case.x1).sum()

    forward, backward = jax.jvp(total, (1.0,), (1.0,))[1], jax.grad(total)(1.0)
    np.testing.assert_allclose(forward, backward, rtol=1e-10)
    np.testing.assert_allclose(backward, (total(1 + 1e-5) - total(1 - 1e-5)) / 2e-5, rtol=1e-6)
