"""Epochs of a training as artefacts of the store: what their keys are made of, and how they are written and read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ntk_explorer.errors import InvalidInput
from ntk_explorer.store import Artefact, Damaged, Identity, Manifest, Store, fingerprint
from ntk_explorer.training import SCHEDULES
from ntk_explorer.training.config import TrainingConfig
from ntk_explorer.training.history import BASE, CURVES

if TYPE_CHECKING:
    from ntk_explorer.training.epochs import Epoch

PRODUCER, ROLLING = "training-checkpoint", "training-rolling"
REVISION = 1  # raise it when the numbers of a training change: stored epochs are then trained again


@dataclass(frozen=True)
class StoredTraining:
    """All that the numbers of an ensemble's training depend on, and so what its checkpoints are found by.

    Args:
        network: the function and its initial parameters in words and numbers, for instance an architecture's
            configuration and the seed of the draw; whatever else would change them has to be in it.
        config: the training; its number of epochs counts only where the schedule looks at it.
        examples: :func:`examples_fingerprint` of the examples.
        seeds: members of the ensemble.
        seed: of the batches.
        dtype: of parameters and arithmetic.
        linearised: whether the linearised networks are trained.
    """

    network: Mapping[str, Any]
    config: TrainingConfig
    examples: str
    seeds: int = 1
    seed: int = 0
    dtype: str = "float32"
    linearised: bool = field(default=False, kw_only=True)

    def checkpoint(self, epoch: int, producer: str = PRODUCER) -> Identity:
        """What the ensemble after so many epochs is in the store."""
        uses_total = "uses-total" in SCHEDULES[self.config.schedule].tags
        config = {
            "network": self.network,
            "training": self.config.model_dump(mode="json", exclude=set() if uses_total else {"epochs"}),
            "seeds": self.seeds,
            "seed": self.seed,
            "linearised": self.linearised,
            "epoch": epoch,
        }
        return Identity(producer, REVISION, config, fingerprint=self.examples, dtype=self.dtype)

    def found(self, store: Store, producer: str = PRODUCER) -> set[int]:
        """Epochs of which the store has a checkpoint."""
        manifests = (m for m in store.manifests(producer) if m.fingerprint == self.examples)
        return {m.config["epoch"] for m in manifests if m.key == self.checkpoint(m.config["epoch"], producer).key}


def examples_fingerprint(x: Any, y: Any, x_test: Any = None, y_test: Any = None, *, dtype: str = "float32") -> str:
    """The fingerprint of training and test examples as they are trained on: real numbers in ``dtype``."""
    given = [np.asarray(array) for array in (x, y, x_test, y_test) if array is not None]
    return fingerprint(*(a.astype(dtype if a.dtype.kind == "f" else np.int64) for a in given))


def open_checkpoint(
    store: Store, training: StoredTraining, epoch: int, *, like: Any = None
) -> tuple[Any, xr.Dataset] | None:
    """The parameters of an ensemble after so many epochs, and its history up to there.

    Args:
        store: where it is kept.
        training: what it belongs to.
        epoch: which one.
        like: a pytree with the structure of the parameters (shapes do not matter); nested dictionaries when None.

    Returns:
        Parameters as NumPy arrays with a leading axis of seeds, and the Dataset that
        :class:`~ntk_explorer.training.epochs.Epoch` describes; None where the store has no such checkpoint.
    """
    artefact = store.get(training.checkpoint(epoch).key)
    return None if artefact is None else (_part(artefact.dataset, "params", like), _history(artefact.dataset))


def open_history(store: Store, key: str) -> xr.Dataset | None:
    """The history of a checkpoint alone, without its parameters being read; None where there is none."""
    artefact = store.open(key)
    try:
        return None if artefact is None else _history(artefact.dataset[[*CURVES, BASE]]).load()
    except Damaged:
        return None


def open_params(store: Store, key: str, *, like: Any) -> Any:
    """The parameters of a checkpoint as NumPy arrays with a leading axis of seeds, in the structure of ``like``.

    Raises:
        InvalidInput: the store holds no such checkpoint.
    """
    artefact = store.get(key)
    if artefact is None or artefact.manifest.producer != PRODUCER:
        raise InvalidInput(f"The store holds no checkpoint {key!r}", "Train the network again.")
    return _part(artefact.dataset, "params", like)


def write_checkpoint(store: Store, identity: Identity, epoch: Epoch, *, seconds: float) -> Manifest:
    """Publish an epoch, unless it is there."""
    variables = {
        **_variables("params", epoch.params),
        **_variables("state", epoch.optimizer_state),
        **{name: epoch.history[name] for name in (*CURVES, BASE)},
    }
    latest = epoch.history[list(CURVES)].isel(epoch=-1).mean("seed")
    scalars = {"epoch": epoch.number} | {name: float(latest[name]) for name in CURVES}
    seeds = epoch.history.sizes["seed"]
    title = f"training, epoch {epoch.number}, {seeds} seed{'s' * (seeds > 1)}"
    return store.put(identity, xr.Dataset(variables), title=title, scalars=scalars, seconds=seconds)


def read_epoch(artefact: Artefact, params: Any, state: Any) -> Epoch:
    """The epoch of a checkpoint; ``params`` and ``state`` are pytrees of the structures wanted."""
    from ntk_explorer.training.epochs import Epoch

    dataset, number = artefact.dataset, artefact.manifest.config["epoch"]
    return Epoch(number, _part(dataset, "params", params), _part(dataset, "state", state), _history(dataset))


def _variables(part: str, tree: Any) -> dict[str, xr.Variable]:
    """The arrays of a pytree as variables, named by their paths as far as names of files allow."""
    found, names = {}, Counter()
    for path, leaf in _leaves(tree):
        name = re.sub(r"[^\w.-]", "_", ".".join([part, *path]))
        names[name] += 1
        name += f"-{names[name]}" if names[name] > 1 else ""
        dims = ("seed", *(f"{name}.{axis}" for axis in range(1, leaf.ndim)))
        found[name] = xr.Variable(dims, np.asarray(leaf), {"part": part, "path": json.dumps(path)})
    return found


def _part(dataset: xr.Dataset, part: str, like: Any) -> Any:
    """The pytree that :func:`_variables` was given."""
    arrays = {v.attrs["path"]: v.values for v in dataset.data_vars.values() if v.attrs.get("part") == part}
    if like is None:
        return _nested({tuple(json.loads(path)): array for path, array in arrays.items()})
    import jax  # not above: trainings are planned without jax

    return jax.tree.structure(like).unflatten([arrays[json.dumps(path)] for path, _ in _leaves(like)])


def _nested(arrays: Mapping[tuple[str, ...], np.ndarray]) -> Any:
    tree: dict[str, Any] = {}
    for (*above, last), array in arrays.items():
        branch = tree
        for name in above:
            branch = branch.setdefault(name, {})
        branch[last] = array
    return tree


def _leaves(tree: Any) -> Iterator[tuple[list[str], Any]]:
    """Every array with the parts of its path."""
    import jax  # not above: trainings are planned without jax

    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        yield [jax.tree_util.keystr((part,), simple=True) for part in path], leaf


def _history(dataset: xr.Dataset) -> xr.Dataset:
    history = dataset[[*CURVES, BASE]]
    return history.assign_coords({dim: np.arange(size) for dim, size in history.sizes.items()})
