"""What a figure says about where its numbers come from: architecture, data, n, c and how many runs are in."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from ntk_explorer.architectures import ARCHITECTURES
from ntk_explorer.plots.theme import plain
from ntk_explorer.training import OPTIMIZERS


def setup(ds: xr.Dataset) -> str:
    """One line such as ``MLP, depth 3, standard · digits, n = 100, c = 10``."""
    plan = _plan(ds)
    examples, outputs = counts(ds)
    data = plain(plan.get("data", {}).get("name", ""))
    sizes = ", ".join(part for part in (data, f"n = {examples}", f"c = {outputs}") if part)
    return " · ".join(part for part in (_network(plan), sizes) if part)


def training(ds: xr.Dataset) -> str:
    """One line such as ``MLP, depth 3, standard · digits, n = 1437 · Adam, batches of 64``; n is that of training."""
    plan = _plan(ds)
    data, how = plan.get("data", {}), plan.get("training", {})
    optimizer = how.get("optimizer", "")
    batch = how.get("batch_size")
    parts = (
        _network(plan),
        f"{plain(data.get('name', ''))}, n = {data.get('n')}",
        f"{OPTIMIZERS[optimizer].label if optimizer in OPTIMIZERS else plain(optimizer)}, "
        + (f"batches of {batch}" if batch else "full batch"),
    )
    return " · ".join(part for part in parts if part)


def regression(ds: xr.Dataset) -> str:
    """The same with the number of examples that the kernels' regression uses."""
    return f"{training(ds)} · regression on {ds.sizes['x1']}"


def _plan(ds: xr.Dataset) -> dict:
    return json.loads(ds.attrs.get("plan", "{}"))


def _network(plan: dict) -> str:
    network = plan.get("network", {})
    depth = f"depth {network['depth']}" if "depth" in network else ""
    parts = (_architecture(network.get("architecture", "")), depth, network.get("parameterization", ""))
    return ", ".join(plain(part) for part in parts if part)


def _architecture(name: str) -> str:
    return ARCHITECTURES[name].label if name in ARCHITECTURES else name


def counts(ds: xr.Dataset) -> tuple[int, int]:
    """Number of examples n and of network outputs c."""
    examples = ds.sizes["x1"]
    return examples, ds.sizes["rank"] // examples


def runs(ds: xr.Dataset) -> str:
    """``5 seeds`` for a finished sweep, ``12 of 30 runs`` for one that is still going."""
    done = int(np.isfinite(ds["largest_eigenvalue"].sel(kernel="entk")).sum())
    total = ds.sizes["width"] * ds.sizes["seed"]
    if done < total:
        return f"{done} of {total} runs"
    return f"{ds.sizes['seed']} seed" + "s" * (ds.sizes["seed"] > 1)


def class_names(ds: xr.Dataset) -> list[str]:
    """A name for each class 0..c−1 that the labels know; the number itself where the data have no names."""
    names = [plain(name, 12) for name in json.loads(ds.attrs.get("class_names", "[]"))]
    labels = ds["label"].values
    highest = int(labels.max()) if labels.size and np.issubdtype(labels.dtype, np.integer) else -1
    return [names[i] if i < len(names) else str(i) for i in range(highest + 1)]
