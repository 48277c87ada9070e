"""The evidence of small networks against dense algebra, and what it must not change under (V1, V2, V7, V11, V12)."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import handwritten, registered
from evidence_cases import EvidenceCase, classes, everything, linear, log_det, many_examples, regression
from numpy.testing import assert_allclose

from ntk_explorer.marglik.evidence import evidence, evidence_of, gradient_of
from ntk_explorer.marglik.features import whitened_features
from ntk_explorer.marglik.hyperparameters import evidence_sweep, mackay_step
from ntk_explorer.marglik.stationarity import conjugate_evidence, stationarity

DELTAS = [0.6, 1.7, 0.9, 2.3]


def priors(case):
    """Scalar, per layer, per tensor, and per parameter flat and as a tree; with the precision of each parameter."""
    sizes = [np.size(leaf) for leaf in jax.tree.leaves(case.params)]
    each = np.random.default_rng(0).uniform(0.5, 3, sum(sizes))
    layers = {name: 0.5 + i for i, name in enumerate(case.params)}
    per_layer = np.concatenate([np.full(np.size(leaf), layers[n]) for n in layers for leaf in case.params[n].values()])
    tree = jax.tree.unflatten(
        jax.tree.structure(case.params),
        [each[part].reshape(leaf.shape) for part, leaf in zip(case.slices, jax.tree.leaves(case.params), strict=True)],
    )
    yield 0.7, np.full(sum(sizes), 0.7)
    yield layers, per_layer
    yield case.per_tensor(DELTAS), np.repeat(DELTAS, sizes)
    yield each, each
    yield tree, each


@pytest.mark.parametrize("index", range(4))
def test_both_forms_agree_with_dense_algebra_for_every_prior(index):
    case = everything()[index]
    for prior_precision, each in priors(case):
        expected = log_det(case.hessian + np.diag(each)) - np.log(each).sum()
        for options in ({"form": "parametric"}, {"form": "ntk"}, {}):
            found = evidence_of(case.features, **case.options(prior_precision), **options)
            assert_allclose(-2 * found.complexity, expected, rtol=1e-9)
            assert_allclose(found.fit, case.fit, rtol=1e-12)
            assert_allclose(found.weight_cost, -(each * case.weights**2).sum() / 2, rtol=1e-12)
            assert found.is_bound
        assert_allclose(
            evidence_of(case.features, **case.options(prior_precision), estimator="ntk").total, found.total, rtol=1e-9
        )


def test_the_smaller_side_is_chosen():
    assert not classes().features.whole.parametric
    assert many_examples()[0].features.whole.parametric


@pytest.mark.parametrize("root", ["eigen", "cholesky", "none"])
@pytest.mark.parametrize("case", [classes(), regression()], ids=["classes", "regression"])
def test_every_root_of_the_curvature_gives_the_same_determinants(case, root):
    blocks = [[0, 3, 5], [1, 2], sorted({4, *range(6, len(case.x))})]
    found = evidence_of(case.features, **case.options(0.8), estimator="subset", blocks=blocks)
    total = 0.0
    for block in (blocks, [range(len(case.x))]):
        total = sum(_determinant(case, list(part), root) for part in block)
        if block is blocks:
            assert_allclose(-2 * found.complexity, total, rtol=1e-9 if root != "cholesky" else 1e-6)
    exact = evidence_of(case.features, **case.options(0.8))
    assert_allclose(-2 * exact.complexity, total, rtol=1e-9 if root != "cholesky" else 1e-6)


def _determinant(case, examples, root):
    jacobian, curvature = case.jacobian[examples], case.curvature[examples]
    if root == "none":  # the unsymmetric J P₀⁻¹ Jᵀ Λ
        product = np.einsum("ncp,mdp->ncmd", jacobian, jacobian) / 0.8
        matrix = np.einsum("ncmd,mde->ncme", product, curvature)
        size = matrix.shape[0] * matrix.shape[1]
        return log_det(np.eye(size) + matrix.reshape(size, size))
    if root == "eigen":
        values, vectors = np.linalg.eigh(curvature)
        roots = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
    else:
        roots = np.linalg.cholesky(curvature + 1e-13 * np.eye(curvature.shape[1]))
    whitened = np.einsum("ncd,ncp->ndp", roots, jacobian).reshape(-1, jacobian.shape[2])
    return log_det(np.eye(len(whitened)) + whitened @ whitened.T / 0.8)


def test_conjugate_evidence_is_the_evidence_and_the_gap():
    for case in (regression(), many_examples()[1]):
        for prior_precision, each in priors(case):
            g = case.gradient_of_fit - each * case.weights
            expected = g @ np.linalg.solve(case.hessian + np.diag(each), g) / 2
            found = stationarity(case.features, **case.options(prior_precision))
            assert_allclose(found.gap, expected, rtol=1e-9)
            assert_allclose(found.gradient_norm, np.linalg.norm(g), rtol=1e-9)
            whole = conjugate_evidence(case.features, **case.options(prior_precision))
            assert_allclose(
                whole - evidence_of(case.features, **case.options(prior_precision)).total, expected, rtol=1e-9
            )


def test_gap_of_a_classifier_against_dense_algebra():
    case = classes()
    g = case.gradient_of_fit - 0.7 * case.weights
    expected = g @ np.linalg.solve(case.hessian + 0.7 * np.eye(len(g)), g) / 2
    assert_allclose(stationarity(case.features, **case.options(0.7)).gap, expected, rtol=1e-9)


def test_a_linear_model_has_one_conjugate_evidence_at_all_weights():
    mode = linear()
    elsewhere = replace(mode, params={"weight": mode.params["weight"] + 1.3})
    first, second = (conjugate_evidence(c.features, prior_precision=0.7, sigma=0.3) for c in (mode, elsewhere))
    assert_allclose(first, second, rtol=1e-10)
    assert_allclose(evidence_of(mode.features, prior_precision=0.7, sigma=0.3).total, first, rtol=1e-10)
    assert stationarity(mode.features, prior_precision=0.7, sigma=0.3).gap < 1e-10
    at_other = evidence_of(elsewhere.features, prior_precision=0.7, sigma=0.3).total
    assert at_other < first - 10
    assert_allclose(at_other + stationarity(elsewhere.features, prior_precision=0.7, sigma=0.3).gap, first, rtol=1e-9)


def test_scaling_the_jacobian_and_the_prior_together_changes_no_determinant():
    case = regression()
    scaled = replace(case, f=lambda p, x: 3 * case.f(p, x))
    for estimator in ("full", "output", "kfac"):
        one = evidence_of(case.features, **case.options(0.5), estimator=estimator)
        other = evidence_of(scaled.features, **case.options(4.5), estimator=estimator)
        assert_allclose(one.complexity, other.complexity, rtol=1e-10)


def test_permutations_leave_the_exact_evidence():
    case, order = classes(), np.array([4, 0, 6, 2, 1, 5, 3])
    expected = evidence_of(case.features, **case.options(0.8)).total
    classes_moved = np.array([2, 0, 1])  # output i of the new network is output classes_moved[i]
    permuted = [
        replace(case, x=case.x[order], y=case.y[order]),
        replace(case, f=lambda p, x: case.f(p, x)[:, classes_moved], y=np.argsort(classes_moved)[case.y]),
        replace(case, params=_hidden_units_permuted(case.params)),
    ]
    for other in permuted:
        assert_allclose(evidence_of(other.features, **case.options(0.8)).total, expected, rtol=1e-10)


def _hidden_units_permuted(params):
    first, second = params.values()
    order = np.roll(np.arange(len(first["bias"])), 1)
    return dict(
        zip(
            params,
            (
                {"weight": first["weight"][:, order], "bias": first["bias"][order]},
                {"weight": second["weight"][order], "bias": second["bias"]},
            ),
            strict=True,
        )
    )


@pytest.mark.parametrize("case", [classes(), regression()], ids=["classes", "regression"])
def test_three_copies_of_the_data_are_three_times_the_curvature(case):
    copies = replace(case, x=np.concatenate([case.x] * 3), y=np.concatenate([case.y] * 3))
    thrice = evidence_of(case.features, **case.options(0.8), temperature=1 / 3)
    found = evidence_of(copies.features, **case.options(0.8))
    assert_allclose(found.complexity, thrice.complexity, rtol=1e-10)
    assert_allclose(found.fit, thrice.fit, rtol=1e-10)


def test_limits_of_large_and_small_priors():
    case = classes()
    jacobian, curvature = case.jacobian, case.curvature
    trace = np.einsum("ncp,ncd,ndp->", jacobian, curvature, jacobian)
    assert_allclose(-2e9 * evidence_of(case.features, **case.options(1e9)).complexity, trace, rtol=1e-7)
    gammas = [gradient_of(case.features, **case.options(delta)).gamma for delta in (1e2, 1.0, 1e-2, 1e-8)]
    assert (np.diff(gammas) > 0).all()
    rank = len(case.x) * (case.outputs.shape[1] - 1)
    assert_allclose(gammas[-1], rank, rtol=1e-4)
    # dld/dlog(1/δ) = γ
    step = 1e-4
    ahead, behind = (evidence_of(case.features, **case.options(np.exp(sign * step))).complexity for sign in (-1, 1))
    assert_allclose(-2 * (ahead - behind) / (2 * step), gammas[1], rtol=1e-6)


def test_a_sweep_is_the_same_evidence_at_each_point():
    case, deltas, sigmas = regression(), [0.01, 1.0, 30.0], [0.2, 0.9]
    kinds = {"full": {}, "block": {}, "diag": {}, "kfac": {}, "subset": {"blocks": [[0, 1], [2, 3, 4], [5]]}}
    for estimator, options in kinds.items():
        swept = evidence_sweep(case.features, deltas, sigmas=sigmas, estimator=estimator, **options)
        for (i, delta), (j, sigma) in itertools.product(enumerate(deltas), enumerate(sigmas)):
            at = {"prior_precision": delta, "sigma": sigma, "estimator": estimator, **options}
            point, gradient = evidence_of(case.features, **at), gradient_of(case.features, **at)
            for name in ("fit", "weight_cost", "complexity", "total"):
                assert_allclose(swept[name][i, j], getattr(point, name), rtol=1e-9)
            assert_allclose(swept["effective_parameters"][i, j], gradient.gamma, rtol=1e-8)


def test_the_public_function_reads_and_computes():
    case = classes()
    found = evidence(
        case.f, case.params, case.x, case.y, likelihood="categorical", prior_precision=0.7, estimator="block"
    )
    assert found == evidence_of(case.features, prior_precision=0.7, estimator="block")
    assert_allclose(found.per_example, found.total / 7)


def test_parts_that_are_read_alone_are_those_cut_from_the_whole(monkeypatch):
    case = classes()
    options = case.options(0.8) | {"estimator": "subset", "blocks": [[0, 2, 4], [1, 3, 5]]}
    for outputs in (None, "whitened", "paper"):
        cut, alone = case.features.take(range(6)), case.features.take(range(6))
        alone.__dict__.pop("grams", None)
        expected = evidence_of(cut, **options, outputs=outputs)
        with monkeypatch.context() as patch:
            patch.setattr("ntk_explorer.marglik.features.HELD_ROWS", 0)
            read = evidence_of(alone, **options, outputs=outputs)
        assert "grams" not in alone.__dict__
        assert_allclose(read.complexity, expected.complexity, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cnn", "rescaled", "tokens"])
def test_networks_of_other_kinds(kind):
    """With convolutions, with unused and shared parameters and a scan, or of whole numbers."""
    network = registered("cnn") if kind == "cnn" else next(c for c in handwritten() if c.name == kind)
    y = np.random.default_rng(1).integers(0, 3, 4)
    case = EvidenceCase(network.f, network.params, np.asarray(network.x1), y, "categorical", None)
    each = np.full(len(case.weights), 0.7)
    expected = log_det(case.hessian + np.diag(each)) - np.log(each).sum()
    for form in ("ntk", "parametric"):
        found = evidence_of(case.features, prior_precision=0.7, form=form)
        assert_allclose(-2 * found.complexity, expected, rtol=1e-9)


def test_float32_parameters_are_read_in_double_precision():
    case = regression()
    rounded = jax.tree.map(lambda leaf: jnp.asarray(leaf, "float32"), case.params)
    with jax.enable_x64(False):
        found = evidence(
            case.f, rounded, case.x, case.y, likelihood="gaussian", sigma=case.sigma, prior_precision=np.float32(0.5)
        )
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, "float64"), rounded)
    again = replace(case, params=exact)
    assert_allclose(found.total, evidence_of(again.features, **case.options(0.5)).total, rtol=1e-12)


def test_reading_in_float32_is_accurate_to_its_digits():
    case = classes()
    single = whitened_features(case.f, case.params, case.x, case.y, likelihood="categorical", dtype="float32")
    for estimator in ("full", "block", "diag", "kfac"):
        one, other = (evidence_of(f, prior_precision=0.7, estimator=estimator).total for f in (case.features, single))
        assert one != other
        assert_allclose(one, other, rtol=2e-4)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 2e-4)])
def test_an_accelerator_finds_the_evidence_of_the_host(dtype, tolerance):
    host, accelerator = jax.devices("cpu")[0], jax.devices()[0]
    if accelerator.platform == host.platform:
        pytest.skip("JAX computes on the host here")
    for case, estimator in itertools.product((classes(), regression()), ("full", "block", "diag", "kfac", "output")):
        found = []
        for device in (host, accelerator):
            with jax.default_device(device):
                args = {"likelihood": case.likelihood, "dtype": dtype, "estimator": estimator}
                found.append(evidence(case.f, case.params, case.x, case.y, **case.options(0.7), **args).total)
        assert_allclose(*found, rtol=tolerance)


def test_a_step_taken_again_is_the_same_to_the_last_bit():
    case = regression()
    state = {"prior_precision": case.per_tensor(DELTAS), "sigma": case.sigma}
    for estimator in ("full", "output"):
        ends = []
        for _ in range(2):
            # Read anew each time: a rewound step has no features left.
            features = whitened_features(case.f, case.params, case.x, case.y, likelihood="gaussian")
            step = mackay_step(features, **state, estimator=estimator)
            ends.append((step.prior_precision, step.sigma, step.before.evidence))
        assert ends[0] == ends[1]
