"""Sweeps in the store: cells as artefacts, and a record that says which cells make a sweep.

The record is published when a sweep starts; how far the sweep has come is how many of its cells there are. It
holds what the cells do not know, the examples' labels, so that a sweep is opened from the store alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import xarray as xr
from pydantic import ValidationError

from ntk_explorer.datasets import LabelledData
from ntk_explorer.errors import InvalidInput
from ntk_explorer.store import Artefact, Identity, Manifest, Store, fingerprint
from ntk_explorer.store.records import delete_whole, parts_of
from ntk_explorer.sweeps.assembly import CellResult, assemble
from ntk_explorer.sweeps.cells import PRODUCER as CELLS
from ntk_explorer.sweeps.cells import examples
from ntk_explorer.sweeps.differences import network_in_words
from ntk_explorer.sweeps.plan import DERIVED, SweepPlan

PRODUCER = "sweep"
REVISION = 1
# Of a cell's arrays: those along a kernel become one variable.
DIMS = {
    "eigenvalues": ("kernel", "rank"),
    "gram": ("kernel", "x1", "x2"),
    "block_error": ("compared", "x1", "x2"),
}


def keep_cell(store: Store, identity: Identity, cell: CellResult) -> None:
    """Publish a cell: arrays as variables over the kernels, numbers and words in the manifest."""
    single = {name: array for name, array in cell.arrays.items() if array.ndim == 0}
    scalars = {name: array.item() for name, array in single.items() if name not in ("device", "seconds")}
    store.put(
        identity,
        _variables({name: array for name, array in cell.arrays.items() if array.ndim}),
        title=f"width {cell.width}, seed {cell.index}",
        scalars=scalars,
        provenance={"device": str(cell.arrays["device"])},
        seconds=float(cell.arrays["seconds"]),
    )


def _variables(arrays: Mapping[str, np.ndarray]) -> xr.Dataset:
    variables, coords = {}, {}
    for what, dims in DIMS.items():
        named = {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith(f"{what}.")}
        if named:
            coords[dims[0]] = list(named)
            variables[what] = (dims, np.stack(_of_one_length(list(named.values()))))
    return xr.Dataset(variables, coords)


def _of_one_length(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Spectra of the eNTK and of n × n kernels differ in length; the rest is NaN."""
    longest = max(len(array) for array in arrays)
    return [np.pad(array, [(0, longest - len(array)), *[(0, 0)] * (array.ndim - 1)], constant_values=np.nan)
            for array in arrays]  # fmt: skip


def found_cell(store: Store, key: str, place: tuple[int, int], known: dict) -> CellResult | None:
    """A cell of the store, or None where it is absent or damaged."""
    artefact = store.get(key)
    return None if artefact is None else CellResult(*place, _arrays(artefact), known, found=True)


def _arrays(artefact: Artefact) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(value) for name, value in artefact.manifest.scalars.items()}
    for what, variable in artefact.dataset.data_vars.items():
        for name, values in zip(variable[variable.dims[0]].values, variable.values, strict=True):
            arrays[f"{what}.{name}"] = values[np.isfinite(values)] if what == "eigenvalues" else values
    arrays["seconds"] = np.asarray(artefact.manifest.seconds)
    arrays["device"] = np.asarray(artefact.manifest.provenance["device"])
    return arrays


def record_of(plan: SweepPlan, data: LabelledData, cells: Iterable[Identity]) -> Identity:
    """What a sweep is in the store: its plan, its data and its cells."""
    config, known = plan.model_dump(mode="json", exclude={"network": set(DERIVED), "data": {"path"}}), examples(data)
    return Identity(
        PRODUCER,
        REVISION,
        config,
        inputs=tuple(cell.key for cell in cells),
        fingerprint=fingerprint(data.x, known["label"], known["ids"]),  # labels are shown, though no cell uses them
        dtype=plan.dtype,
    )


def keep_record(store: Store, plan: SweepPlan, data: LabelledData, record: Identity) -> None:
    """Publish the record of a sweep, unless it is there."""
    if record.key in store:
        return
    known = examples(data)
    labels = xr.Dataset({"label": ("x1", known["label"]), "ids": ("x1", known["ids"])})
    words = {"class_names": json.dumps([str(name) for name in known["class_names"]])}
    # An upload's path may be gone tomorrow; where the file stays, the plan can be run again as it is.
    path = {} if plan.data.path is None else {"path": str(plan.data.path)}
    store.put(record, labels, title=title(plan), scalars=words | path)


