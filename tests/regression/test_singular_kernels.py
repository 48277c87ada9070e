"""Kernels that cannot be inverted are refused with the reason, and the remedies given do help."""

import numpy as np
import pytest
from regression_by_hand import task

from ntk_explorer.errors import InvalidInput, NotConverged, TooLarge
from ntk_explorer.kernels import KERNELS
from ntk_explorer.regression.regression import coefficients, kernel_regression
from ntk_explorer.regression.solve import solve
from ntk_explorer.regression.systems import read_system

SOLVERS = ("cholesky", "cg")


def with_a_copy(dtype="float64", blocks=False):
    """Example 12 repeats example 4, with another target."""
    known = task()
    rows = [*range(12), 4]
    train = known.train[np.ix_(rows, rows)].astype(dtype)
    return train if blocks else KERNELS["pntk"].extras["from_blocks"](train), np.vstack([known.y, [[7.0, 8.0, 9.0]]])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("blocks", [False, True])
def test_two_equal_examples_are_named(dtype, blocks, solver):
    train, y = with_a_copy(dtype, blocks)
    with pytest.raises(InvalidInput, match=r"examples 4 and 12 are the same to it. Remove one of them, .*set a r") as e:
        coefficients(train, y, solver=solver)
    assert ("float64" in str(e.value)) == (dtype == "float32")  # no advice to do what was done


def test_the_remedies_help():
    train, y = with_a_copy()
    assert np.isfinite(coefficients(train, y, ridge=1e-6)).all()
    assert np.isfinite(coefficients(train[:12, :12], y[:12])).all()


def test_a_rank_that_is_too_low_is_said():
    """Ten parameters span ten directions, whatever the number of examples."""
    gradients = np.random.default_rng(0).normal(size=(15, 10))
    with pytest.raises(InvalidInput, match=r"5 of 15 are no more than rounding. .* wider network"):
        coefficients(gradients @ gradients.T, np.ones((15, 1)))


def test_an_indefinite_matrix_is_no_kernel():
    for solver in SOLVERS:
        with pytest.raises(InvalidInput, match="smallest eigenvalue is -"):
            coefficients(np.diag([1.0, -2.0]), np.ones((2, 1)), solver=solver)


def test_iterations_that_did_not_converge_are_an_error_and_never_an_answer(monkeypatch):
    known = task(40, 5, 1, 41)
    monkeypatch.setattr("ntk_explorer.regression.solve.ITERATIONS", 3)
    with pytest.raises(NotConverged, match="After 3 iterations of conjugate gradients the residual is"):
        kernel_regression(known.train, known.y, known.test, solver="cg")


def test_the_residual_is_the_true_one():
    known = task(40)
    system, b = read_system(known.train, 40, 0.0), np.random.default_rng(1).normal(size=(120, 2))
    for solver, most in (("cholesky", 1e-12), ("cg", 1e-5)):
        found = solve(system, b, solver=solver, tolerance=1e-5)
        residuals = np.linalg.norm(b - system.matrix() @ found.x, axis=0) / np.linalg.norm(b, axis=0)
        assert found.residual == pytest.approx(residuals.max())
        assert found.residual <= most
        assert found.solver == solver


def test_a_factorisation_beyond_memory_is_refused_and_auto_goes_around_it(monkeypatch):
    import psutil

    known = task()
    expected = kernel_regression(known.train, known.y, known.test)
    memory = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(TooLarge, match="Use solver='cg'"):
        kernel_regression(known.train, known.y, known.test, solver="cholesky")
    assert solve(read_system(known.train, 12, 0.0), np.ones((36, 1))).solver == "cg"
    np.testing.assert_allclose(kernel_regression(known.train, known.y, known.test), expected, atol=1e-6)
