"""Trajectories made with numpy, in the form that ``run_trajectory`` gives them: for edge cases of the figures."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

KERNELS = ("entk", "pntk", "trntk")
STARTS = ("network", "zero")


def trajectory(
    *, task="classification", features=2, c=3, n=16, test=12, widths=(16, 64), seeds=2, epochs=10, at=(0, 1, 3, 10),
    linearised=True, names=(), done=None, side=5,
) -> xr.Dataset:  # fmt: skip
    """Random curves, kernels and predictions; those of epochs after ``done`` are missing, as while it is running.

    ``features`` above 2 leave out the grid, as for images; in a regression ``c`` is 1.
    """
    c = 1 if task == "regression" else c
    rng, k, w, s, t = np.random.default_rng(3), len(KERNELS), len(widths), seeds, len(at)
    run, moment = ("width", "seed", "epoch"), ("width", "seed", "at")
    falling = np.exp(-np.arange(epochs + 1) / 4) + 0.02
    variables, rising = {}, 1 - 0.8 * falling
    for name in ("", *["linearised_"] * linearised):
        for part in ("train", "test"):
            noise = 1 + 0.1 * rng.random((w, s, epochs + 1))
            variables[f"{name}{part}_loss"] = run, falling * noise
            variables[f"{name}{part}_accuracy"] = run, rising / noise * (np.nan if c == 1 else 1)
    variables["learning_rate"] = run, np.full((w, s, epochs + 1), 0.1)
    variables["learning_rate_limit"] = moment, 0.2 + rng.random((w, s, t))
    variables |= _kernels(rng, c, n, widths, seeds, at) | _predictions(rng, c, test, (k, w, s, t), "test", linearised)
    grid = {}
    if features <= 2:
        line = np.linspace(-2, 2, side)
        grid_input = np.stack(np.meshgrid(*[line] * features, indexing="ij"), axis=-1).reshape(-1, features)
        grid["grid_input"] = ("grid", "feature"), grid_input
        variables |= _predictions(rng, c, len(grid_input), (k, w, s, t), "grid", linearised)
        grid["x1_input"] = ("x1", "feature"), rng.normal(size=(n, features))
        grid["test_input"] = ("test", "feature"), rng.normal(size=(test, features))
    classes, test_classes = np.arange(n) % c, np.arange(test) % c
    label, test_label = (rng.normal(size=n), rng.normal(size=test)) if c == 1 else (classes, test_classes)
    target = test_label[:, None] if c == 1 else np.eye(c)[test_classes]
    coords = {"width": list(widths), "seed": range(s), "epoch": range(epochs + 1), "at": list(at), **grid}
    coords |= {"kernel": list(KERNELS), "compared": list(KERNELS[1:]), "start": list(STARTS)}
    coords |= {"label": ("x1", label), "ids": ("x1", np.arange(n)), "rank": range(1, n * c + 1)}
    coords |= {"test_label": ("test", test_label), "test_target": (("test", "output"), target)}
    coords |= {"test_ids": ("test", 100 + np.arange(test))}
    ds = xr.Dataset(variables, coords, _record(task, features, n, test, widths, seeds, epochs, at, linearised, names))
    if done is None:
        return ds
    late_epoch, late_at = ds["epoch"] > done, ds["at"] > done
    late = {"epoch": late_epoch, "at": late_at}
    return ds.map(lambda v: v.where(~late[d]) if (d := next((d for d in late if d in v.dims), None)) else v)


def _kernels(rng, c, n, widths, seeds, at) -> dict:
    k, w, s, t = len(KERNELS), len(widths), seeds, len(at)
    shape, dims = (k, w, s, t), ("kernel", "width", "seed", "at")
    gram = np.empty((*shape, n, n), np.float32)
    values = np.full((*shape, n * c), np.nan)
    for index in np.ndindex(shape):
        root = rng.normal(size=(n, n)) * (1 + index[-1])
        gram[index] = root @ root.T
        few = np.linalg.eigvalsh(gram[index].astype(float))[::-1]
        values[index][: n * c if index[0] == 0 else n] = np.repeat(few, c) if index[0] == 0 else few
    error = rng.random(shape[1:]) / np.sqrt(np.asarray(widths))[:, None, None]
    compared = ("compared", *dims[1:])
    errors = np.stack([error, error / 2])
    drift = np.broadcast_to(0.1 * np.arange(t), shape) * rng.uniform(0.8, 1, shape)
    starts = (*compared, "start")
    return {
        "gram": ((*dims, "x1", "x2"), gram),
        "eigenvalues": ((*dims, "rank"), values),
        "condition_number": (dims, values[..., 0] / values[..., n - 1]),
        "drift": (dims, drift),
        "alignment": (dims, 0.2 + drift / 2),
        "relative_frobenius": (compared, errors),
        "largest_eigenvalue_error": (compared, errors / 3),
        "regression_difference": (starts, np.stack([errors, errors * 2], -1)),
        "correction_difference": (starts, np.stack([errors, errors * 3], -1)),
        "agreement": (starts, 1 - np.stack([errors, errors], -1)),
    }


def _predictions(rng, c, rows, shape, dim, linearised) -> dict:
    k, w, s, t = shape
    dims, tail = ("width", "seed", "at"), (dim, "output")
    end = "" if dim == "test" else "_on_grid"
    f = rng.normal(size=(w, s, t, rows, c))
    near = f[None, None] + 0.3 * rng.normal(size=(k, len(STARTS), w, s, t, rows, c))
    variables = {
        f"network_output{end}": ((*dims, *tail), f),
        f"regression_output{end}": (("kernel", "start", *dims, *tail), near),
    }
    if linearised:
        variables[f"linearised_output{end}"] = (*dims, *tail), f + 0.1
    if end:
        return variables
    for name, values in (("network", f), ("linearised", f), ("regression", near)):
        if name == "linearised" and not linearised:
            continue
        own = ("kernel", "start", *dims) if name == "regression" else dims
        chance = rng.random(values.shape[:-2])
        variables[f"{name}_accuracy"] = own, chance * (np.nan if c == 1 else 1)
        variables[f"{name}_loss"] = own, chance / 2
    return variables


def _record(task, features, n, test, widths, seeds, epochs, at, linearised, names) -> dict:
    data = {"classification": {1: "digits", 2: "rings"}.get(features, "digits"), "regression": "sine"}[task]
    plan = {
        "data": {"name": data, "n": 2 * n},
        "test": test,
        "points": n,
        "network": {"architecture": "mlp", "depth": 3, "parameterization": "standard"},
        "widths": list(widths),
        "seeds": seeds,
        "training": {"optimizer": "sgd", "epochs": epochs, "batch_size": 8, "loss": None},
        "kernel_at": list(at),
        "kernels": list(KERNELS),
        "linearised": linearised,
        "dtype": "float32",
    }
    return {"plan": json.dumps(plan), "class_names": json.dumps(list(names)), "task": task, "created": "by hand"}
