"""How the predictions f_K of regression with a kernel differ from those f_Θ of regression with the eNTK."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.regression import PREDICTION_MEASURES

SOURCE = "Mohamadi, Bae & Sutherland 2023"


@PREDICTION_MEASURES.register(
    "regression_difference",
    label="regression difference",
    axis="regression difference ‖f_K − f_Θ‖ / ‖f_Θ‖",
    equation=r"\lVert f_K - f_\Theta \rVert \,/\, \lVert f_\Theta \rVert",
    reference=SOURCE,
    cost="O(m c)",
)
def regression_difference(predictions: Any, reference: Any) -> float:
    """Difference of predictions relative to the reference's own size, ‖f_K − f_Θ‖ / ‖f_Θ‖.

    It falls along training even when the kernels stay as different as they were, since both predictions tend to
    f_0 when the residual Y − f_0 vanishes; :func:`correction_difference` does not.

    Args:
        predictions: f_K [m, c].
        reference: f_Θ [m, c].

    Returns:
        The relative difference; NaN when the reference is zero.

    Raises:
        InvalidInput: the shapes differ.
    """
    return _difference(predictions, reference, 0.0)


@PREDICTION_MEASURES.register(
    "correction_difference",
    label="difference of corrections",
    axis="difference of corrections ‖f_K − f_Θ‖ / ‖f_Θ − f₀‖",
    equation=r"\lVert f_K - f_\Theta \rVert \,/\, \lVert f_\Theta - f_0 \rVert",
    reference=SOURCE,
    cost="O(m c)",
)
def correction_difference(predictions: Any, reference: Any, f0: Any) -> float:
    """Difference of predictions relative to what the regression adds to the network, ‖f_K − f_Θ‖ / ‖f_Θ − f_0‖.

    Args:
        predictions: f_K [m, c].
        reference: f_Θ [m, c].
        f0: what both regressions start from [m, c].

    Returns:
        The relative difference; NaN when the regression adds nothing.

    Raises:
        InvalidInput: the shapes differ.
    """
    return _difference(predictions, reference, f0)


@PREDICTION_MEASURES.register(
    "agreement",
    label="share of equal classes",
    axis="share of equal classes",
    equation=r"\tfrac{1}{m} \sum_x [\arg\max f_K(x) = \arg\max f_\Theta(x)]",
    reference=SOURCE,
    cost="O(m c)",
)
def agreement(predictions: Any, reference: Any) -> float:
    """Share of examples for which both predict the same class.

    Args:
        predictions: f_K [m, c].
        reference: f_Θ [m, c].

    Returns:
        Between 0 and 1; NaN for a single output, which knows no classes.

    Raises:
        InvalidInput: the shapes differ.
    """
    predictions, reference = _pair(predictions, reference)
    if predictions.shape[1] == 1:
        return math.nan
    return float(np.mean(predictions.argmax(axis=1) == reference.argmax(axis=1)))


def accuracy(predictions: Any, classes: Any) -> Any:
    """Share of examples whose class has the largest output.

    Args:
        predictions: [m, c], or several [..., m, c].
        classes: [m] whole numbers from 0, or one-hot rows [m, c].

    Returns:
        Between 0 and 1 [...]; NaN where predictions are missing.

    Raises:
        InvalidInput: another number of examples or outputs.
    """
    predictions, classes = np.asarray(predictions), np.asarray(classes)
    if predictions.ndim < 2 or classes.shape not in (predictions.shape[-2:], predictions.shape[-2:-1]):
        raise InvalidInput(
            f"Predictions of shape {predictions.shape} for classes of shape {classes.shape}",
            "Pass predictions [m, c], and classes [m] or one-hot rows [m, c].",
        )
    classes = classes.argmax(axis=1) if classes.ndim == 2 else classes
    right = np.mean(predictions.argmax(axis=-1) == classes, axis=-1)
    return np.where(np.isfinite(predictions).all(axis=(-2, -1)), right, np.nan)[()]


def prediction_difference(predictions: Any, reference: Any, f0: Any = None) -> tuple[float, float]:
    """Both differences: :func:`regression_difference` and :func:`correction_difference`; f_0 is zero when None."""
    own = regression_difference(predictions, reference)
    return own, own if f0 is None else correction_difference(predictions, reference, f0)


def _difference(predictions: Any, reference: Any, f0: Any) -> float:
    predictions, reference = _pair(predictions, reference)
    if np.ndim(f0):
        _, f0 = _pair(predictions, f0)
    scale = float(np.linalg.norm(reference - f0))
    return float(np.linalg.norm(predictions - reference)) / scale if scale > 0 else math.nan


def _pair(first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.ndim != 2 or first.shape != second.shape:
        raise InvalidInput(
            f"Predictions of shapes {first.shape} and {second.shape}", "Pass both [m, c] for the same examples."
        )
    return first, second
