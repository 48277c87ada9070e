"""The store with as many results as a year of work leaves: listing them, and putting and getting one."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from run import Figure

from ntk_explorer.store import Identity, Store

ARTEFACTS = 3000
CELLS = 100


def cell(examples: int) -> xr.Dataset:
    """The arrays that a cell of a sweep keeps."""
    random = np.random.default_rng(0)
    return xr.Dataset(
        {
            "gram": (("kernel", "x1", "x2"), random.normal(size=(3, examples, examples)).astype(np.float32)),
            "eigenvalues": (("kernel", "rank"), random.normal(size=(3, examples))),
            "error": (("kernel",), random.normal(size=3)),
        },
        coords={
            "label": ("x1", [f"class {i % 10}" for i in range(examples)]),
            "ids": ("x1", [f"example {i}" for i in range(examples)]),
        },
    )


def identity(producer: str, number: int) -> Identity:
    network = {"architecture": "mlp", "width": 128, "depth": 3, "activation": "relu"}
    return Identity(producer, 1, {"network": network, "number": number}, dtype="float32")


def seconds(work: Callable[[], Any], repeats: int = 1) -> float:
    """The shortest of some times."""

    def once() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return min(once() for _ in range(repeats))


def measure() -> Iterator[Figure]:
    """Put and get of a cell of 150 examples; listing with and without the index."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NTK_EXPLORER_INDEX"] = f"{folder}/index"
        address, large, small = f"{folder}/store", cell(150), cell(4)
        store = Store(address)
        times = [seconds(lambda n=n: store.put(identity("cell", n), large, seconds=1.0)) for n in range(CELLS)]
        yield Figure("store: put one cell (median)", float(np.median(times)), 0.025)
        times = [seconds(lambda n=n: store.get(identity("cell", n).key)) for n in range(CELLS)]
        yield Figure("store: get one cell (median)", float(np.median(times)), 0.010)
        for number in range(ARTEFACTS - CELLS):
            store.put(identity("small", number), small, scalars={"trace": 1.0}, seconds=1.0)
        Store(address).manifests()
        listing = seconds(lambda: Store(address).manifests(), 3)
        yield Figure(f"store: list {ARTEFACTS:,} artefacts", listing, 0.5)
        shutil.rmtree(Path(folder) / "index")
        yield Figure("store: the same, index deleted", seconds(lambda: Store(address).manifests()), 2)
