"""Cosine, centring, projections and sums over checkpoints: identities, exact references and the variance law."""

from __future__ import annotations

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import close, jacobians_of

from ntk_explorer import (
    TRANSFORMS,
    centred,
    ck,
    cosine,
    em,
    entk,
    gram,
    loss_gradient,
    margin,
    over_checkpoints,
    plan_sweep,
    pntk,
    projected,
    single_logit,
    trntk,
)
from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.reading.projection import read_projected

CASE = cases.registered("mlp")
KEY = jax.random.key(5)
Y1, Y2 = np.array([0, 2, 1, 1]), np.array([2, 0, 0, 1])
DRAWN = [case for case in cases.all_cases() if case.name in ("mlp-standard", "attention")]


def matrix(n=6, rank=4, seed=0):
    g = np.random.default_rng(seed).normal(size=(n, rank))
    return g @ g.T


@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
def test_cosine_of_a_matrix(as_array):
    """Identity 7: unit diagonal, entries within [−1, 1], positive semidefinite, one for a point that comes twice."""
    found = cosine(as_array(matrix()))
    assert isinstance(found, type(as_array(0.0) if as_array is jnp.asarray else np.zeros(0)))
    np.testing.assert_allclose(np.diagonal(found), 1, rtol=1e-15)
    assert (abs(found) <= 1 + 1e-15).all()
    assert np.linalg.eigvalsh(found)[0] >= -1e-14
    scales = np.array([1.0, 2, 3, 0.1, 5, 6])
    np.testing.assert_allclose(cosine(as_array(matrix() * np.outer(scales, scales))), found, rtol=1e-12)
    twice = matrix()[[0, 0, 1]][:, [0, 0, 1]]
    assert cosine(as_array(twice))[0, 1] == pytest.approx(1, abs=1e-15)


def test_parts_of_matrices_are_those_of_the_whole():
    whole = matrix()
    test, train = whole[:2, 2:], whole[2:, 2:]
    part = cosine(test, whole.diagonal()[:2], whole.diagonal()[2:])
    np.testing.assert_allclose(part, cosine(whole)[:2, 2:], rtol=1e-14)
    g = np.random.default_rng(0).normal(size=(6, 4))
    g = g - g[2:].mean(axis=0)
    np.testing.assert_allclose(centred(test, train), g[:2] @ g[2:].T, atol=1e-13)
    np.testing.assert_allclose(centred(train), g[2:] @ g[2:].T, atol=1e-13)


@pytest.mark.parametrize("kernel", [pntk, margin, em, projected(trntk, 3, KEY)], ids=["pntk", "margin", "em", "drawn"])
def test_kernels_between_two_sets_are_parts_of_the_whole(kernel):
    """Both diagonals, and the columns' own kernel, are computed; labels go with their examples."""
    labelled = kernel is margin
    both = jnp.concatenate([CASE.x1, CASE.x2])
    whole = kernel(CASE.f, CASE.params, both, **({"y1": np.concatenate([Y1, Y2])} if labelled else {}))
    labels = {"y1": Y1, "y2": Y2} if labelled else {}
    close(cosine(kernel)(CASE.f, CASE.params, CASE.x1, CASE.x2, **labels), cosine(whole)[:4, 4:], 1e-12)
    found = centred(kernel)(CASE.f, CASE.params, CASE.x1, CASE.x2, **labels)
    close(found, centred(whole[:4, 4:], whole[4:, 4:]), 1e-10)


def test_cosine_of_kernels():
    """The square root covers the whole sum over outputs; it does not see scale, nor batches of any size."""
    j = jacobians_of(CASE)[0].reshape(4, -1)
    lengths = jnp.linalg.norm(j, axis=1)
    found = cosine(trntk)(CASE.f, CASE.params, CASE.x1)
    close(found, j @ j.T / lengths[:, None] / lengths[None, :], 1e-12)
    close(cosine(trntk)(lambda p, x: -3 * CASE.f(p, x), CASE.params, CASE.x1), found, 1e-12)
    assert float(jnp.trace(found)) == pytest.approx(4)
    across = cosine(pntk)(CASE.f, CASE.params, CASE.x1, CASE.x2)
    close(cosine(pntk)(CASE.f, CASE.params, CASE.x1, CASE.x2, batch_size=3), across, 1e-12)


def test_diagonals_of_more_examples_than_a_tile():
    def linear(params, x):
        return x @ params

    x = jax.random.normal(KEY, (37, 3), "float64")
    other, params = x[:5], jnp.ones((3, 2), "float64")
    close(cosine(pntk)(linear, params, x, other), cosine(pntk(linear, params, x))[:, :5], 1e-12)


