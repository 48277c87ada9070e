"""Records: artefacts that say, by their inputs, which others make a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ntk_explorer.errors import InvalidInput
from ntk_explorer.store.artefacts import Store
from ntk_explorer.store.manifest import Manifest


def parts_of(
    store: Store, keys: Iterable[str], *, record: str, parts: Collection[str]
) -> tuple[list[Manifest], list[Manifest]]:
    """The parts of some records: those that would be lost with them, and those that other records have too.

    Args:
        store: where they are kept.
        keys: keys of the records.
        record: what makes such records.
        parts: what makes their parts.

    Returns:
        Both lists; a part that is pinned by itself is in the second.
    """
    records, keys = store.manifests(record), set(keys)
    named = {key for each in records if each.key in keys for key in each.inputs}
    stay = {key for each in records if each.key not in keys for key in each.inputs} | store.pins()
    there = [part for made_by in parts for part in store.manifests(made_by) if part.key in named]
    return [part for part in there if part.key not in stay], [part for part in there if part.key in stay]


def delete_whole(store: Store, key: str, *, record: str, parts: Collection[str]) -> list[Manifest]:
    """Remove a record and its parts; those that other records have as well stay.

    Returns:
        The parts that were removed.

    Raises:
        InvalidInput: there is no such record.
    """
    if not any(each.key == key for each in store.manifests(record)):
        raise InvalidInput(f"The store holds no {record} {key!r}", "See `ntk-explorer store ls`.")
    lost, _ = parts_of(store, [key], record=record, parts=parts)
    store.delete(key)  # first: parts without a record are still found by whoever computes the whole again
    for part in lost:
        store.delete(part.key)
    return lost
