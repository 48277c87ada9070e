"""Finished work on disk, found again by what it was computed from."""

from ntk_explorer.store.cells import CellStore, store_directory

__all__ = ["CellStore", "store_directory"]
