"""Products with kernels that are never formed, on both roads, against kernels that are."""

from __future__ import annotations

from functools import cache

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import dense_ntk
from scipy.sparse.linalg import cg

from ntk_explorer import (
    KERNELS,
    build,
    cosine,
    frobenius_norm,
    kernel_operator,
    spectral_density,
    top_eigenvalues,
    trace,
)
from ntk_explorer.errors import InvalidInput, TooLarge, UnknownName
from ntk_explorer.kernels import shares_limit
from ntk_explorer.kernels.operator import METHODS, plan_products

CASES = cases.all_cases()
ROADS = METHODS[1:]
TANGENT = [name for name in KERNELS if shares_limit(name)]  # the eNTK and what is made of its blocks
MLP = cases.registered("mlp")


@cache
def blocks(case):
    return np.asarray(dense_ntk(case.f, case.params, case.x1))


def dense(name, case):
    """The kernel as a matrix, with examples outer and outputs inner."""
    theta = blocks(case)
    if "per-output" in KERNELS[name].tags:
        return theta.transpose(0, 2, 1, 3).reshape(theta.shape[0] * theta.shape[2], -1)
    return KERNELS[name].extras["from_blocks"](theta)


def vectors(size, columns=2, dtype="float64"):
    return np.random.default_rng(size).normal(size=(size, columns)).astype(dtype)


def close(actual, expected, tolerance=1e-10):
    assert actual.shape == expected.shape
    assert np.linalg.norm(actual - expected) <= tolerance * np.linalg.norm(expected)


ONE_OF_A_KIND = [c for c in CASES if not c.name.endswith("-ntk") and not c.name.startswith("resnet18")]


def named(*names):
    return pytest.mark.parametrize("case", [c for c in CASES if c.name in names], ids=lambda case: case.name)


@pytest.mark.parametrize("case", ONE_OF_A_KIND, ids=lambda case: case.name)
def test_products_with_the_entk_of_every_network(case):
    """Batches of three and one: the last is filled up, which must change nothing."""
    matrix = dense("entk", case)
    v = vectors(len(matrix))
    for road in ROADS:
        operator = kernel_operator("entk", case.f, case.params, case.x1, method=road, batch_size=3)
        assert operator.method == road
        close(operator @ v, matrix @ v)


@named("cnn-ntk", "rescaled", "grouped")
@pytest.mark.parametrize("name", sorted(set(TANGENT) - {"entk"}))
def test_products_with_the_other_kernels(case, name):
    matrix = dense(name, case)
    v = vectors(len(matrix))
    for road in ROADS:
        close(kernel_operator(name, case.f, case.params, case.x1, method=road) @ v, matrix @ v)


@pytest.mark.parametrize("name", TANGENT)
@pytest.mark.parametrize("road", ROADS)
def test_vectors_columns_and_diagonals(name, road):
    matrix = dense(name, MLP)
    operator = kernel_operator(name, MLP.f, MLP.params, MLP.x1, method=road, batch_size=3)
    v = vectors(len(matrix), 5)
    assert operator.shape == matrix.shape
    assert operator.dtype == np.float64
    close(operator @ v[:, 0], matrix @ v[:, 0])
    close(operator.matvec(v[:, 1]), matrix @ v[:, 1])
    close(operator.matmat(v), matrix @ v)
    close(operator.diagonal(), np.diag(matrix))
    assert operator.trace() == pytest.approx(np.trace(matrix), rel=1e-12)
    compiled = jax.jit(lambda held, v: operator.product(held, 2 * v))
    close(np.asarray(compiled(operator.held, v)), 2 * matrix @ v)


@named("cnn-standard", "attention")
def test_diagonals_of_networks_with_many_positions(case):
    for name in ("entk", "trntk"):
        operator = kernel_operator(name, case.f, case.params, case.x1, batch_size=3)
        close(operator.diagonal(), np.diag(dense(name, case)))


@pytest.mark.parametrize("name", ["entk", "trntk"])
@pytest.mark.parametrize("road", ROADS)
def test_columns_in_several_passes(name, road):
    """More columns than are taken at a time, in passes of unequal use."""
    matrix = dense(name, MLP)
    operator = kernel_operator(name, MLP.f, MLP.params, MLP.x1, method=road)
    assert operator.product.columns == 32
    v = vectors(len(matrix), 75)
    close(operator @ v, matrix @ v)


@pytest.mark.parametrize("road", ROADS)
def test_float32(road):
    single = jax.tree.map(lambda a: a.astype("float32"), (MLP.params, MLP.x1))
    operator = kernel_operator("entk", MLP.f, *single, method=road)
    v = vectors(operator.shape[0], dtype="float32")
    assert operator.dtype == np.float32
    assert (operator @ v).dtype == np.float32
    assert operator.rounding == pytest.approx(1.2e-7, rel=0.01)
    close(operator @ v, dense("entk", MLP) @ v, 1e-5)


