"""Every kernel on every kind of network and in both precisions against the dense Jacobian, and its shares."""

from __future__ import annotations

from functools import cache

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import close, jacobians_of, quick

from ntk_explorer import KERNELS, cosine, entk, estimate, explain, over_checkpoints, projected, trntk
from ntk_explorer.errors import InvalidInput, UnknownName

CASES = cases.all_cases()
DISTINCT = [case for case in CASES if not case.name.endswith("-ntk")]  # the same programs with constant factors
CASE = cases.registered("mlp")
IMAGES = cases.registered("cnn")
Y1, Y2 = np.array([0, 2, 1, 1]), np.array([2, 0, 1])
KEY = jax.random.key(5)


def labels(name, **given):
    return given if "uses-labels" in KERNELS[name].tags else {}


def examples(case):
    return case.x1, case.x2[:3]


def cotangents(outputs, y):
    """For each kernel the directions [n, k, c] in output space whose gradients it is made of."""
    n, c = outputs.shape
    hot, p = jax.nn.one_hot(y, c), jax.nn.softmax(outputs)
    others = jax.nn.softmax(jnp.where(hot > 0, -jnp.inf, outputs))
    return {
        "pntk": jnp.full((n, 1, c), c**-0.5),
        "trntk": jnp.broadcast_to(jnp.eye(c)[None] * c**-0.5, (n, c, c)),
        "single_logit": jnp.broadcast_to(jnp.eye(1, c)[None], (n, 1, c)),
        "loss_gradient": (p - hot)[:, None],
        "margin": (hot - others)[:, None],
    }


@cache
def expected(case):
    """All kernels between both sets of examples, from Jacobians in double precision."""
    j1, j2 = jacobians_of(case)
    j2 = j2[:3]
    left, right = (cotangents(case.f(case.params, x), y) for x, y in zip(examples(case), (Y1, Y2), strict=True))
    found = {"entk": jnp.einsum("ncp,mdp->nmcd", j1, j2)}
    for name, u in left.items():
        g, h = jnp.einsum("nkc,ncp->nkp", u, j1), jnp.einsum("mkc,mcp->mkp", right[name], j2)
        found[name] = jnp.einsum("nkp,mkp->nm", g, h)
    return found


def computed(case, dtype):
    def run(params, x1, x2):
        return {name: card(case.f, params, x1, x2, **labels(name, y1=Y1, y2=Y2)) for name, card in KERNELS.items()}

    return quick(run)(*cases.in_dtype((case.params, *examples(case)), dtype))


@cache
def in_double(case):
    return computed(case, "float64")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_kernel_agrees_with_the_dense_jacobian(case):
    for name, kernel in expected(case).items():
        close(in_double(case)[name], kernel)
    assert set(KERNELS) - set(expected(case)) == {"ck", "em"}  # made without gradients: test_feature_kernels.py


@pytest.mark.parametrize("case", DISTINCT, ids=lambda case: case.name)
def test_every_kernel_in_single_precision(case):
    """Identity 23."""
    for name, kernel in computed(case, "float32").items():
        assert kernel.dtype == jnp.float32
        close(kernel.astype("float64"), in_double(case)[name], 2e-4)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("by", ["layer", "parameter"])
def test_shares_add_up(name, by):
    """Identity 5."""
    given = labels(name, y1=Y1, y2=Y2)
    shares = KERNELS[name](IMAGES.f, IMAGES.params, IMAGES.x1, IMAGES.x2, by=by, **(given | labels(name, y2=Y1)))
    whole = KERNELS[name](IMAGES.f, IMAGES.params, IMAGES.x1, IMAGES.x2, **(given | labels(name, y2=Y1)))
    close(sum(shares.values()), whole, 1e-12)
    layers = {"ck": ["readout"]}.get(name, list(IMAGES.params))
    assert list(dict.fromkeys(share.split("/")[0] for share in shares)) == layers
    assert all(("/" in share) == (by == "parameter") for share in shares)


@pytest.mark.parametrize(
    "make",
    [
        cosine,
        lambda k: projected(k, 9, KEY),
        lambda k: over_checkpoints(k, [0.5]),
        lambda k: cosine(projected(k, 9, KEY)),
    ],
    ids=["cosine", "projected", "checkpoints", "cosine of projected"],
)
@pytest.mark.parametrize("name", ["trntk", "margin"])
def test_shares_of_composed_kernels_add_up(make, name):
    kernel, given = make(name), labels(name, y1=Y1, y2=Y1)
    params = [CASE.params] if "checkpoints" in str(kernel) else CASE.params
    shares = kernel(CASE.f, params, CASE.x1, CASE.x2, by="layer", **given)
    assert list(shares) == ["dense_0", "dense_1", "readout"]
    close(sum(shares.values()), kernel(CASE.f, params, CASE.x1, CASE.x2, **given), 1e-12)


