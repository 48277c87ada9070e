"""Kernel regression is the dense formula, whatever shape, source and solver; the identities that have to hold do."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from regression_by_hand import dense_regression, lifted, task

from ntk_explorer.errors import InvalidInput, NTKExplorerError
from ntk_explorer.kernels import KERNELS
from ntk_explorer.regression import regression, solve
from ntk_explorer.regression.regression import applied, coefficients, kernel_regression

SURROGATES = ("pntk", "trntk", "single_logit")


def surrogate(name, blocks):
    return KERNELS[name].extras["from_blocks"](blocks)


def zeros(task):
    return np.zeros_like(task.outputs["f0_train"]), np.zeros_like(task.outputs["f0_test"])


@given(
    n=st.integers(1, 9), m=st.integers(1, 4), c=st.integers(1, 4), ridge=st.sampled_from([0.0, 0.1]), f0=st.booleans()
)
def test_regression_is_the_dense_formula(n, m, c, ridge, f0):
    known = task(n, m, c)
    outputs = known.outputs if f0 else {}
    f0_train, f0_test = outputs.values() if f0 else zeros(known)
    expected = dense_regression(known.train, known.y, known.test, f0_train, f0_test, ridge)
    found = kernel_regression(known.train, known.y, known.test, ridge=ridge, **outputs)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@given(n=st.integers(1, 9), m=st.integers(1, 4), c=st.integers(1, 4), name=st.sampled_from(SURROGATES))
def test_one_number_per_pair_stands_for_its_lift(n, m, c, name):
    """(K ⊗ I)⁻¹ = K⁻¹ ⊗ I: n unknowns give what n c give, also with a ridge."""
    known = task(n, m, c)
    train, test = surrogate(name, known.train), surrogate(name, known.test)
    f0 = known.outputs.values()
    for ridge in (0.0, 0.1):
        expected = dense_regression(lifted(train, c), known.y, lifted(test, c), *f0, ridge)
        found = kernel_regression(train, known.y, test, ridge=ridge, **known.outputs)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("solver", ["cholesky", "cg"])
@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("n", [3, 40])
def test_all_solvers_agree(n, solver, c, ridge):
    known = task(n, 5, c)
    expected = dense_regression(known.train, known.y, known.test, *known.outputs.values(), ridge)
    options = {"solver": solver, "ridge": ridge, "tolerance": 1e-12} | known.outputs
    found = kernel_regression(known.train, known.y, known.test, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_kernels_are_read_from_wherever_they_lie(solver, tmp_path, monkeypatch):
    known = task()
    train, test = surrogate("pntk", known.train), surrogate("pntk", known.test)
    expected = kernel_regression(train, known.y, test)
    monkeypatch.setattr("ntk_explorer.regression.systems.PART", 8 * 5 * len(train))  # five rows at a time
    stored = zarr.create_array(tmp_path / "k", data=train, chunks=(4, 4))
    for source in (train.tolist(), jnp.asarray(train), xr.DataArray(train), stored):
        found = kernel_regression(source, known.y, test, solver=solver, tolerance=1e-13)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    blocks = kernel_regression(known.train, known.y, known.test, solver=solver, tolerance=1e-13)
    np.testing.assert_allclose(blocks, dense_regression(known.train, known.y, known.test, *zeros(known)), rtol=1e-9)


def test_the_road_over_an_accelerator_gives_the_same(monkeypatch):
    known = task(30)
    expected = kernel_regression(known.train, known.y, known.test)
    monkeypatch.setattr(solve, "_device_room", lambda: 10**9)
    monkeypatch.setattr(solve, "WORTH_MOVING", 1)
    np.testing.assert_allclose(kernel_regression(known.train, known.y, known.test), expected, rtol=1e-9)
    twice = surrogate("pntk", known.train)[np.ix_([0, 1, 0], [0, 1, 0])]
    with pytest.raises(InvalidInput, match="examples 0 and 2"):
        coefficients(twice, known.y[:3])


def test_several_starts_share_one_factorisation(monkeypatch):
    known, calls = task(), []
    real = regression.solve
    monkeypatch.setattr(regression, "solve", lambda *args, **options: calls.append(1) or real(*args, **options))
    starts = np.stack([known.y, known.y - known.outputs["f0_train"]])
    for train, test in ((known.train, known.test), (surrogate("pntk", known.train), surrogate("pntk", known.test))):
        both = applied(test, coefficients(train, starts))
        np.testing.assert_allclose(both[0], kernel_regression(train, known.y, test), rtol=1e-9)
        with_f0 = kernel_regression(train, known.y, test, **known.outputs)
        np.testing.assert_allclose(both[1] + known.outputs["f0_test"], with_f0, rtol=1e-9)
    assert len(calls) == 2 * 3


def test_training_examples_get_their_targets():
    known = task()
    for train in (known.train, surrogate("pntk", known.train)):
        f0 = known.outputs["f0_train"]
        found = kernel_regression(train, known.y, train, f0_train=f0, f0_test=f0)
        np.testing.assert_allclose(found, known.y, atol=1e-12)


def test_e1_with_one_output_all_kernels_predict_the_same():
    known = task(c=1)
    expected = kernel_regression(known.train, known.y, known.test, **known.outputs)
    for name in SURROGATES:
        train, test = surrogate(name, known.train), surrogate(name, known.test)
        np.testing.assert_allclose(kernel_regression(train, known.y, test, **known.outputs), expected, rtol=1e-9)


def test_e2_the_pntk_is_better_conditioned_so_it_can_be_solved_wherever_the_entk_can():
    known = task(parameters=37)  # one more than n c: the eNTK is barely invertible
    spectrum = np.linalg.eigvalsh(surrogate("pntk", known.train))
    full = np.linalg.eigvalsh(known.train.transpose(0, 2, 1, 3).reshape(36, 36))
    assert spectrum[-1] <= full[-1] * (1 + 1e-12)
    assert spectrum[0] >= full[0] * (1 - 1e-9)
    for train in (known.train, surrogate("pntk", known.train)):
        np.testing.assert_allclose(kernel_regression(train, known.y, train), known.y, atol=1e-6)


def test_e4_scale_matters_with_a_ridge_of_its_own_only():
    """The ridge is in units of the kernel's own diagonal, so that regression does not depend on its scale at all."""
    known = task()
    train, test = surrogate("pntk", known.train), surrogate("pntk", known.test)
    for ridge in (0.0, 0.1):
        first = kernel_regression(train, known.y, test, ridge=ridge)
        np.testing.assert_allclose(kernel_regression(9 * train, known.y, 9 * test, ridge=ridge), first, rtol=1e-9)
    ten = kernel_regression(train + 0.1 * np.diag(train).mean() * np.eye(len(train)), known.y, test)
    np.testing.assert_allclose(kernel_regression(train, known.y, test, ridge=0.1), ten, rtol=1e-9)


