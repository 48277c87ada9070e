"""How good predictions of test examples are, and how far those of a kernel are from those of the eNTK."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ntk_explorer.regression import PREDICTION_MEASURES
from ntk_explorer.regression.measures import accuracy

Variables = Mapping[str, tuple]
PREDICTORS = ("network", "linearised", "regression")


def test_measures(variables: Variables, target: np.ndarray, *, classes: bool) -> dict[str, tuple]:
    """Accuracy and squared loss of each predictor's outputs, over all dims but the last two.

        accuracy by :func:`~ntk_explorer.regression.measures.accuracy`,   loss = mean over examples of ½‖f − y‖²

    Args:
        variables: (dims, values) by name, among them ``…_output`` [..., m, c].
        target: y [m, c], one-hot labels or the targets of a regression.
        classes: whether there are classes; else accuracies are NaN.
    """
    found = {}
    for name in PREDICTORS:
        if f"{name}_output" not in variables:
            continue
        dims, outputs = variables[f"{name}_output"]
        right = accuracy(outputs, target) if classes else np.full(outputs.shape[:-2], np.nan)
        found[f"{name}_accuracy"] = dims[:-2], right
        found[f"{name}_loss"] = dims[:-2], ((outputs - target) ** 2).sum(-1).mean(-1) / 2
    return found


def regression_measures(regressions: np.ndarray, f0: np.ndarray, *, classes: bool) -> dict[str, np.ndarray]:
    """How far regressions with other kernels are from that with the eNTK; the entries of ``PREDICTION_MEASURES``.

    Args:
        regressions: predictions [kernel, start, m, c], those of the eNTK first; of the starts, the network first.
        f0: the network's outputs [m, c].
        classes: whether there are classes; else there is no agreement.

    Returns:
        ``regression_difference``, ``correction_difference`` (relative to what the regression adds to its start, the
        network's outputs or zero) and ``agreement``, each [compared, start]; NaN where a kernel could not be inverted.
    """
    shape = len(regressions) - 1, regressions.shape[1]
    found = {name: np.full(shape, np.nan) for name in PREDICTION_MEASURES}
    for other, start in np.ndindex(shape):
        ours, reference = regressions[1 + other, start], regressions[0, start]
        if not (np.isfinite(ours).all() and np.isfinite(reference).all()):
            continue
        origin = f0 if start == 0 else np.zeros_like(f0)
        for name, entry in PREDICTION_MEASURES.items():
            if name != "agreement" or classes:
                also = (origin,) if name == "correction_difference" else ()
                found[name][other, start] = entry(ours, reference, *also)
    return found