def test_sum_of_blocks_and_projections_commute():
    """Identity 13: one S for all outputs, so sum-then-project is project-then-sum."""
    blocks = projected(entk, 7, KEY)(CASE.f, CASE.params, CASE.x1, CASE.x2)
    close(projected(pntk, 7, KEY)(CASE.f, CASE.params, CASE.x1, CASE.x2), jnp.einsum("nmab->nm", blocks) / 3, 1e-12)
    close(projected(trntk, 7, KEY)(CASE.f, CASE.params, CASE.x1, CASE.x2), jnp.einsum("nmaa->nm", blocks) / 3, 1e-12)
    close(projected(single_logit, 7, KEY)(CASE.f, CASE.params, CASE.x1, CASE.x2), blocks[..., 0, 0], 1e-12)


def test_same_key_same_bits_and_batches_of_any_size():
    kernel = projected(trntk, 7, KEY)
    once = kernel(CASE.f, CASE.params, CASE.x1)
    np.testing.assert_array_equal(once, projected(trntk, 7, jax.random.key(5))(CASE.f, CASE.params, CASE.x1))
    close(kernel(CASE.f, CASE.params, CASE.x1, batch_size=3), once, 1e-12)
    other = projected(trntk, 7, jax.random.key(6))(CASE.f, CASE.params, CASE.x1)
    assert jnp.linalg.norm(other - once) > 1e-3 * jnp.linalg.norm(once)


def test_projected_loss_gradients():
    r = jax.nn.softmax(CASE.f(CASE.params, CASE.x1)) - jax.nn.one_hot(Y1, 3)
    blocks = projected(entk, 5, KEY)(CASE.f, CASE.params, CASE.x1)
    found = projected(loss_gradient, 5, KEY)(CASE.f, CASE.params, CASE.x1, y1=Y1)
    close(found, jnp.einsum("na,nmab,mb->nm", r, blocks, r), 1e-12)
    assert projected(cosine(pntk), 5, KEY)(CASE.f, CASE.params, CASE.x1)[0, 0] == pytest.approx(1)


def linear(params, x):
    return x @ params


def one_direction(outputs):
    return np.eye(outputs)


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_the_matrix_itself(kind):
    """Gradients of a linear function are its examples: unit vectors give S row by row, over several chunks."""
    q, size = 1100, 4000  # 524 rows in a chunk: two whole ones and a part
    s = self_drawn(jnp.eye(q, dtype="float64"), size, kind)
    assert s.shape == (q, size)
    if kind == "rademacher":
        np.testing.assert_allclose(abs(s), size**-0.5, rtol=1e-14)
    assert abs(s.mean()) < 5 / np.sqrt(q * size * size)
    assert float((s**2).mean() * size) == pytest.approx(1, abs=5e-3)
    angles = s @ s.T - jnp.diag((s**2).sum(axis=1))
    assert abs(angles).max() < 6.5 / np.sqrt(size)  # no row comes twice
    x = jax.random.normal(KEY, (3, q), "float64")
    close(self_drawn(x, size, kind), x @ s, 1e-12)


def self_drawn(x, size, kind):
    params = jnp.zeros((x.shape[1], 1), "float64")
    groups = (("", (0,)),)
    found = read_projected(linear, params, x, key=KEY, directions=one_direction, size=size, kind=kind, groups=groups)
    return found[""][:, 0]


def test_signs_project_a_single_parameter_exactly():
    """Σ_k S_k² is one for signs, and only on average for normal entries."""
    x = jnp.array([[2.0], [3.0]])
    params = jnp.ones((1, 1))
    with pytest.warns(UserWarning, match="the exact kernel costs less"):
        close(projected(pntk, 4, KEY)(linear, params, x), x @ x.T, 1e-12)
    with pytest.warns(UserWarning, match="the exact kernel costs less"):
        normal = projected(pntk, 4, KEY, kind="gaussian")(linear, params, x)
    assert abs(normal - x @ x.T).max() > 1e-3


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
@pytest.mark.parametrize("case", DRAWN, ids=lambda case: case.name)
def test_projections_are_unbiased_and_obey_the_variance_law(case, kind):
    """Identity 12, with gradients of the outputs divided by √C as in the trace kernel."""
    draws, size = 600, 6
    keys = jax.random.split(KEY, draws)
    values = jax.vmap(lambda key: projected(trntk, size, key, kind=kind)(case.f, case.params, case.x1))(keys)
    g = jacobians_of(case)[0] / jnp.sqrt(3.0)
    exact = jnp.einsum("ncp,mcp->nm", g, g)
    own, across = jnp.einsum("ncp,ndp->ncd", g, g), jnp.einsum("ncp,mdp->nmcd", g, g)
    law = jnp.einsum("ncd,mcd->nm", own, own) + jnp.einsum("nmcd,nmdc->nm", across, across)
    if kind == "rademacher":
        law = law - 2 * jnp.sum(jnp.einsum("ncp,mcp->nmp", g, g) ** 2, axis=2)
    law = law / size
    assert (abs(values.mean(axis=0) - exact) < 4.5 * jnp.sqrt(law / draws)).all()
    assert float((values.var(axis=0) / law).mean()) == pytest.approx(1, abs=0.15)