@pytest.mark.parametrize("bias", [False, True])
def test_last_layer_is_the_conjugate_kernel(bias):
    """Identity 4: of the trace and of the summed logits alike, C (CK + 1) with bias and C CK without."""
    case = cases.registered("mlp", "standard", bias)
    blocks = entk(case.f, case.params, case.x1, by="layer")["readout"]
    kernel = KERNELS["ck"](case.f, case.params, case.x1) + (1 if bias else 0)
    close(jnp.einsum("nmcc->nm", blocks), 3 * kernel, 1e-12)
    close(jnp.einsum("nmcd->nm", blocks), 3 * kernel, 1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("name", KERNELS)
def test_tiles_of_any_size(name, size):
    """Identity 19: with itself (mirrored tiles) and between two sets."""
    for x2, y2 in ((None, None), (CASE.x2, Y1)):
        given = labels(name, y1=Y1, y2=y2)
        whole = KERNELS[name](CASE.f, CASE.params, CASE.x1, x2, **given)
        close(KERNELS[name](CASE.f, CASE.params, CASE.x1, x2, batch_size=size, **given), whole, 1e-12)


@pytest.mark.parametrize(
    "kernel", [*KERNELS, cosine("trntk"), projected("margin", 20, KEY), over_checkpoints("pntk", [1, 2])], ids=str
)
def test_estimates_cover_what_is_kept(kernel):
    """Figures grow with the examples, and with tiles handed on there is no result to keep."""
    params = [IMAGES.params] * 2 if "checkpoints" in str(kernel) else IMAGES.params
    shape = jax.ShapeDtypeStruct((200, *IMAGES.x1.shape[1:]), "float64")
    cost = estimate(kernel, IMAGES.f, params, shape)
    assert cost.bytes >= 200 * 200 * 8
    assert estimate(kernel, IMAGES.f, params, shape, batch_size=20, in_memory=False).bytes < cost.bytes
    more = estimate(kernel, IMAGES.f, params, jax.ShapeDtypeStruct((400, *IMAGES.x1.shape[1:]), "float64"))
    assert more.flops > 2 * cost.flops or "projected" in str(kernel)
    assert more.flops > 1.9 * cost.flops


def test_roads_of_every_kernel_of_gradients():
    for kernel in (*expected(CASE), cosine("margin"), projected("pntk", 9, KEY)):
        assert {row.parameter for row in explain(CASE.f, CASE.params, CASE.x1, kernel=kernel)} >= {"dense_0/weight"}
    over_two = explain(CASE.f, [CASE.params] * 2, CASE.x1, kernel=over_checkpoints("pntk", [1, 2]))
    assert over_two == explain(CASE.f, CASE.params, CASE.x1, kernel="pntk")
    with pytest.raises(InvalidInput, match="made of features without gradients"):
        explain(CASE.f, CASE.params, CASE.x1, kernel=cosine("ck"))


def mixed_up(params, x):
    h = x @ params
    return h - h.mean(axis=0, keepdims=True)


@pytest.mark.parametrize("kernel", [*KERNELS, cosine(trntk), projected("pntk", 3, KEY)], ids=str)
def test_what_cannot_be_read_is_refused(kernel):
    call = KERNELS[kernel] if isinstance(kernel, str) else kernel
    given = labels(kernel, y1=[0, 1]) if isinstance(kernel, str) else {}
    with pytest.raises(InvalidInput, match=r"changes with the other examples in the batch\. Use running averages"):
        call(mixed_up, jnp.ones((3, 2)), jnp.eye(2, 3), **given)
    with pytest.raises(InvalidInput, match=r"holds NaN or infinite values\. Take a checkpoint"):
        call(lambda p, x: x @ p, jnp.ones((3, 2)).at[0, 0].set(jnp.nan), jnp.eye(2, 3), **given)
    with pytest.raises(InvalidInput, match="has dtype int64"):
        call(lambda p, x: x @ p, jnp.ones((3, 2), "int64"), jnp.eye(2, 3), **given)
    with pytest.raises(UnknownName, match="Did you mean 'layer'"):
        call(lambda p, x: x @ p, jnp.ones((3, 2)), jnp.eye(2, 3), by="layers", **given)