@pytest.mark.parametrize("name", SURROGATES)
def test_e4_outputs_in_another_order(name):
    """pNTK and trace kernel do not notice; single logit does."""
    known, order = task(), [2, 0, 1]
    mixed = known.blocks[:, :, order][:, :, :, order]
    same = np.allclose(surrogate(name, mixed), surrogate(name, known.blocks), rtol=1e-12)
    assert same == (name != "single_logit")


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_e6_a_network_that_fits_is_left_as_it_is(solver):
    known = task()
    f0_test = known.outputs["f0_test"]
    for train, test in ((known.train, known.test), (surrogate("pntk", known.train), surrogate("pntk", known.test))):
        found = kernel_regression(train, known.y, test, f0_train=known.y, f0_test=f0_test, solver=solver)
        np.testing.assert_array_equal(found, f0_test)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [0, 1, 2]}, "one-hot rows, np.eye"),
        ({"y": np.ones((2, 3))}, "for 2 training examples"),
        ({"y": np.full((3, 3), np.nan)}, "finite"),
        ({"k_train": np.ones((3, 4))}, "Pass .n, n."),
        ({"k_train": np.full((3, 3), np.nan)}, "NaN or infinite"),
        ({"k_train": np.ones((3, 3)) + np.diag([np.inf, 0, 0])}, "NaN or infinite"),
        ({"k_train": np.ones((3, 3), complex)}, "real numbers"),
        ({"k_train": np.eye(12).reshape(3, 4, 3, 4).transpose(0, 2, 1, 3)}, "blocks of 4 × 4"),
        ({"k_test": np.ones((2, 4))}, "rows for test"),
        ({"k_test": np.full((2, 3), np.nan)}, "test examples holds NaN"),
        ({"ridge": -0.1}, "ridge is -0.1"),
        ({"ridge": np.nan}, "ridge is nan"),
        ({"solver": "lu"}, "Available: auto, cg, cholesky"),
        ({"f0_train": np.ones((3, 3))}, "Only one of"),
        ({"f0_train": np.ones((3, 2)), "f0_test": np.ones((2, 3))}, "f0_train has shape"),
        ({"f0_train": np.ones((3, 3)), "f0_test": np.ones((3, 3))}, "f0_test has shape"),
    ],
)
def test_what_does_not_belong_together_is_refused(change, message):
    given_ = {"k_train": np.eye(3) + 1, "y": np.eye(3), "k_test": np.ones((2, 3))} | change
    with pytest.raises(NTKExplorerError, match=message):
        kernel_regression(**given_)
