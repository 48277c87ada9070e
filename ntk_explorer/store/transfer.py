"""Artefacts as one file: a plain tar of manifests and the files that they list."""

from __future__ import annotations

import io
import os
import re
import tarfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ntk_explorer.errors import InvalidInput
from ntk_explorer.store.collect import with_inputs
from ntk_explorer.store.keys import KEY
from ntk_explorer.store.manifest import Damaged, Manifest, manifest_name

if TYPE_CHECKING:
    from ntk_explorer.store.artefacts import Store

MANIFEST = re.compile(manifest_name(f"({KEY.pattern})").replace(".json", r"\.json"))
LARGEST_MANIFEST = 64 * 2**20  # bytes: the files of a million chunks


def export(store: Store, keys: Iterable[str], path: Path) -> list[str]:
    """Write artefacts, and those they were computed from as far as these are stored, to one file.

    Args:
        store: the store.
        keys: of the artefacts.
        path: the file; it appears when it is complete.

    Returns:
        The keys that were written, inputs first.

    Raises:
        InvalidInput: a key has no artefact, or the file cannot be written.
        Damaged: an artefact is; it counts as absent from now on.
    """
    keys = list(keys)
    if absent := store.missing(keys):
        raise InvalidInput(f"There is no artefact {min(absent)}", "`ntk-explorer store ls` lists all.")
    manifests = {manifest.key: manifest for manifest in store.manifests()}
    wanted = with_inputs(manifests.values(), keys)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    with _told(path, "written"):
        try:
            with tarfile.open(part, "w") as archive:
                for key in wanted:
                    _add(archive, store, manifests[key])
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return wanted


def import_(store: Store, path: Path) -> list[str]:
    """Take over the artefacts of a file that :func:`export` wrote.

    Only files that a manifest lists are taken, each after its size and SHA-256 were compared; an artefact is
    published when all of it is there.

    Returns:
        The keys that were not there before.

    Raises:
        InvalidInput: the file is no such archive, or is damaged; artefacts that precede the damage are kept.
    """
    taken, seen = [], False
    with _told(path, "read"), tarfile.open(path, "r:") as archive:
        # A sparse member may claim any size, and is none of ours.
        members = (member for member in archive if member.isfile() and not member.issparse())
        member = next(members, None)
        while member is not None:
            manifest = _manifest(archive, member)
            seen = seen or manifest is not None
            if manifest is None or manifest.key in store:
                member = next(members, None)
                continue
            member = _take(store, archive, manifest, members)
            taken.append(manifest.key)
        if not seen:
            raise InvalidInput(f"{str(path)!r} holds no artefacts", "Give a file that `store export` has written.")
    return taken


def _add(archive: tarfile.TarFile, store: Store, manifest: Manifest) -> None:
    try:
        contents = ((f"{manifest.folder}/{file.path}", store.read_file(manifest, file)) for file in manifest.files)
        for name, content in ((manifest.name, manifest.dump()), *contents):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), manifest.created.timestamp()
            archive.addfile(member, io.BytesIO(content))
    except Damaged as damage:
        store.quarantine(manifest)
        raise Damaged(f"{damage.problem} It cannot be exported", "Compute it again.") from None


def _manifest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Manifest | None:
    """The manifest that a member is, or None."""
    found = MANIFEST.fullmatch(member.name)
    if not found or member.size > LARGEST_MANIFEST:
        return None
    manifest = Manifest.load(_content(archive, member), found[1])
    if manifest.identity.key != manifest.key:
        raise Damaged(f"The manifest of {manifest.key} describes another artefact")
    return manifest


def _take(
    store: Store, archive: tarfile.TarFile, manifest: Manifest, members: Iterator[tarfile.TarInfo]
) -> tarfile.TarInfo | None:
    """Publish one artefact from the members that follow its manifest; returns the first that is not its own."""
    # An attempt of its own: under the old name somebody might be writing here.
    here = manifest.model_copy(update={"attempt": uuid.uuid4().hex[:16]})
    expected = {f"{manifest.folder}/{file.path}": file for file in manifest.files}
    member = None
    try:
        for member in members:
            file = expected.pop(member.name, None)
            if file is None:
                break
            content = _content(archive, member) if member.size == file.bytes else b""
            if not file.holds(content):
                raise Damaged(f"{member.name} is damaged")
            store.objects.write(f"{here.folder}/{file.path}", content)
        else:
            member = None
        if expected:
            raise Damaged(f"{len(expected)} files of the artefact {manifest.key} are missing")
        store.publish(here)
    except BaseException:
        store.objects.remove_tree(here.folder)
        raise
    return member


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


@contextmanager
def _told(path: Path, done: str):
    try:
        yield
    except OSError as error:
        cause = error.strerror or os.strerror(error.errno or 0)
        raise InvalidInput(f"{str(path)!r} cannot be {done}: {cause}", "Choose another file.") from None
    except tarfile.TarError as error:
        raise InvalidInput(f"{str(path)!r} is no whole archive of artefacts: {error}", "Export it again.") from None
    except Damaged as damage:
        remedy = damage.remedy or "Export it again."
        raise InvalidInput(f"{str(path)!r} cannot be {done}: {damage.problem}", remedy) from None
