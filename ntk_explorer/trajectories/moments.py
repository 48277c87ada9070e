"""One network at one epoch: its kernels, their spectra and errors, and what regression with them predicts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from ntk_explorer.architectures import Network
from ntk_explorer.comparison import MEASURES
from ntk_explorer.comparison.measures import block_norm
from ntk_explorer.comparison.movement import alignment, drift
from ntk_explorer.errors import NTKExplorerError
from ntk_explorer.regression.regression import applied, coefficients
from ntk_explorer.spectra.eigen import eigenvalues
from ntk_explorer.sweeps.cells import kernels_by_name, network_at
from ntk_explorer.trajectories.assembly import LAYOUT, STARTS, Moment
from ntk_explorer.trajectories.predictions import regression_measures, test_measures
from ntk_explorer.trajectories.setting import Setting
from ntk_explorer.trajectories.trainings import initial_params

# Bytes of the kernel between test examples and points that is in memory at a time.
PART = 2**27
HELD = 2**28  # bytes of an eNTK at initialisation that is held from one moment to the next


def compute_moment(setting: Setting, width: int, index: int, epoch: int, params: Any, linear: Any = None) -> Moment:
    """Kernels, spectra, errors and predictions of one network at one epoch, in float64.

    Args:
        setting: the plan and its examples.
        width: a hidden width.
        index: number of the initialisation.
        epoch: of the training.
        params: the network's parameters then.
        linear: those of the linearised network; None where it is not trained.

    Returns:
        The :class:`Moment`.
    """
    import jax  # not above: plans and results are handled without jax

    begun, plan = time.perf_counter(), setting.plan
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        network = network_at(plan, setting.train, width)
        params = _double(params)
        kernels = kernels_by_name(plan.kernels, network.apply, params, jax.numpy.asarray(setting.points, float))
        arrays = _spectra(kernels) | _movement(setting, kernels, _initial_kernels(setting, width, index))
        arrays |= _errors(plan.compared, kernels)
        arrays["gram"] = _grams(kernels)
        predicted, refusals = _predictions(setting, network, params, kernels, _linear(setting, width, index, linear))
    arrays |= predicted | _measures(setting, predicted)
    arrays["seconds"] = np.asarray(time.perf_counter() - begun)
    arrays["device"] = np.asarray(jax.devices()[0].device_kind)
    return Moment(width, index, epoch, arrays, refusals)


def _double(params: Any) -> Any:
    import jax  # not above: plans and results are handled without jax

    return jax.tree.map(lambda leaf: jax.numpy.asarray(leaf, "float64"), params)


def _initial_kernels(setting: Setting, width: int, index: int) -> dict:
    numbers = (setting.plan.points * setting.train.outputs) ** 2
    return (_held if 8 * numbers <= HELD else _held.__wrapped__)(setting, width, index)


# The moments of a network come one after the other, and all look back at its beginning.
@lru_cache(maxsize=1)
def _held(setting: Setting, width: int, index: int) -> dict:
    import jax  # not above: plans and results are handled without jax

    network = network_at(setting.plan, setting.train, width)
    params, x = _double(initial_params(setting, network, index)), jax.numpy.asarray(setting.points, float)
    return kernels_by_name(setting.plan.kernels, network.apply, params, x)


def _linear(setting: Setting, width: int, index: int, params: Any) -> Any:
    """The function x -> f_lin(x) of a linearised network, or None."""
    if params is None:
        return None
    from ntk_explorer.training.linear import linearised

    network = network_at(setting.plan, setting.train, width)
    f, params = linearised(network.apply, _double(initial_params(setting, network, index))), _double(params)
    return lambda x: f(params, x)


def _spectra(kernels: dict) -> dict[str, np.ndarray]:
    """Eigenvalues [kernel, rank], NaN where a kernel has fewer."""
    spectra = [np.asarray(eigenvalues(kernel)) for kernel in kernels.values()]
    longest = max(map(len, spectra))
    return {"eigenvalues": np.stack([np.pad(s, (0, longest - len(s)), constant_values=np.nan) for s in spectra])}


def _movement(setting: Setting, kernels: dict, initial: dict) -> dict[str, np.ndarray]:
    return {
        "drift": np.array([drift(kernel, initial[name]) for name, kernel in kernels.items()]),
        "alignment": np.array([alignment(kernel, setting.targets) for kernel in kernels.values()]),
    }


def _errors(compared: tuple[str, ...], kernels: dict) -> dict[str, np.ndarray]:
    if "entk" not in kernels:
        return {}
    return {
        measure: np.array([entry(kernels[name], kernels["entk"]) for name in compared])
        for measure, entry in MEASURES.items()
        if "spectral" not in entry.tags
    }


def _grams(kernels: dict) -> np.ndarray:
    """[kernel, n, n] float32; of the eNTK ‖Θ_ij‖_F / √c."""
    matrices = [block_norm(k) / k.shape[-1] ** 0.5 if k.ndim == 4 else k for k in kernels.values()]
    return np.stack([np.asarray(matrix, np.float32) for matrix in matrices])


def _predictions(
    setting: Setting, network: Network, params: Any, kernels: dict, linear: Any
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What network, linearised network and regressions say of the test examples and the grid; why some say nothing."""
    import jax  # not above: plans and results are handled without jax

    x = jax.numpy.asarray(setting.points, float)
    f0, arrays = np.asarray(network.apply(params, x)), {}
    found, refusals = _coefficients(setting, kernels, f0)
    for end, inputs in (("", setting.test.x), ("_on_grid", setting.grid)):
        if inputs is None:
            continue
        parts = [
            _predicted(setting, network, params, part, found, linear)
            for part in _parts(inputs, len(x) * f0.shape[1] ** 2 * 8)
        ]
        for name in parts[0]:
            arrays[f"{name}{end}"] = np.concatenate([part[name] for part in parts], axis=-2)
    return arrays, refusals