def title(plan: SweepPlan) -> str:
    """A sweep in a few words, for instance ``digits, n = 100 · MLP, depth 3, relu``."""
    return f"{plan.data.name}, n = {plan.data.n} · {network_in_words(plan)}"


@dataclass(frozen=True)
class StoredSweep:
    """A sweep of which the store knows: ``done`` of its cells are there; bytes and seconds are theirs."""

    key: str
    plan: SweepPlan
    done: int
    bytes: int
    seconds: float
    created: datetime
    pinned: bool

    @property
    def total(self) -> int:
        """All of its cells."""
        return len(self.plan.cells)


def stored_sweeps(store: Store, manifests: Iterable[Manifest] | None = None) -> list[StoredSweep]:
    """Every sweep with a record in the store that can be read here, the latest first.

    Args:
        store: where they are kept.
        manifests: all of the store's, where they have been read already.
    """
    by_producer: dict[str, dict[str, Manifest]] = {PRODUCER: {}, CELLS: {}}
    for manifest in store.manifests() if manifests is None else manifests:
        by_producer.setdefault(manifest.producer, {})[manifest.key] = manifest
    pins = store.pins()
    found = [_stored(record, by_producer[CELLS], pins) for record in by_producer[PRODUCER].values()]
    return sorted(filter(None, found), key=lambda sweep: sweep.created, reverse=True)


def _stored(record: Manifest, cells: Mapping[str, Manifest], pins: set[str]) -> StoredSweep | None:
    try:
        plan = _plan(record)
    except ValidationError:  # of another version, or of a plugin that is not installed here
        return None
    there = [cells[key] for key in record.inputs if key in cells]
    return StoredSweep(
        record.key,
        plan,
        len(there),
        record.nbytes + sum(cell.nbytes for cell in there),
        sum(cell.seconds for cell in there),
        record.created,
        record.key in pins,
    )


def _plan(record: Manifest) -> SweepPlan:
    return SweepPlan.model_validate(config_of(record))


def config_of(record: Manifest) -> dict:
    """The fields of a plan by its record, with the path of its data's file, which is no part of the key."""
    config = dict(record.config)
    if "path" in record.scalars:
        config["data"] = {**config["data"], "path": record.scalars["path"]}
    return config


def open_sweep(store: Store, key: str) -> xr.Dataset:
    """A sweep of the store as a Dataset, of as many cells as are there; nothing is computed, no data file read.

    Args:
        store: where it is kept.
        key: the key of its record; :func:`stored_sweeps` lists them.

    Raises:
        InvalidInput: there is no such sweep, or none of its cells is there.
    """
    record = store.get(key)
    if record is None or record.manifest.producer != PRODUCER:
        raise InvalidInput(f"The store holds no sweep {key!r}", "See `ntk-explorer store ls`.")
    plan = _plan(record.manifest)
    return assemble(plan, stored_cells(store, plan, record))


def stored_cells(store: Store, plan: SweepPlan, record: Artefact) -> Iterator[CellResult]:
    """The cells of a record that are there."""
    known = {
        "label": record.dataset["label"].values,
        "ids": record.dataset["ids"].values,
        "class_names": json.loads(str(record.manifest.scalars["class_names"])),
    }
    for place, key in zip(plan.cells, record.manifest.inputs, strict=True):
        if (cell := found_cell(store, key, place, known)) is not None:
            yield cell


def cells_of(store: Store, keys: Iterable[str]) -> tuple[list[Manifest], list[Manifest]]:
    """The cells of some sweeps: those that would be lost with them, and those that other sweeps have too.

    A cell that is pinned by itself counts among the others.
    """
    return parts_of(store, keys, record=PRODUCER, parts=[CELLS])


def delete_sweep(store: Store, key: str) -> list[Manifest]:
    """Remove the record of a sweep and its cells; those that other sweeps have as well stay.

    Args:
        store: where it is kept.
        key: the key of its record.

    Returns:
        The cells that were removed.

    Raises:
        InvalidInput: there is no such sweep.
    """
    return delete_whole(store, key, record=PRODUCER, parts=[CELLS])
