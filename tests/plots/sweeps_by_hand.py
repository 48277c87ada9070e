"""Sweeps built with numpy alone, in the schema of run_sweep, for figures that need no network."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from ntk_explorer.comparison.measures import block_error, block_norm, largest_eigenvalue_error, relative_frobenius
from ntk_explorer.kernels import KERNELS
from ntk_explorer.spectra.eigen import eigenvalues
from ntk_explorer.spectra.summaries import summarise

COMPARED = ("pntk", "trntk", "single_logit")


def blocks(rng: np.random.Generator, n: int, c: int, width: int, labels: np.ndarray) -> np.ndarray:
    """A random eNTK [n, n, c, c]: gradients that share a part across outputs and differ by 1/√width."""
    shared = rng.normal(size=(n, n + 5)) + 2 * np.eye(labels.max() + 1)[labels] @ rng.normal(size=(c, n + 5))
    first = rng.normal(size=(n, 2 * width, 3))
    own = np.einsum("nuf,ua->nauf", first, rng.normal(size=(2 * width, c))) / np.sqrt(2 * width)
    jacobian = own.reshape(n, c, -1)
    theta = np.einsum("nap,mbp->nmab", jacobian, jacobian)
    return theta + (shared @ shared.T / shared.shape[1])[:, :, None, None] * np.eye(c)


def sweep(*, n=20, c=4, widths=(16, 64, 256), seeds=3, seed=0, compared=COMPARED, missing=()) -> xr.Dataset:
    """A sweep of random eNTKs; cells (width, seed) in ``missing`` are NaN, as in a sweep that is still going."""
    labels = np.sort(np.arange(n) % c)
    labels = labels[np.random.default_rng(seed).permutation(n)]
    ds = empty(labels, c, widths, seeds, compared)
    for width in widths:
        for index in range(seeds):
            if (width, index) not in missing:
                fill(ds, blocks(np.random.default_rng([seed, width, index]), n, c, width, labels), width, index)
    return ds


def empty(labels: np.ndarray, c: int, widths, seeds: int, compared=COMPARED) -> xr.Dataset:
    """A sweep of which no run has finished."""
    n, kernels = labels.size, ["entk", *compared]
    sizes = {"kernel": len(kernels), "compared": len(compared), "width": len(widths), "seed": seeds}
    sizes |= {"rank": n * c, "x1": n, "x2": n}

    def missing(*dims, dtype=float):
        return dims, np.full([sizes[d] for d in dims], np.nan, dtype)

    cell = ("width", "seed")
    summaries = summarise(np.array([2.0, 1.0]))
    variables = {name: missing("kernel", *cell) for name in summaries}
    variables |= {name: missing("compared", *cell) for name in ("relative_frobenius", "largest_eigenvalue_error")}
    variables |= {
        "eigenvalues": missing("kernel", *cell, "rank"),
        "gram": missing("kernel", *cell, "x1", "x2", dtype=np.float32),
        "block_error": missing("compared", *cell, "x1", "x2", dtype=np.float32),
        "seconds": missing(*cell),
    }
    coords = {"kernel": kernels, "compared": list(compared), "width": list(widths), "seed": np.arange(seeds)}
    coords |= {"rank": np.arange(1, n * c + 1), "label": ("x1", labels), "ids": ("x1", np.arange(n) + 1000)}
    plan = {"data": {"name": "digits", "n": n}, "network": {"architecture": "mlp", "depth": 3}, "widths": list(widths)}
    attrs = {"plan": json.dumps(plan), "versions": "ntk-explorer 0.1.0", "created": "2026-01-01T00:00:00+00:00"}
    return xr.Dataset(variables, coords, attrs)


def fill(ds: xr.Dataset, theta: np.ndarray, width: int, index: int) -> None:
    """Write one run into a sweep."""
    at, root = {"width": width, "seed": index}, np.sqrt(theta.shape[2])
    grams = {"entk": block_norm(theta) / root}
    grams |= {str(k): KERNELS[str(k)].extras["from_blocks"](theta) for k in ds["compared"].values}
    for name, gram in grams.items():
        values = np.asarray(eigenvalues(theta if name == "entk" else gram))
        ds["eigenvalues"].loc[{"kernel": name, "rank": np.arange(1, values.size + 1)} | at] = values
        ds["gram"].loc[{"kernel": name} | at] = gram
        for summary, value in summarise(values).items():
            ds[summary].loc[{"kernel": name} | at] = value
        if name != "entk":
            ds["relative_frobenius"].loc[{"compared": name} | at] = relative_frobenius(gram, theta)
            ds["largest_eigenvalue_error"].loc[{"compared": name} | at] = largest_eigenvalue_error(gram, theta)
            ds["block_error"].loc[{"compared": name} | at] = block_error(gram, theta) / root
    ds["seconds"].loc[at] = 0.1
