"""Gradients in the hyperparameters, effective parameters and MacKay's fixed points (V8–V10)."""

import jax
import numpy as np
import pytest
from evidence_cases import classes, many_examples, regression
from numpy.testing import assert_allclose

from ntk_explorer.errors import InvalidInput
from ntk_explorer.marglik import ESTIMATORS
from ntk_explorer.marglik.evidence import evidence_gradient, evidence_of, gradient_of
from ntk_explorer.marglik.hyperparameters import mackay_step

CASES = [classes(), regression(), *many_examples()]
NAMES = ["classes", "regression", "many classes", "many regression"]
STEP = 1e-4


def options_of(estimator, n):
    return {"blocks": [list(range(0, n, 2)), list(range(1, n, 2))]} if estimator.startswith("subset") else {}


def differences(case, tree, sigma, **options):
    """Central differences of L in every log δ and in log σ."""
    values, structure = jax.tree.flatten(tree)

    def total(logs, log_sigma):
        prior = structure.unflatten([float(v) for v in np.exp(logs)])
        scale = None if sigma is None else float(np.exp(log_sigma))
        return evidence_of(case.features, prior_precision=prior, sigma=scale, **options).total

    logs, log_sigma = np.log(values), 0.0 if sigma is None else np.log(sigma)
    found = []
    for i in range(len(logs)):
        move = STEP * np.eye(len(logs))[i]
        found.append((total(logs + move, log_sigma) - total(logs - move, log_sigma)) / (2 * STEP))
    return found, (total(logs, log_sigma + STEP) - total(logs, log_sigma - STEP)) / (2 * STEP)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradients_equal_central_differences(case, estimator):
    """Of Kronecker factors too, whose σ-gradient loses γ in a released library."""
    options = {"estimator": estimator, **options_of(estimator, len(case.x))}
    for tree in (0.8, {name: 0.5 + i for i, name in enumerate(case.params)}, case.per_tensor([0.6, 1.7, 0.9, 2.3])):
        found = gradient_of(case.features, **case.options(tree), **options)
        in_delta, in_sigma = differences(case, tree, case.sigma, **options)
        assert jax.tree.structure(found.log_prior_precision) == jax.tree.structure(tree)
        assert_allclose(jax.tree.leaves(found.log_prior_precision), in_delta, rtol=1e-6, atol=1e-6)
        if case.sigma is None:
            assert found.log_sigma is None
        else:
            assert_allclose(found.log_sigma, in_sigma, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("estimator", ["full", "ntk", "block", "diag", "subset", "subset_output", "subset_diag"])
@pytest.mark.parametrize("case", CASES[1:3], ids=NAMES[1:3])
def test_gradients_of_single_precisions(case, estimator):
    each = np.random.default_rng(4).uniform(0.5, 2, len(case.weights))
    options = {"estimator": estimator, **options_of(estimator, len(case.x))}
    found = gradient_of(case.features, **case.options(each), **options).log_prior_precision
    for i in (0, 5, len(each) - 1):
        ahead, behind = (
            evidence_of(case.features, **case.options(each * np.exp(s * STEP * np.eye(len(each))[i])), **options).total
            for s in (1, -1)
        )
        assert_allclose(found[i], (ahead - behind) / (2 * STEP), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_effective_parameters_two_ways(case):
    tree = case.per_tensor([0.6, 1.7, 0.9, 2.3])
    by_rows, by_parameters = (
        gradient_of(case.features, **case.options(tree), form=form) for form in ("ntk", "parametric")
    )
    assert_allclose(
        jax.tree.leaves(by_rows.effective_parameters), jax.tree.leaves(by_parameters.effective_parameters), rtol=1e-9
    )
    # P_l − δ_l tr[((H + P₀)⁻¹)_ll]
    sizes = [np.size(leaf) for leaf in jax.tree.leaves(case.params)]
    each = np.repeat([0.6, 1.7, 0.9, 2.3], sizes)
    inverse = np.diag(np.linalg.inv(case.hessian + np.diag(each)))
    dense = [part.stop - part.start - (each[part] * inverse[part]).sum() for part in case.slices]
    assert_allclose(jax.tree.leaves(by_rows.effective_parameters), dense, rtol=1e-9)
    assert 0 <= by_rows.gamma <= min(len(case.weights), case.outputs.size)
    scaled = case.hessian / np.sqrt(np.outer(each, each))
    values = np.maximum(np.linalg.eigvalsh(scaled), 0)
    assert_allclose(by_rows.gamma, (values / (1 + values)).sum(), rtol=1e-9)


@pytest.mark.parametrize("estimator", ["full", "kfac"])
@pytest.mark.parametrize("case", CASES[2:], ids=NAMES[2:])
def test_mackays_steps_end_where_the_gradient_vanishes(case, estimator):
    prior, sigma = case.per_tensor([1.0] * 4), case.sigma
    for _ in range(300):
        step = mackay_step(case.features, prior_precision=prior, sigma=sigma, estimator=estimator)
        prior, sigma = step.prior_precision, step.sigma
        if max(map(abs, jax.tree.leaves(step.before.log_prior_precision)), default=0) < 1e-7:
            break
    end = gradient_of(case.features, prior_precision=prior, sigma=sigma, estimator=estimator)
    assert_allclose(jax.tree.leaves(end.effective_parameters), jax.tree.leaves(end.penalties), rtol=1e-6)
    assert_allclose(jax.tree.leaves(end.log_prior_precision), 0, atol=1e-6)
    if sigma is not None:
        assert_allclose(case.features.squared_error, sigma**2 * (case.outputs.size - end.gamma), rtol=1e-8)
        assert abs(end.log_sigma) < 1e-6
    assert end.evidence.total > evidence_of(case.features, **case.options(1.0), estimator=estimator).total


def test_mackays_step_keeps_what_nothing_determines():
    case = regression()
    params = {"net": case.params, "unused": np.ones(3), "zero": np.zeros(2)}

    def f(p, x):
        return case.f(p["net"], x) + 0 * p["zero"][0]

    prior = {"net": 1.0, "unused": 2.0, "zero": 3.0}
    from ntk_explorer.marglik.features import whitened_features

    features = whitened_features(f, params, case.x, case.y, likelihood="gaussian")
    step = mackay_step(features, prior_precision=prior, sigma=0.4)
    assert step.prior_precision["unused"] == 2.0
    assert step.prior_precision["zero"] == 3.0
    assert step.prior_precision["net"] != 1.0
    with pytest.raises(InvalidInput, match="temperature 1"):
        mackay_step(features, prior_precision=prior, sigma=0.4, temperature=2.0)


def test_cuts_between_parameters_may_leave_no_noise():
    """γ of a partition of the data never exceeds NC; that of blocks of parameters does."""
    case = regression()
    for estimator in ("block", "diag", "kfac"):
        assert gradient_of(case.features, **case.options(1e-3), estimator=estimator).gamma > case.outputs.size
        with pytest.raises(InvalidInput, match="leave no noise to 12 targets"):
            mackay_step(case.features, **case.options(1e-3), estimator=estimator)
    for estimator in ("full", "output"):
        assert mackay_step(case.features, **case.options(1e-3), estimator=estimator).before.gamma < case.outputs.size


def test_temperature_divides_fit_and_curvature():
    case = regression()
    cold = gradient_of(case.features, **case.options(0.5), temperature=0.5)
    ahead, behind = (
        evidence_of(case.features, prior_precision=0.5, sigma=case.sigma * np.exp(s * STEP), temperature=0.5).total
        for s in (1, -1)
    )
    assert_allclose(cold.log_sigma, (ahead - behind) / (2 * STEP), rtol=1e-6)
    assert_allclose(cold.evidence.fit, 2 * case.fit, rtol=1e-12)


def test_the_public_gradient():
    case = classes()
    found = evidence_gradient(case.f, case.params, case.x, case.y, likelihood="categorical", prior_precision=0.9)
    assert_allclose(found.log_prior_precision, gradient_of(case.features, prior_precision=0.9).log_prior_precision)
