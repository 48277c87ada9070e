"""What bounds what, and what is no bound (V3, V5, V12–V15 and the traps)."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evidence_cases import EvidenceCase, classes, linear, log_det, many_examples, regression
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from ntk_explorer.marglik import ESTIMATORS
from ntk_explorer.marglik.estimators import method_of, partition_of, similarity
from ntk_explorer.marglik.evidence import evidence_of, gradient_of
from ntk_explorer.marglik.features import whitened_features
from ntk_explorer.marglik.hyperparameters import evidence_sweep, slack

CASES = [classes(), regression(), *many_examples()]
NAMES = ["classes", "regression", "many classes", "many regression"]
SLACK = 1e-9


def halves(n):
    return [list(range(0, n, 2)), list(range(1, n, 2))]


def refined(blocks):
    return [part for block in blocks for part in (block[: len(block) // 2], block[len(block) // 2 :]) if part]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
@pytest.mark.parametrize("delta", [0.05, 1.0, 50.0])
def test_the_chain_of_bounds(case, delta):
    def total(estimator, **options):
        found = evidence_of(case.features, **case.options(delta), estimator=estimator, **options)
        assert found.is_bound
        return found.total

    exact, blocks = total("full"), halves(len(case.x))
    assert_allclose(total("ntk"), exact, rtol=1e-10)
    assert total("diag") <= total("block") + SLACK <= exact + 2 * SLACK
    # refining never raises the value, and one block is equality
    fine = refined(blocks)
    assert total("subset", blocks=fine) <= total("subset", blocks=blocks) + SLACK <= exact + 2 * SLACK
    assert_allclose(total("subset", blocks=[range(len(case.x))]), exact, rtol=1e-10)
    assert total("subset_output", blocks=blocks) <= total("subset", blocks=blocks) + SLACK
    assert total("subset_output", blocks=blocks) <= total("output") + SLACK <= exact + 2 * SLACK
    assert total("subset_block", blocks=blocks) <= total("subset", blocks=blocks) + SLACK
    assert total("subset_block", blocks=blocks) <= total("block") + SLACK
    assert total("subset_diag", blocks=blocks) <= total("diag") + SLACK


@given(st.lists(st.floats(-4, 4), min_size=4, max_size=4), st.permutations(range(7)), st.integers(1, 7))
def test_no_partition_exceeds_the_exact_evidence_at_any_prior(logs, order, size):
    case = classes()
    options = case.options(case.per_tensor(np.exp(logs)))
    exact = evidence_of(case.features, **options).total
    blocks = [order[i : i + size] for i in range(0, 7, size)]
    for estimator in ("subset", "subset_output", "subset_block", "subset_diag"):
        found = evidence_of(case.features, **options, estimator=estimator, blocks=blocks)
        assert found.total <= exact + SLACK


@pytest.mark.parametrize("case", [CASES[2], CASES[1]], ids=["many classes", "regression"])
def test_forms_agree_subset_by_subset(case):
    for block in halves(len(case.x)):
        part = case.features.take(block)
        one, other = (evidence_of(part, **case.options(0.6), form=form) for form in ("parametric", "ntk"))
        assert_allclose(one.complexity, other.complexity, rtol=1e-9)


def test_every_card_says_whether_it_is_a_bound():
    case = classes()
    for name, card in ESTIMATORS.items():
        options = {"blocks": halves(7)} if name.startswith("subset") else {}
        found = method_of(case.features, name, options)
        assert found.is_bound is card.extras["is_bound"]
        assert card.equation
        assert card.cost
        assert any(character.isdigit() for character in card.reference)
    assert {name for name, card in ESTIMATORS.items() if not card.extras["is_bound"]} == {"kfac", "subset_kfac"}


def test_kfac_is_above_the_truth_in_the_scalar_counterexample():
    """Squared inputs and sensitivities (0.1, 2) each: exact log 5.01, Kronecker factors log 3.205."""
    x = np.sqrt([[0.1, 0.1], [2.0, 2.0]])
    case = EvidenceCase(_product, {"w": np.ones((1, 1))}, x, np.zeros((2, 1)), "gaussian", 1.0)
    exact, approximate = (evidence_of(case.features, **case.options(1.0), estimator=name) for name in ("full", "kfac"))
    assert_allclose(-2 * exact.complexity, np.log(5.01), rtol=1e-12)
    assert_allclose(-2 * approximate.complexity, np.log(3.205), rtol=1e-12)
    assert approximate.total > exact.total
    assert not approximate.is_bound


def _product(params, x):
    return (x[:, :1] @ params["w"]) * x[:, 1:]


def test_kfac_of_one_example_is_block_diagonal_and_of_one_layer_exact():
    one = classes(n=1)
    pair = [evidence_of(one.features, **one.options(0.4), estimator=name).complexity for name in ("kfac", "block")]
    assert_allclose(*pair, rtol=1e-10)
    for outputs in (1, 2):
        case = linear(outputs=outputs)
        pair = [evidence_of(case.features, **case.options(0.4), estimator=name).complexity for name in ("kfac", "full")]
        assert_allclose(*pair, rtol=1e-10)


def test_kfac_of_dense_layers_follows_the_convention():
    """B = Σ_n Σ_c g gᵀ and A = (1/M) Σ_n a aᵀ for weights, the exact block for biases, on all data and on subsets."""
    case, delta = classes(), 0.7
    roots = np.stack([_root(row) for row in case.probabilities])
    whitened = np.einsum("ndc,ncp->ndp", roots, case.jacobian)
    first = case.features.params["dense_0"]
    hidden = np.tanh(case.x @ first["weight"] + first["bias"])
    names = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_flatten_with_path(case.params)[0]
    ]
    inputs = {"dense_0/weight": case.x, "readout/weight": hidden}

    def log_determinant(rows):
        total = 0.0
        for name, part in zip(names, case.slices, strict=True):
            phi = whitened[rows][:, :, part]
            if not name.endswith("weight"):
                flat = phi.reshape(-1, phi.shape[2])
                total += log_det(np.eye(flat.shape[1]) + flat.T @ flat / delta)
                continue
            bias = case.slices[names.index(name.replace("weight", "bias"))]
            g = whitened[rows][:, :, bias].reshape(-1, bias.stop - bias.start)  # a bias' gradient is the sensitivity
            a = inputs[name][rows]
            total += log_det(np.eye(a.shape[1] * g.shape[1]) + np.kron(g.T @ g, a.T @ a / len(a)) / delta)
        return total

    blocks = halves(7)
    whole = evidence_of(case.features, **case.options(delta), estimator="kfac")
    parts = evidence_of(case.features, **case.options(delta), estimator="subset_kfac", blocks=blocks)
    assert not whole.is_bound
    assert not parts.is_bound
    assert_allclose(-2 * whole.complexity, log_determinant(list(range(7))), rtol=1e-9)
    assert_allclose(-2 * parts.complexity, sum(log_determinant(block) for block in blocks), rtol=1e-9)


def _root(p):
    return np.diag(np.sqrt(p)) - np.outer(np.sqrt(p), p)


def test_kfac_of_a_convolution_divides_by_its_positions():
    """One bias-free convolution and a sum over positions: A sums over positions, B is their mean."""
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(5, 4, 4, 2)), rng.normal(size=(2, 2, 2, 3))
    case = EvidenceCase(_convolution, {"w": weight}, x, rng.normal(size=(5, 3)), "gaussian", 0.8)
    windows = np.stack([x[:, i : i + 3, j : j + 3] for i, j in itertools.product(range(2), range(2))], axis=3)
    a = windows.reshape(5 * 9, 8)
    factor_a, factor_b = a.T @ a / 5, np.eye(3) * 5 / 0.8**2  # sensitivities are unit vectors at all 9 positions
    expected = log_det(np.eye(24) + np.kron(factor_b, factor_a) / 0.5)
    found = evidence_of(case.features, **case.options(0.5), estimator="kfac")
    assert_allclose(-2 * found.complexity, expected, rtol=1e-9)
    assert not found.is_bound
    expected = log_det(np.eye(24) + case.hessian / 0.5)
    for form in ("ntk", "parametric"):
        found = evidence_of(case.features, **case.options(0.5), form=form)
        assert_allclose(-2 * found.complexity, expected, rtol=1e-9)


def _convolution(params, x):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, params["w"], (1, 1), "VALID", dimension_numbers=numbers).sum((1, 2))


@pytest.mark.parametrize("case", CASES[:2], ids=NAMES[:2])
def test_slack_is_a_total_correlation(case):
    """Non-negative, falling in δ and σ, a quarter of the squared kernel between parts where that is small."""
    blocks = halves(len(case.x))
    deltas = np.logspace(-2, 3, 12)

    def slacks(estimator, sigma=case.sigma, **options):
        at = {"sigma": sigma, "estimator": estimator, **options}
        return np.array([slack(case.features, prior_precision=delta, **at) for delta in deltas])

    for estimator, options in {"subset": {"blocks": blocks}, "output": {}, "block": {}, "diag": {}}.items():
        found = slacks(estimator, **options)
        assert (found >= -SLACK).all()
        assert (np.diff(found) <= SLACK).all()
        if case.sigma:
            assert (slacks(estimator, sigma=2 * case.sigma, **options) <= found + SLACK).all()
    delta = 1e5
    matrix = case.features.whole.kernel(method_prior(case, delta))[0] / (case.sigma or 1) ** 2
    same = np.zeros_like(matrix, bool)
    for rows in case.features.stacks(partition_of(case.features, blocks=blocks)):
        for part in rows.rows:
            same[np.ix_(part, part)] = True
    expected = (np.where(same, 0, matrix) ** 2).sum() / 4
    assert_allclose(slack(case.features, **case.options(delta), estimator="subset", blocks=blocks), expected, rtol=1e-2)


def method_prior(case, delta):
    from ntk_explorer.marglik.priors import resolve_prior

    return resolve_prior(delta, case.params)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_bounds_prefer_priors_at_least_as_strong(case):
    deltas = np.logspace(-3, 4, 57)
    sigmas = None if case.sigma is None else [case.sigma]

    def best(estimator, **options):
        swept = evidence_sweep(case.features, deltas, sigmas=sigmas, estimator=estimator, **options)
        return deltas[int(np.argmax(swept["total"].values.ravel()))]

    exact = best("full")
    for estimator in ("block", "diag", "output"):
        assert best(estimator) >= exact
    assert best("subset", blocks=halves(len(case.x))) >= exact


def test_gaussian_outputs_are_the_same_whitened_or_coded():
    case = regression()
    pair = [
        evidence_of(case.features, **case.options(0.5), estimator="output", outputs=kind)
        for kind in ("whitened", "paper")
    ]
    assert pair[0] == pair[1]
    assert pair[1].is_bound


def _two_logits(params, x):
    return x @ jnp.stack([params, -params], axis=1)


def test_coded_single_outputs_are_no_bound_in_the_two_logit_example():
    """Logits (x, −x), one datum, p = ½, δ = 1: exact log 2, coded 2·log 1.25, whitened 2·log 1.5."""
    features = whitened_features(_two_logits, np.zeros(1), np.ones((1, 1)), np.array([0]), likelihood="categorical")
    expected = {
        ("full", None): np.log(2),
        ("output", "paper"): 2 * np.log(1.25),
        ("output", "whitened"): 2 * np.log(1.5),
    }
    for (estimator, outputs), value in expected.items():
        options = {} if outputs is None else {"outputs": outputs}
        found = evidence_of(features, prior_precision=1.0, estimator=estimator, **options)
        assert_allclose(-2 * found.complexity, value, rtol=1e-12)
        assert found.is_bound is (outputs != "paper")


def test_trained_classifiers_break_the_coded_bound_and_never_the_whitened_one():
    case = classes()
    trained = replace(case, params=_trained(case, delta=0.3))
    violations = 0
    for delta in (0.1, 1.0, 10.0, 100.0):
        exact = evidence_of(trained.features, prior_precision=delta).total
        coded, whitened = (
            evidence_of(trained.features, prior_precision=delta, estimator="output", outputs=kind)
            for kind in ("paper", "whitened")
        )
        assert whitened.total <= exact + SLACK
        assert not coded.is_bound
        violations += coded.total > exact + 1e-6
    assert violations > 0


def _trained(case, *, delta, steps=1500):
    def loss(params):
        log_p = jax.nn.log_softmax(case.f(params, case.x))
        squares = sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(params))
        return -log_p[jnp.arange(len(case.y)), case.y].sum() + delta * squares / 2

    step = jax.jit(lambda params: jax.tree.map(lambda w, g: w - 0.02 * g, params, jax.grad(loss)(params)))
    params = case.params
    for _ in range(steps):
        params = step(params)
    return jax.tree.map(np.asarray, params)


def test_a_shift_of_all_logits_changes_the_coded_values_alone():
    """One function of its own parameters, added to every logit, changes no probability."""
    case = classes()
    extended = {"net": case.params, "shift": np.array([[0.4], [-1.0], [0.7]])}
    shifted = replace(case, f=_Shifted(case.f), params=extended)
    for estimator in ("full", "block", "diag", "output", "subset"):
        options = {"blocks": halves(7)} if estimator == "subset" else {}
        one, other = (
            evidence_of(c.features, prior_precision=0.8, estimator=estimator, **options) for c in (case, shifted)
        )
        assert_allclose(one.complexity, other.complexity, rtol=1e-9)
    one, other = (
        evidence_of(c.features, prior_precision=0.8, estimator="output", outputs="paper") for c in (case, shifted)
    )
    assert one.complexity - other.complexity > 0.1


class _Shifted:
    def __init__(self, f):
        self.f = f

    def __call__(self, params, x):
        outputs = self.f(params["net"], x)
        return outputs + jnp.broadcast_to(x @ params["shift"], outputs.shape)


def test_single_outputs_of_cheap_structures_are_of_the_chosen_output():
    """The released code ignores which output was drawn; here each contributes its own."""
    case = regression()
    alone = [case.features.take(range(6), c) for c in range(2)]
    for estimator in ("kfac", "diag", "block"):
        each = [evidence_of(part, **case.options(0.5), estimator=estimator).complexity for part in alone]
        assert abs(each[0] - each[1]) > 1e-3
        blocks = [range(6)]
        whole = evidence_of(
            case.features, **case.options(0.5), estimator=f"subset_{estimator}", blocks=blocks, outputs="whitened"
        )
        assert_allclose(whole.complexity, sum(each), rtol=1e-9)


def test_groupings_of_the_data():
    case = classes()
    key = jax.random.key(1)
    by_class = partition_of(case.features, size=2, grouping="class", key=key)
    labels = [case.y[i] for block in by_class.blocks for i in block]
    assert [label for label, _ in itertools.groupby(labels)] == list(dict.fromkeys(labels))
    assert sorted(i for block in by_class.blocks for i in block) == list(range(7))
    drawn = partition_of(case.features, size=3, key=key)
    assert drawn == partition_of(case.features, size=3, key=key)
    assert sorted(map(len, drawn.blocks)) == [1, 3, 3]
    clustered = partition_of(case.features, size=2, grouping="clustered")
    first = clustered.blocks[0]
    strength = similarity(case.features) * (1 - np.eye(7))
    assert first[0] == strength.sum(axis=1).argmax()
    assert first[1] == strength[first[0]].argmax()


def test_near_duplicates_belong_together():
    """Clusters lose less than the partition that separates each example from its copy."""
    case = classes()
    noise = 0.01 * np.random.default_rng(2).normal(size=case.x.shape)
    doubled = replace(case, x=np.concatenate([case.x, case.x + noise]), y=np.concatenate([case.y, case.y]))
    clustered = slack(doubled.features, prior_precision=1.0, estimator="subset", size=2, grouping="clustered")
    apart = slack(
        doubled.features, prior_precision=1.0, estimator="subset", blocks=[[i, 7 + (i + 1) % 7] for i in range(7)]
    )
    assert clustered < apart


def test_gradients_of_bounds_add_up_over_their_parts():
    case, blocks = regression(), halves(6)
    whole = gradient_of(case.features, **case.options(0.5), estimator="subset", blocks=blocks)
    parts = [gradient_of(case.features.take(block), **case.options(0.5)) for block in blocks]
    assert_allclose(whole.gamma, sum(part.gamma for part in parts), rtol=1e-10)
