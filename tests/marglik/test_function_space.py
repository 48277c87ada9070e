"""Predictions of the linearised network in function space (V16)."""

import jax
import numpy as np
import pytest
from evidence_cases import classes, linear, regression
from numpy.testing import assert_allclose
from reference import dense_jacobian, quick

from ntk_explorer.errors import InvalidInput
from ntk_explorer.marglik.predictive import predictive_features

NEW = np.random.default_rng(9).normal(size=(4, 3))


@pytest.mark.parametrize("case", [classes(), regression()], ids=["classes", "regression"])
def test_covariances_equal_those_of_the_weights(case):
    each = np.random.default_rng(1).uniform(0.5, 2, len(case.weights))
    per_tensor = np.repeat([0.6, 1.7, 0.9, 2.3], [part.stop - part.start for part in case.slices])
    jacobian = np.asarray(quick(lambda p, x: dense_jacobian(case.f, p, x))(case.params, NEW))
    prepared = predictive_features(case.features, NEW)
    for prior, precisions in ((case.per_tensor([0.6, 1.7, 0.9, 2.3]), per_tensor), (each, each)):
        covariance = np.linalg.inv(case.hessian + np.diag(precisions))
        found = prepared.predict(**case.options(prior))
        assert_allclose(
            found.covariance, np.einsum("mcp,pq,mdq->mcd", jacobian, covariance, jacobian), rtol=1e-9, atol=1e-11
        )
        assert_allclose(found.mean, case.f(case.params, NEW), rtol=1e-10)
        gradient = case.gradient_of_fit - precisions * case.weights
        moved = found.mean + jacobian @ covariance @ gradient
        assert_allclose(prepared.predict(**case.options(prior), corrected=True).mean, moved, rtol=1e-8, atol=1e-9)
        assert_allclose(found.total_deviation**2, found.deviation**2 + (case.sigma or 0) ** 2, rtol=1e-12)


def test_removing_data_never_lowers_the_variance():
    for case in (classes(), regression()):
        whole = predictive_features(case.features, NEW).predict(**case.options(0.8))
        fewer = predictive_features(case.features.take([0, 2, 3, 5]), NEW).predict(**case.options(0.8))
        assert (fewer.deviation >= whole.deviation - 1e-12).all()
        assert (fewer.deviation > whole.deviation + 1e-6).any()


def test_a_linear_model_predicts_like_bayesian_ridge():
    case = linear()
    covariance = np.linalg.inv(case.x.T @ case.x / 0.3**2 + 0.7 * np.eye(3))
    found = predictive_features(case.features, NEW).predict(prior_precision=0.7, sigma=0.3)
    assert_allclose(found.covariance[:, 0, 0], np.einsum("mp,pq,mq->m", NEW, covariance, NEW), rtol=1e-9)
    assert_allclose(found.mean, NEW @ case.params["weight"], rtol=1e-12)


def test_class_probabilities():
    case = classes()
    prepared = predictive_features(case.features, NEW)
    certain, open_ = (prepared.predict(prior_precision=delta) for delta in (1e8, 0.5))
    plain = np.exp(certain.mean - certain.mean.max(axis=1, keepdims=True))
    plain /= plain.sum(axis=1, keepdims=True)
    assert_allclose(certain.probit(), plain, atol=1e-4)
    assert_allclose(certain.sampled(jax.random.key(0), 200), plain, atol=1e-3)
    for probabilities in (open_.probit(), open_.sampled(jax.random.key(0))):
        assert_allclose(probabilities.sum(axis=1), 1)
        # what is not known makes predictions less certain: on the whole, since outputs are not equally open
        assert probabilities.max(axis=1).mean() < plain.max(axis=1).mean() - 0.05


def test_predictions_need_all_outputs():
    with pytest.raises(InvalidInput, match="all outputs"):
        predictive_features(classes().features.take(range(7), 0), NEW)