def test_rounding_is_that_of_the_precision():
    single = jax.tree.map(lambda a: a.astype("float32"), (MLP.params, MLP.x1))
    assert kernel_operator("pntk", MLP.f, *single, precision="tensorfloat32").rounding == 5e-4
    assert kernel_operator("pntk", MLP.f, MLP.params, MLP.x1).rounding == pytest.approx(2.2e-16, rel=0.01)


@pytest.mark.parametrize("road", ROADS)
def test_scipy_solves_with_it(road):
    operator = kernel_operator("pntk", MLP.f, MLP.params, MLP.x1, method=road)
    target = np.arange(1.0, 5.0)
    solution, failed = cg(operator.as_scipy(), target, rtol=1e-12, maxiter=100)
    assert failed == 0
    close(dense("pntk", MLP) @ solution, target, 1e-8)


@pytest.fixture(scope="module")
def wide():
    """A network with more examples than a batch, and its eNTK as a matrix: 120 examples of 3 outputs."""
    network = build("mlp", inputs=(5,), outputs=3, width=16)
    x = jax.random.normal(jax.random.key(1), (120, 5), "float64")
    case = cases.Case("wide", network.apply, network.init(jax.random.key(0)), x, x)
    return case, dense("entk", case)


@pytest.mark.parametrize("road", ROADS)
def test_spectra_of_a_kernel_that_is_never_formed(wide, road):
    case, matrix = wide
    operator = kernel_operator("entk", case.f, case.params, case.x1, method=road, batch_size=32)
    values = np.linalg.eigvalsh(matrix)[::-1]
    np.testing.assert_allclose(top_eigenvalues(operator, 5).values, values[:5], rtol=1e-10)
    estimate, norm = (measure(operator, key=jax.random.key(2)) for measure in (trace, frobenius_norm))
    assert abs(estimate.value - values.sum()) < 4 * estimate.standard_error < 0.1 * values.sum()
    assert abs(norm.value - np.linalg.norm(matrix)) < 4 * norm.standard_error < 0.1 * norm.value
    density = spectral_density(operator, key=jax.random.key(3), samples=6, degree=30)
    assert density.attrs["kernel"] == "entk"
    each = (density.weights * density.nodes).sum("node").values
    assert abs(each.mean() - values.mean()) < 4 * each.std(ddof=1) / 6**0.5


def test_what_is_in_double_precision_stays_so_in_other_sessions(wide):
    case, matrix = wide
    operator = kernel_operator("entk", case.f, case.params, case.x1)
    with jax.enable_x64(False):
        v = vectors(len(matrix))
        close(operator @ v, matrix @ v)
        assert operator.trace() == pytest.approx(np.trace(matrix), rel=1e-12)


def test_a_network_without_parameters_is_the_zero_map():
    def f(params, x):
        return x * 2

    for road in ROADS:
        operator = kernel_operator("entk", f, {}, jnp.ones((3, 2)), method=road)
        assert (operator @ np.ones(6) == 0).all()


def test_cost_grows_with_examples_and_holds_what_is_held():
    shape = MLP.x1.shape[1:]
    few, many = (plan_products("entk", MLP.f, MLP.params, jnp.ones((n, *shape)), method="factored") for n in (20, 200))
    assert many.cost.flops == pytest.approx(10 * few.cost.flops)
    operator = kernel_operator("entk", MLP.f, MLP.params, jnp.ones((200, *shape)), method="factored")
    held = sum(a.nbytes for a in jax.tree.leaves(operator.held))
    assert held < operator.cost.bytes < 50 * held


@pytest.mark.parametrize("name", ["entk", "trntk"])
@pytest.mark.parametrize("road", ROADS)
def test_estimated_memory_is_what_the_compiled_product_takes(name, road):
    network = build("mlp", inputs=(20,), outputs=5, width=64)
    x = jax.random.normal(jax.random.key(1), (400, 20), "float64")
    operator = kernel_operator(name, network.apply, network.init(jax.random.key(0)), x, method=road)
    v = jnp.ones((operator.shape[0], operator.product.columns))
    used = jax.jit(operator.product).lower(operator.held, v).compile().memory_analysis()
    taken = used.temp_size_in_bytes + used.argument_size_in_bytes + used.output_size_in_bytes
    assert 1 / 1.5 < operator.cost.bytes / taken < 1.5