def test_sums_over_checkpoints():
    later = jax.tree.map(lambda a: 1.1 * a, CASE.params)
    found = over_checkpoints(loss_gradient, [0.5, 2.0])(CASE.f, [CASE.params, later], CASE.x1, y1=Y1)
    expected = [loss_gradient(CASE.f, params, CASE.x1, y1=Y1) for params in (CASE.params, later)]
    close(found, 0.5 * expected[0] + 2 * expected[1], 1e-12)
    close(over_checkpoints(pntk, [1])(CASE.f, [later], CASE.x1), pntk(CASE.f, later, CASE.x1), 1e-15)


def test_permuting_hidden_units_or_examples_changes_nothing():
    """Identity 19."""
    order = jnp.array([2, 0, 3, 1])
    params = jax.tree.map(lambda a: a, CASE.params)
    params["dense_0"] = {"weight": params["dense_0"]["weight"][:, order], "bias": params["dense_0"]["bias"][order]}
    params["dense_1"] = params["dense_1"] | {"weight": params["dense_1"]["weight"][order]}
    for kernel in (trntk, ck, em):
        close(kernel(CASE.f, params, CASE.x1), kernel(CASE.f, CASE.params, CASE.x1), 1e-12)
        whole = centred(kernel)(CASE.f, CASE.params, CASE.x1)
        close(centred(kernel)(CASE.f, CASE.params, CASE.x1[order]), whole[order][:, order], 1e-10)
    close(margin(CASE.f, params, CASE.x1, y1=Y1), margin(CASE.f, CASE.params, CASE.x1, y1=Y1), 1e-12)


def test_float32():
    single = jax.tree.map(lambda a: a.astype("float32"), (CASE.params, CASE.x1, CASE.x2))
    for kernel in (cosine(pntk), centred(trntk)):
        found = kernel(CASE.f, *single)
        assert found.dtype == jnp.float32
        close(found.astype("float64"), kernel(CASE.f, CASE.params, CASE.x1, CASE.x2), 2e-4)
    kernel = projected(pntk, 5, KEY)  # signs are the same in every precision
    close(kernel(CASE.f, *single).astype("float64"), kernel(CASE.f, CASE.params, CASE.x1, CASE.x2), 2e-4)


def test_equal_transforms_are_equal():
    assert cosine(pntk) == cosine(pntk) != cosine(trntk)
    assert {over_checkpoints(pntk, [1]): 1}[over_checkpoints(pntk, (1.0,))] == 1
    assert set(TRANSFORMS) >= {"cosine", "centred", "projected", "over_checkpoints"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: projected(pntk, 0, KEY), "projection dimension is 0"),
        (lambda: projected(pntk, 2.5, KEY), "projection dimension is 2.5"),
        (lambda: projected(pntk, 4, 0), r"key is 0. Give jax.random.key"),
        (lambda: projected(ck, 4, KEY), "ck has no gradients to project"),
        (lambda: projected(cosine(em), 4, KEY), "no gradients to project"),
        (lambda: over_checkpoints(pntk, []), "weights of the checkpoints"),
        (lambda: over_checkpoints(pntk, [1, np.nan]), "weights of the checkpoints"),
        (lambda: over_checkpoints(pntk, [1, 2])(linear, [1], np.ones((2, 3))), "2 weights, but as checkpoints: 1"),
        (lambda: over_checkpoints(pntk, [1])(linear, {}, np.ones((2, 3))), "as checkpoints: dict"),
        (lambda: cosine(np.ones((2, 3))), r"shape \(2, 3\) does not fit"),
        (lambda: centred(np.ones((2, 3))), r"shape \(2, 3\) does not fit"),
        (lambda: cosine(np.ones((2, 2, 3, 3))), "not blocks"),
        (lambda: cosine([[1.0]]), "not list"),
        (lambda: cosine(np.diag([1.0, 0.0, 2.0])), "not positive for 1 of 3 examples, first for example 1"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


def test_pntk_of_outputs_that_sum_to_a_constant_has_no_cosine():
    def centred_outputs(params, x):
        return jnp.concatenate([x @ params, -(x @ params)], axis=1)

    with pytest.raises(InvalidInput, match="what has no length has no direction"):
        cosine(pntk)(centred_outputs, jnp.ones((3, 1)), jnp.ones((2, 3)))


def test_unknown_kind_of_projection():
    with pytest.raises(UnknownName, match="Did you mean 'gaussian'"):
        projected(pntk, 4, KEY, kind="gauss")


@pytest.mark.parametrize("name", ["margin", "loss_gradient", "ck", "em"])
def test_sweeps_refuse_what_does_not_stand_in_for_the_entk(name):
    with pytest.raises(InvalidInput, match=f"'{name}' .* does not stand in for the eNTK. Leave it out"):
        plan_sweep(kernels=["pntk", name])


def test_labelled_matrices_can_be_transformed():
    from ntk_explorer import build

    network = build("mlp", inputs=(3,), width=4, outputs=2)
    params = network.init(jax.random.key(0))
    found = cosine(gram("ck", network, params, np.eye(3)))
    np.testing.assert_allclose(np.diagonal(found), 1, rtol=1e-15)
