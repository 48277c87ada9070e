"""Finished work on disk or in a bucket, found again by what it was computed from."""

from ntk_explorer.store.addresses import store_address
from ntk_explorer.store.artefacts import Artefact, Store
from ntk_explorer.store.attempt import Attempt, Incomplete
from ntk_explorer.store.keys import Identity, fingerprint
from ntk_explorer.store.manifest import Damaged, Manifest

__all__ = [
    "Artefact",
    "Attempt",
    "Damaged",
    "Identity",
    "Incomplete",
    "Manifest",
    "Store",
    "fingerprint",
    "store_address",
]
