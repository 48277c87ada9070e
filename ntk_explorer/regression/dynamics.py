"""Training of the linearised network on the squared loss in closed form, at any number of steps at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.regression.regression import applied, as_targets, require_shape
from ntk_explorer.regression.systems import System, as_source, read_system


class Dynamics(NamedTuple):
    """Outputs of the linearised network along training: ``train`` [t, n, c] and ``test`` [t, m, c]."""

    train: np.ndarray
    test: np.ndarray


def linearised_dynamics(
    theta_train: Any,
    y: Any,
    f0_train: Any,
    theta_test: Any,
    f0_test: Any,
    *,
    learning_rate: float,
    steps: Any,
    flow: bool = False,
) -> Dynamics:
    """Full-batch gradient descent of the linearised network on the mean over n examples of ½‖f − y‖².

        f_t(X) = f_0(X) + (I − (I − ηΘ/n)ᵗ) (Y − f_0(X))
        f_t(x) = f_0(x) + Θ(x, X) Θ⁻¹ (I − (I − ηΘ/n)ᵗ) (Y − f_0(X))

    For gradient flow exp(−ηΘt/n) stands for (I − ηΘ/n)ᵗ. The powers are those of eigenvalues, nothing is inverted, and
    a singular kernel leaves its null space as it was. For t → ∞ this is kernel regression without a ridge, if η is
    below :func:`learning_rate_limit`; beyond it the outputs grow without bound, as in gradient descent.

    Args:
        theta_train: the eNTK of the training examples [n, n, c, c]; [n, n] stands for K ⊗ I.
        y: targets [n, c], one-hot rows for classes.
        f0_train: outputs at initialisation [n, c].
        theta_test: the kernel of test with training examples [m, n, c, c] or [m, n].
        f0_test: outputs at initialisation [m, c].
        learning_rate: η.
        steps: t, a number or several [t]: whole ones for gradient descent, real ones for gradient flow.
        flow: gradient flow, the limit of small steps: training at time ηt.

    Returns:
        Outputs at each t, numpy float64.

    Raises:
        InvalidInput: shapes that do not belong together, NaN, a learning rate that is not positive, negative steps.

    Source: Lee, Xiao, Schoenholz, Bahri, Novak, Sohl-Dickstein & Pennington (2019), Wide Neural Networks of Any Depth
    Evolve as Linear Models.
    """
    y, f0_train, f0_test = as_targets(y, "y"), as_targets(f0_train, "f0_train"), as_targets(f0_test, "f0_test")
    require_shape("f0_train", f0_train, y.shape)
    require_shape("f0_test", f0_test, (as_source(theta_test).shape[0], y.shape[1]))
    steps, rate = _checked_steps(steps, flow), _checked_rate(learning_rate)
    system = _blocks_for(theta_train, y)
    values, vectors = _spectrum(system)
    speeds = rate * values / len(y)
    columns = (y - f0_train).reshape(len(values), -1)
    part = vectors.T @ columns
    gone = np.stack([_gone(speeds, t, flow) for t in steps])
    # (1 − (1 − a)ᵗ)/λ tends to ηt/n where λ vanishes.
    tiny = np.abs(values) <= np.finfo(float).eps * max(values[-1], np.finfo(float).tiny)
    pulled = np.where(tiny, rate * steps[:, None] / len(y), gone / np.where(tiny, 1.0, values))
    fitted, found = ((vectors @ (factors[..., None] * part)).reshape(-1, *y.shape) for factors in (gone, pulled))
    return Dynamics(f0_train + fitted, f0_test + applied(theta_test, found))


def learning_rate_limit(theta_train: Any) -> float:
    """2n/λ_max(Θ), beyond which gradient descent on the mean over n examples of ½‖f − y‖² diverges.

    Args:
        theta_train: the kernel of the training examples [n, n] or [n, n, c, c]; of one number per pair, which has a
            smaller λ_max than the eNTK, it is an upper bound.

    Returns:
        The limit; infinite for a kernel that is zero.

    Raises:
        InvalidInput: no kernel of a set of examples with themselves, or not finite.

    Source: LeCun, Kanter & Solla (1991), Eigenvalues of covariance matrices; Lee et al. (2019).
    """
    from scipy.linalg import eigh  # not above: a tenth of a second to import

    system = read_system(theta_train, len(as_source(theta_train)), 0.0)
    last = system.size - 1
    largest = float(eigh(system.matrix(), eigvals_only=True, subset_by_index=[last, last])[0])
    return 2 * system.n / largest if largest > 0 else float("inf")


def _blocks_for(theta: Any, y: np.ndarray) -> System:
    system = read_system(theta, len(y), 0.0)
    if system.outputs not in (1, y.shape[1]) or not system.has_rows:
        raise InvalidInput(f"A kernel of shape {tuple(theta.shape)} for targets {y.shape}", "Pass [n, n, c, c].")
    return system


def _spectrum(system: System) -> tuple[np.ndarray, np.ndarray]:
    matrix = system.matrix()
    return np.linalg.eigh((matrix + matrix.T) / 2)


def _gone(speeds: np.ndarray, t: float, flow: bool) -> np.ndarray:
    """1 − (1 − a)ᵗ, or 1 − exp(−a t), with all digits where a is small."""
    if flow:
        return -np.expm1(-speeds * t)
    gentle = speeds < 1
    slow = -np.expm1(t * np.log1p(-np.where(gentle, speeds, 0.0)))
    return np.where(gentle, slow, 1 - (1 - np.where(gentle, 0.0, speeds)) ** int(t))


def _checked_steps(steps: Any, flow: bool) -> np.ndarray:
    times = np.atleast_1d(np.asarray(steps, float))
    if times.ndim != 1 or not (np.isfinite(times) & (times >= 0)).all() or not (flow or (times % 1 == 0).all()):
        raise InvalidInput(
            f"steps is {steps!r}", "Give one number or several, 0 or more, whole ones unless flow is True."
        )
    return times


def _checked_rate(rate: float) -> float:
    if not (np.isfinite(rate) and rate > 0):
        raise InvalidInput(f"learning_rate is {rate!r}", "Give a positive number.")
    return float(rate)
