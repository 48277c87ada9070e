"""Evidences of scikit-learn for linear models with Gaussian noise (V6)."""

import numpy as np
from evidence_cases import linear, linear_layer
from numpy.testing import assert_allclose
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct
from sklearn.linear_model import BayesianRidge

from ntk_explorer.marglik.evidence import evidence


def test_gaussian_process_regressor_has_the_same_marginal_likelihood():
    case, delta, sigma = linear(), 0.7, 0.3
    kernel = ConstantKernel(1 / delta, "fixed") * DotProduct(sigma_0=0.0, sigma_0_bounds="fixed")
    peer = GaussianProcessRegressor(kernel, alpha=sigma**2, optimizer=None).fit(case.x, case.y[:, 0])
    found = evidence(case.f, case.params, case.x, case.y, likelihood="gaussian", prior_precision=delta, sigma=sigma)
    assert_allclose(found.total, peer.log_marginal_likelihood_value_, rtol=1e-10)


def test_bayesian_ridge_ends_at_the_same_score_and_fixed_point():
    case = linear(n=40)
    flat = {"alpha_1": 0, "alpha_2": 0, "lambda_1": 0, "lambda_2": 0}
    peer = BayesianRidge(fit_intercept=False, compute_score=True, tol=1e-12, max_iter=2000, **flat).fit(
        case.x, case.y[:, 0]
    )
    delta, sigma = float(peer.lambda_), float(peer.alpha_**-0.5)
    mode = np.linalg.solve(case.x.T @ case.x + delta * sigma**2 * np.eye(3), case.x.T @ case.y)
    found = evidence(
        linear_layer, {"weight": mode}, case.x, case.y, likelihood="gaussian", prior_precision=delta, sigma=sigma
    )
    assert_allclose(found.total, peer.scores_[-1], rtol=1e-9)
