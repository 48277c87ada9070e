"""Gram matrices in the store, as a list shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from ntk_explorer.errors import UnknownName
from ntk_explorer.kernels import KERNELS
from ntk_explorer.store import Manifest, Store
from ntk_explorer.sweeps.gram_plan import PRODUCER, GramPlan


@dataclass(frozen=True)
class StoredGram:
    """A Gram matrix that the store holds whole; ``shape`` is that of its array."""

    key: str
    plan: GramPlan
    shape: tuple[int, ...]
    bytes: int
    seconds: float
    created: datetime
    pinned: bool


def stored_grams(store: Store, manifests: Iterable[Manifest] | None = None) -> list[StoredGram]:
    """Every Gram matrix whose plan can be read here, the latest first; see :func:`stored_sweeps`."""
    pins = store.pins()
    grams = (m for m in (store.manifests(PRODUCER) if manifests is None else manifests) if m.producer == PRODUCER)
    return [found for manifest in grams if (found := _stored(manifest, pins)) is not None]


def _stored(manifest: Manifest, pins: set[str]) -> StoredGram | None:
    try:
        plan = _plan(manifest)
        _ = KERNELS[plan.kernel]
    except (ValidationError, UnknownName, KeyError):  # of another version, or of a plugin that is not installed here
        return None
    shape = max((info.shape for info in manifest.arrays.values()), key=len, default=())
    return StoredGram(
        manifest.key,
        plan,
        shape,
        manifest.nbytes,
        manifest.seconds,
        manifest.created,
        manifest.key in pins,
    )


def _plan(manifest: Manifest) -> GramPlan:
    config = dict(manifest.config)
    sweep = {"data": config.pop("data"), "network": config.pop("network"), "seeds": 1}
    sweep |= {"widths": (config.pop("width"),), "seed": config.pop("seed"), "dtype": manifest.dtype}
    trained = {"checkpoint": manifest.inputs[0]} if manifest.inputs else {}
    return GramPlan.model_validate({"sweep": sweep, "precision": manifest.precision, **trained, **config})