def _measures(setting: Setting, predicted: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """How good the predictions of the test examples are, and how far those of other kernels are from the eNTK's."""
    classes = setting.train.task == "classification"
    variables = {name: (sum(LAYOUT[name], ()), array) for name, array in predicted.items() if name in LAYOUT}
    measures = test_measures(variables, setting.test.targets, classes=classes)
    found = {name: np.asarray(values) for name, (_, values) in measures.items()}
    if "entk" not in setting.plan.kernels or not setting.plan.compared:
        return found
    outputs = predicted["regression_output"], predicted["network_output"]
    return found | regression_measures(*outputs, classes=classes)


def _parts(inputs: np.ndarray, bytes_per_row: int) -> Iterator[np.ndarray]:
    rows = max(1, PART // bytes_per_row)
    return (inputs[start : start + rows] for start in range(0, len(inputs), rows))


def _coefficients(setting: Setting, kernels: dict, f0: np.ndarray) -> tuple[dict, dict[str, str]]:
    """What each kernel's rows are multiplied with, [start, n, c] by kernel; None, and why, where it is singular."""
    starts = np.stack([setting.targets - f0, setting.targets])
    found, refusals = {}, {}
    for name, kernel in kernels.items():
        try:
            found[name] = coefficients(kernel, starts, ridge=setting.plan.ridge)
        except NTKExplorerError as error:
            found[name], refusals[name] = None, str(error)
    return found, refusals


def _predicted(setting: Setting, network: Network, params: Any, inputs, found: dict, linear: Any) -> dict:
    import jax  # not above: plans and results are handled without jax

    inputs, points = jax.numpy.asarray(inputs, float), jax.numpy.asarray(setting.points, float)
    outputs = np.asarray(network.apply(params, inputs))
    rows = kernels_by_name(setting.plan.kernels, network.apply, params, inputs, points)
    origins = np.stack([outputs, np.zeros_like(outputs)])
    assert len(origins) == len(STARTS)
    regression = [
        np.full_like(origins, np.nan) if found[name] is None else origins + applied(rows[name], found[name])
        for name in setting.plan.kernels
    ]
    predicted = {"network_output": outputs, "regression_output": np.stack(regression)}
    return predicted | ({} if linear is None else {"linearised_output": np.asarray(linear(inputs))})