def test_auto_takes_the_road_with_fewer_operations_of_those_that_fit(monkeypatch):
    from ntk_explorer.reading import machine

    plans = {road: plan_products("entk", MLP.f, MLP.params, MLP.x1, method=road) for road in ROADS}
    best = min(plans.values(), key=lambda plan: plan.cost.flops)
    assert plan_products("entk", MLP.f, MLP.params, MLP.x1).method == best.method == "factored"
    x = jnp.ones((2000, *MLP.x1.shape[1:]))
    room = {road: plan_products("entk", MLP.f, MLP.params, x, method=road, batch_size=1).cost.bytes for road in ROADS}
    monkeypatch.setattr(machine, "available_bytes", lambda: 2 * min(room.values()) // 4)
    tight = plan_products("entk", MLP.f, MLP.params, x)
    assert tight.columns < 32
    assert tight.cost.bytes <= min(room.values()) // 4


def test_what_does_not_fit_is_refused_with_both_figures(monkeypatch):
    from ntk_explorer.reading import machine

    monkeypatch.setattr(machine, "available_bytes", lambda: 10_000)
    with pytest.raises(TooLarge, match=r"product with the eNTK of 4 examples would take about .*5.0 kB are free"):
        kernel_operator("entk", MLP.f, MLP.params, MLP.x1)


OPERATOR_INPUT = [
    (np.array([np.nan] + [1.0] * 11), "not real and finite"),
    (np.full(12, np.inf), "not real and finite"),
    (np.ones(12) * 1j, "not real and finite"),
    (np.array(["a"] * 12), "not real and finite"),
    (np.ones(11), r"shape \(11,\) does not fit a kernel of shape \(12, 12\).*N = 12"),
    (np.ones((4, 3)), r"shape \(4, 3\)"),
    (np.ones((12, 2, 2)), r"shape \(12, 2, 2\)"),
    (np.ones((12, 0)), r"shape \(12, 0\)"),
    (np.float64(1.0), r"shape \(\)"),
]


@pytest.mark.parametrize(("v", "message"), OPERATOR_INPUT)
def test_vectors_that_do_not_fit_are_refused(v, message):
    operator = kernel_operator("entk", MLP.f, MLP.params, MLP.x1, method="jvp-vjp")
    with pytest.raises(InvalidInput, match=message):
        operator @ v


def test_matrices_are_no_vectors_and_vectors_no_matrices():
    operator = kernel_operator("pntk", MLP.f, MLP.params, MLP.x1, method="jvp-vjp")
    with pytest.raises(InvalidInput, match=r"Give \[N\] with N = 4"):
        operator.matvec(np.ones((4, 1)))
    with pytest.raises(InvalidInput, match=r"Give \[N, r\] with N = 4"):
        operator.matmat(np.ones(4))


def test_bad_arguments_are_refused_before_work_starts():
    arguments = MLP.f, MLP.params, MLP.x1
    with pytest.raises(UnknownName, match="Did you mean 'entk'"):
        kernel_operator("entkk", *arguments)
    with pytest.raises(UnknownName, match=r"method 'fast'.*factored, jvp-vjp"):
        kernel_operator("entk", *arguments, method="fast")
    with pytest.raises(InvalidInput, match="batch_size is 0"):
        kernel_operator("entk", *arguments, batch_size=0)
    with pytest.raises(InvalidInput, match=r"holds NaN.*example 2"):
        kernel_operator("entk", MLP.f, MLP.params, MLP.x1.at[2, 0].set(jnp.nan))
    with pytest.raises(InvalidInput, match="cannot be hashed"):
        kernel_operator("entk", Unhashable(), MLP.params, MLP.x1)


class Unhashable:
    __hash__ = None

    def __call__(self, params, x):
        return MLP.f(params, x)


def test_features_and_transforms_are_refused():
    for name in ("ck", "em"):
        with pytest.raises(InvalidInput, match=r"made of features.*Take a tangent kernel"):
            kernel_operator(name, MLP.f, MLP.params, MLP.x1)
    with pytest.raises(InvalidInput, match=r"has no products of its own"):
        kernel_operator(cosine("pntk"), MLP.f, MLP.params, MLP.x1)


@pytest.mark.parametrize("name", ["loss_gradient", "margin"])
def test_products_with_kernels_that_use_labels(name):
    y = jnp.array([0, 2, 1, 1])
    matrix = np.asarray(KERNELS[name](MLP.f, MLP.params, MLP.x1, y1=y))
    v = vectors(4)
    for road in ROADS:
        operator = kernel_operator(KERNELS[name].function, MLP.f, MLP.params, MLP.x1, y=y, method=road, batch_size=3)
        assert operator.kernel == name
        close(operator @ v, matrix @ v)
        close(operator.diagonal(), np.diag(matrix))


def test_labels_are_asked_for_and_refused_where_they_mean_nothing():
    with pytest.raises(InvalidInput, match="uses labels, and those of x1 are missing"):
        kernel_operator("margin", MLP.f, MLP.params, MLP.x1)
    with pytest.raises(InvalidInput, match="uses no labels"):
        kernel_operator("pntk", MLP.f, MLP.params, MLP.x1, y=np.zeros(4, int))


def test_networks_that_no_kernel_exists_of_are_refused():
    def mixing(params, x):
        return MLP.f(params, x - x.mean(axis=0, keepdims=True))

    with pytest.raises(InvalidInput, match="other"):
        kernel_operator("entk", mixing, MLP.params, MLP.x1, method="jvp-vjp")
    broken = jax.tree.map(lambda a: a.at[(0,) * a.ndim].set(jnp.nan), MLP.params)
    with pytest.raises(InvalidInput, match="NaN"):
        kernel_operator("entk", MLP.f, broken, MLP.x1)
