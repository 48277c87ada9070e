"""How good predictions of test examples are, and how far those of a kernel are from those of the eNTK."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Variables = Mapping[str, tuple]
PREDICTORS = ("network", "linearised", "regression")


def test_measures(variables: Variables, target: np.ndarray, *, classes: bool) -> dict[str, tuple]:
    """Accuracy and squared loss of each predictor's outputs, over all dims but the last two.

        accuracy = share of examples whose largest output is that of their class,   loss = mean of ½‖f − y‖²

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
        here = np.isfinite(outputs).all(axis=(-2, -1))
        right = (outputs.argmax(-1) == target.argmax(-1)).mean(-1) if classes else np.nan
        found[f"{name}_accuracy"] = dims[:-2], np.where(here, right, np.nan)
        found[f"{name}_loss"] = dims[:-2], ((outputs - target) ** 2).sum(-1).mean(-1) / 2
    return found


def regression_measures(variables: Variables, *, classes: bool) -> dict[str, tuple]:
    """Differences of regressions with the compared kernels from that with the eNTK, the first kernel.

        regression_difference = ‖f_K − f_Θ‖ / ‖f_Θ‖,   correction_difference = ‖f_K − f_Θ‖ / ‖f_Θ − f_0‖,

    where f_0 is what the regression starts from; ``agreement`` is the share of equal classes. All over
    (compared, width, seed, at, start).
    """
    outputs, f0 = variables["regression_output"][1], variables["network_output"][1]
    ours, reference = outputs[1:], outputs[:1]
    start = np.stack([f0, np.zeros_like(f0)])[None]
    error = _norm(ours - reference)
    with np.errstate(divide="ignore", invalid="ignore"):
        table = {
            "regression_difference": error / _norm(reference),
            "correction_difference": error / _norm(reference - start),
        }
    same = (ours.argmax(-1) == reference.argmax(-1)).mean(-1) if classes else np.nan
    table["agreement"] = np.where(np.isfinite(error), same, np.nan)
    dims = ("compared", "width", "seed", "at", "start")
    return {name: (dims, np.moveaxis(values, 1, -1)) for name, values in table.items()}


def _norm(outputs: np.ndarray) -> np.ndarray:
    return np.sqrt((outputs**2).sum(axis=(-2, -1)))
