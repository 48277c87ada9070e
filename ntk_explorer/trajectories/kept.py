"""Trajectories in the store: moments as artefacts beside the checkpoints, and a record that says what belongs together.

The record is published when a run starts and holds what the parts do not know, labels and inputs to draw, so that a
trajectory is opened from the store alone, as far as it has come.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import xarray as xr
from pydantic import ValidationError

from ntk_explorer.errors import InvalidInput
from ntk_explorer.store import Artefact, Identity, Manifest, Store
from ntk_explorer.store.records import delete_whole
from ntk_explorer.sweeps.differences import network_in_words
from ntk_explorer.sweeps.kept import config_of
from ntk_explorer.sweeps.plan import DERIVED
from ntk_explorer.training.checkpoints import PRODUCER as CHECKPOINTS
from ntk_explorer.training.checkpoints import ROLLING
from ntk_explorer.trajectories.assembly import KNOWN_DIMS, LAYOUT, STARTS, Curves, Moment, assemble_trajectory
from ntk_explorer.trajectories.parts import MOMENTS, Parts, Place
from ntk_explorer.trajectories.plan import TrajectoryPlan
from ntk_explorer.trajectories.setting import Facts
from ntk_explorer.trajectories.trainings import found_curves

PRODUCER = "trajectory"
REVISION = 1
REFUSAL = "refusal."  # before the name of a kernel, among the scalars of a moment


def keep_moment(store: Store, identity: Identity, moment: Moment, plan: TrajectoryPlan) -> None:
    """Publish a moment: arrays with their dims and the kernels' names."""
    arrays = {name: array for name, array in moment.arrays.items() if name in LAYOUT}
    variables = {name: (sum(LAYOUT[name], ()), array) for name, array in arrays.items()}
    store.put(
        identity,
        xr.Dataset(variables, {"kernel": list(plan.kernels), "start": list(STARTS)}),
        title=f"width {moment.width}, seed {moment.index}, epoch {moment.epoch}",
        scalars={f"{REFUSAL}{kernel}": why for kernel, why in moment.refusals.items()},
        provenance={"device": str(moment.arrays["device"])},
        seconds=float(moment.arrays["seconds"]),
    )


def found_moment(store: Store, key: str, place: Place, *, found: bool = True) -> Moment | None:
    """A moment of the store, or None where it is absent or damaged."""
    artefact = store.get(key)
    if artefact is None:
        return None
    arrays = {str(name): variable.values for name, variable in artefact.dataset.data_vars.items()}
    arrays["seconds"] = np.asarray(artefact.manifest.seconds)
    arrays["device"] = np.asarray(artefact.manifest.provenance["device"])
    refusals = {
        name.removeprefix(REFUSAL): str(why)
        for name, why in artefact.manifest.scalars.items()
        if name.startswith(REFUSAL)
    }
    return Moment(*place, arrays, refusals, found)


def record_of(parts: Parts) -> Identity:
    """What a trajectory is in the store: its plan, its examples and its parts."""
    config = parts.plan.model_dump(mode="json", exclude={"network": set(DERIVED), "data": {"path"}})
    return Identity(
        PRODUCER,
        REVISION,
        config,
        inputs=(*parts.keys, *parts.checkpoints),
        fingerprint=parts.facts.examples,
        dtype=parts.plan.dtype,
    )


def keep_record(store: Store, parts: Parts) -> Identity:
    """Publish the record of a trajectory, unless it is there."""
    record, plan, facts = record_of(parts), parts.plan, parts.facts
    if record.key in store:
        return record
    known = xr.Dataset({name: (dims, facts.known[name]) for name, dims in KNOWN_DIMS.items() if name in facts.known})
    words = {
        "class_names": json.dumps([str(name) for name in facts.known["class_names"]]),
        "task": facts.known["task"],
        "trained_on": facts.trained_on,
        "inputs": json.dumps(facts.inputs),
        "outputs": facts.outputs,
    }
    # An upload's path may be gone tomorrow; where the file stays, the plan can be run again as it is.
    path = {} if plan.data.path is None else {"path": str(plan.data.path)}
    store.put(record, known, title=title(plan), scalars=words | path)
    return record


def title(plan: TrajectoryPlan) -> str:
    """A trajectory in a few words, for instance ``digits, n = 1437 · MLP, depth 3, relu · 100 epochs``."""
    epochs = plan.training.epochs
    words = f"{epochs} epoch{'s' * (epochs > 1)} of {plan.training.optimizer}"
    return f"{plan.data.name}, n = {plan.data.n} · {network_in_words(plan)} · {words}"


