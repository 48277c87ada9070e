"""What the page reads of the store and does to it; nothing here touches the page."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ntk_explorer.amounts import human_bytes
from ntk_explorer.store.records import parts_of
from ntk_explorer.sweeps import kept
from ntk_explorer.sweeps.estimate import human_seconds
from ntk_explorer.sweeps.gram_plan import PRODUCER as GRAM
from ntk_explorer.sweeps.kept import StoredSweep
from ntk_explorer.sweeps.kept_grams import StoredGram, stored_grams
from ntk_explorer.trajectories import kept as kept_trajectories
from ntk_explorer.trajectories.kept import CHECKPOINTS, MOMENTS, StoredTrajectory, stored_trajectories
from ntk_explorer.trajectories.kept import PRODUCER as TRAJECTORY

if TYPE_CHECKING:
    from ntk_explorer.store import Store
    from ntk_explorer.store.collect import Usage

Item = StoredSweep | StoredTrajectory | StoredGram
WHOLES = (kept.PRODUCER, TRAJECTORY, GRAM)


@dataclass(frozen=True)
class Contents:
    """What the store holds; ``others`` is the number of them whose plan cannot be read here.

    ``quarantined`` counts what was found damaged and has not been computed again.
    """

    items: tuple[Item, ...]
    usage: Usage
    others: int
    quarantined: int


@dataclass(frozen=True)
class Loss:
    """What deleting some items takes away; ``shared`` parts stay, since other items have them too."""

    items: tuple[Item, ...]
    parts: int
    shared: int
    bytes: int
    seconds: float

    @property
    def text(self) -> str:
        """In words."""
        what = title(self.items[0]) if len(self.items) == 1 else f"{len(self.items)} results"
        # Of a sweep they are called cells; a training has checkpoints and kernels.
        part, others = ("part", "others")
        if all(isinstance(item, StoredSweep) for item in self.items):
            part, others = "cell", "other sweeps"
        whole = f"{what}, with {_counted(self.parts, part)}" if self.parts else what
        lost = f"{whole}: {human_bytes(self.bytes)} that took {human_seconds(self.seconds)} to compute."
        stay = f" {_counted(self.shared, part)} that {others} have too will stay." if self.shared else ""
        return lost + stay


def read_contents(store: Store) -> Contents:
    """List the store, the latest first."""
    manifests = store.manifests()
    items = [
        *kept.stored_sweeps(store, manifests),
        *stored_trajectories(store, manifests),
        *stored_grams(store, manifests),
    ]
    items.sort(key=lambda item: item.created, reverse=True)
    listed = sum(manifest.producer in WHOLES for manifest in manifests)
    lost = {name.partition(".")[0] for name in store.quarantined} - {manifest.key for manifest in manifests}
    return Contents(tuple(items), store.usage(manifests), listed - len(items), len(lost))


def read_loss(store: Store, items: Sequence[Item]) -> Loss:
    """Find out what would be lost with some items."""
    keys = {kind: [item.key for item in items if isinstance(item, kind)] for kind in (StoredSweep, StoredTrajectory)}
    cells, other_cells = kept.cells_of(store, keys[StoredSweep])
    parts, other_parts = parts_of(store, keys[StoredTrajectory], record=TRAJECTORY, parts=[MOMENTS, CHECKPOINTS])
    own, shared = [*cells, *parts], [*other_cells, *other_parts]
    grams = [item for item in items if isinstance(item, StoredGram)]
    return Loss(
        tuple(items),
        len(own),
        len(shared),
        sum(part.nbytes for part in own) + sum(gram.bytes for gram in grams),
        sum(part.seconds for part in own) + sum(gram.seconds for gram in grams),
    )


def delete(store: Store, items: Sequence[Item]) -> None:
    """Remove items; parts that others have too stay."""
    for item in items:
        if isinstance(item, StoredSweep):
            kept.delete_sweep(store, item.key)
        elif isinstance(item, StoredTrajectory):
            kept_trajectories.delete_trajectory(store, item.key)
        else:
            store.delete(item.key)


def pack(store: Store, keys: Sequence[str]) -> bytes:
    """The content of a file that `ntk-explorer store import` takes."""
    with tempfile.TemporaryDirectory(prefix="ntk-explorer-") as folder:
        path = Path(folder) / "results.tar"
        store.export(keys, path)
        return path.read_bytes()


def title(item: Item) -> str:
    """A stored thing in a few words."""
    if isinstance(item, StoredSweep):
        return kept.title(item.plan)
    return kept_trajectories.title(item.plan) if isinstance(item, StoredTrajectory) else item.plan.title


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)
