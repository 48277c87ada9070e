"""Sweeps of random eNTKs made with numpy, put together by the real ``assemble``: figures need no network."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ntk_explorer.comparison.measures import block_error, block_norm, distance_to_limit, relative_frobenius
from ntk_explorer.kernels import KERNELS
from ntk_explorer.spectra.eigen import eigenvalues
from ntk_explorer.sweeps.assembly import CellResult, assemble
from ntk_explorer.sweeps.plan import SweepPlan, plan_sweep


def labels_of(n: int, c: int) -> np.ndarray:
    """Shuffled class labels, the same at each call."""
    return np.random.default_rng(7).permutation(np.arange(n) % c)


def blocks(rng: np.random.Generator, labels: np.ndarray, c: int, width: int) -> np.ndarray:
    """A random eNTK [n, n, c, c]: gradients that share a part across outputs and differ by 1/√width."""
    n = labels.size
    shared = rng.normal(size=(n, n + 5)) + 2 * np.eye(c)[labels] @ rng.normal(size=(c, n + 5))
    hidden = rng.normal(size=(n, 2 * width, 3))
    own = np.einsum("nuf,ua->nauf", hidden, rng.normal(size=(2 * width, c))) / np.sqrt(2 * width)
    jacobian = own.reshape(n, c, -1)
    theta = np.einsum("nap,mbp->nmab", jacobian, jacobian)
    return theta + (shared @ shared.T / shared.shape[1])[:, :, None, None] * np.eye(c)


def cell(plan: SweepPlan, labels: np.ndarray, c: int, width: int, index: int, names=()) -> CellResult:
    """One run, as the sweep computes it from a network."""
    theta = blocks(np.random.default_rng([plan.seed, width, index]), labels, c, width)
    arrays = {"seconds": np.array(0.1), "device": np.array("by hand")}
    arrays |= {"eigenvalues.entk": np.asarray(eigenvalues(theta)), "gram.entk": block_norm(theta) / np.sqrt(c)}
    limit = np.eye(labels.size) + (labels[:, None] == labels[None, :])
    arrays["distance_to_limit.entk"] = np.array(distance_to_limit(theta, limit))
    for name in plan.kernels:
        kernel = KERNELS[name].extras["from_blocks"](theta)
        arrays[f"eigenvalues.{name}"] = np.asarray(eigenvalues(kernel))
        arrays[f"distance_to_limit.{name}"] = np.array(distance_to_limit(kernel, limit))
        arrays[f"relative_frobenius.{name}"] = np.array(relative_frobenius(kernel, theta))
        arrays[f"gram.{name}"] = kernel.astype(np.float32)
        arrays[f"block_error.{name}"] = block_error(kernel, theta) / np.sqrt(c)
    return CellResult(
        width, index, arrays, {"label": labels, "ids": np.arange(labels.size) + 1000, "class_names": names}
    )


def sweep(*, n=20, c=4, widths=(16, 64, 256), seeds=3, missing=(), names=(), **options) -> xr.Dataset:
    """A sweep without the runs (width, seed) in ``missing``, as it stands while it is still going."""
    plan = plan_sweep({"name": "digits", "n": n, "classes": c}, widths=widths, seeds=seeds, **options)
    labels = labels_of(n, c)
    return assemble(plan, [cell(plan, labels, c, *run, names) for run in plan.cells if run not in missing])


def nothing_yet(ds: xr.Dataset) -> xr.Dataset:
    """The same sweep before its first run has finished."""
    return ds.where(False)