@dataclass(frozen=True)
class StoredTrajectory:
    """A trajectory of which the store knows: ``done`` of its trainings and moments are there; bytes and seconds too."""

    key: str
    plan: TrajectoryPlan
    done: int
    bytes: int
    seconds: float
    created: datetime
    pinned: bool

    @property
    def total(self) -> int:
        """All of its trainings and moments."""
        return len(self.plan.widths) * (1 + self.plan.linearised) + len(self.plan.moments)


def stored_trajectories(store: Store, manifests: Iterable[Manifest] | None = None) -> list[StoredTrajectory]:
    """Every trajectory with a record in the store that can be read here, the latest first.

    Args:
        store: where they are kept.
        manifests: all of the store's, where they have been read already.
    """
    everything = {m.key: m for m in (store.manifests() if manifests is None else manifests)}
    pins, records = store.pins(), [m for m in everything.values() if m.producer == PRODUCER]
    found = filter(None, (_stored(record, everything, pins) for record in records))
    return sorted(found, key=lambda trajectory: trajectory.created, reverse=True)


def _stored(record: Manifest, everything: Mapping[str, Manifest], pins: set[str]) -> StoredTrajectory | None:
    try:
        plan = _plan(record)
    except ValidationError:  # of another version, or of a plugin that is not installed here
        return None
    there = [everything[key] for key in record.inputs if key in everything]
    found = StoredTrajectory(
        record.key,
        plan,
        0,
        record.nbytes + sum(part.nbytes for part in there),
        sum(part.seconds for part in there),
        record.created,
        record.key in pins,
    )
    return replace(found, done=sum(key in everything for key in record.inputs[: found.total]))


def _plan(record: Manifest) -> TrajectoryPlan:
    return TrajectoryPlan.model_validate(config_of(record))


def open_trajectory(store: Store, key: str) -> xr.Dataset:
    """A trajectory of the store as a Dataset, as far as it has come; nothing is computed, no data file read.

    Args:
        store: where it is kept.
        key: the key of its record; :func:`stored_trajectories` lists them.

    Raises:
        InvalidInput: there is no such trajectory, or nothing of it has been computed.
    """
    parts = _parts(_record(store, key))
    found = list(stored_parts(store, parts))
    if not found:
        raise InvalidInput("Nothing of the trajectory has been computed yet", "Let its training begin.")
    return assemble_trajectory(parts.plan, parts.facts.known, found)


def stored_parts(store: Store, parts: Parts) -> Iterator[Curves | Moment]:
    """What the store has of a trajectory: curves first."""
    for run, training in parts.trainings.items():
        if (curves := found_curves(store, run, training, parts.plan.training.epochs)) is not None:
            yield curves
    present = store.keys()
    for place, identity in parts.moments.items():
        if identity.key in present and (moment := found_moment(store, identity.key, place)) is not None:
            yield moment


def _record(store: Store, key: str) -> Artefact:
    record = store.get(key)
    if record is None or record.manifest.producer != PRODUCER:
        raise InvalidInput(f"The store holds no trajectory {key!r}", "See `ntk-explorer store ls`.")
    return record


def _parts(record: Artefact) -> Parts:
    manifest = record.manifest
    known: dict[str, Any] = {str(name): variable.values for name, variable in record.dataset.data_vars.items()}
    known["class_names"] = json.loads(str(manifest.scalars["class_names"]))
    known["task"] = str(manifest.scalars["task"])
    facts = Facts(
        known,
        manifest.fingerprint,
        str(manifest.scalars["trained_on"]),
        tuple(json.loads(str(manifest.scalars["inputs"]))),
        int(manifest.scalars["outputs"]),
    )
    return Parts.of(_plan(manifest), facts)


def delete_trajectory(store: Store, key: str) -> list[Manifest]:
    """Remove the record of a trajectory, its moments and its checkpoints; what other trajectories have too stays.

    Args:
        store: where it is kept.
        key: the key of its record.

    Returns:
        The parts that were removed.

    Raises:
        InvalidInput: there is no such trajectory.
    """
    parts = _parts(_record(store, key))
    lost = delete_whole(store, key, record=PRODUCER, parts=[MOMENTS, CHECKPOINTS])
    for training in parts.trainings.values():
        for epoch in training.found(store, ROLLING):
            store.delete(training.checkpoint(epoch, ROLLING).key)
    return lost
