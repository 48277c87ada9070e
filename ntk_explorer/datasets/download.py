"""Downloads published data sets into the data folder, each file whole and with the published checksum or not at all.

Nothing else in this library reaches out to a network, and only who asks for it downloads.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ntk_explorer.datasets._published import BLOCK, Form, Publication
from ntk_explorer.datasets._subset import DATASETS
from ntk_explorer.errors import InvalidInput, NTKExplorerError, UnknownName

TIMEOUT = 30  # seconds without a byte
AGENT = {"User-Agent": "ntk-explorer"}  # some sites refuse Python's own name

Show = Callable[[int, int], None]


def publications() -> dict[str, Publication]:
    """Where the data sets that can be downloaded are published, by their names."""
    return {name: entry.extras["publication"] for name, entry in DATASETS.items() if "publication" in entry.extras}


def download(name: str, *, folder: str | Path | None = None, progress: Show | None = None) -> Path:
    """Fetch what is not there of a published data set.

    Args:
        name: of a data set, for instance mnist or cifar10.
        folder: where to; None for the one in which it is looked for.
        progress: called with bytes so far and all bytes.

    Returns:
        The folder, which holds all files now.

    Raises:
        UnknownName: no such data set is published.
        NTKExplorerError: an address cannot be reached, what came is not what was published, or there is no room.
    """
    known = publications()
    if name not in known:
        if name in DATASETS:
            raise InvalidInput(f"{name!r} needs no download", f"These do: {', '.join(sorted(known))}.")
        raise UnknownName("published data set", name, known)
    publication = known[name]
    place = publication.folder if folder is None else Path(folder).expanduser().absolute()
    wanted = publication.lacks(place)
    total, done = sum(form.bytes for form in wanted), 0
    for form in wanted:
        fetch(publication, form, place, progress=_part_of(progress, done, total))
        done += form.bytes
    return place


def _part_of(progress: Show | None, done: int, total: int) -> Callable[[int], None]:
    return lambda count: None if progress is None else progress(done + count, total)


def fetch(publication: Publication, form: Form, folder: Path, *, progress: Callable[[int], None]) -> None:
    """Fetch one file from the first address that has it; it appears in the folder only when it is right."""
    failures = []
    for address in publication.addresses:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _fetch(address + form.name, form, folder, progress)
            return
        except OSError as error:  # of the network (urllib's are among them) or of the disk
            failures.append(f"{address + form.name}: {getattr(error, 'reason', None) or error}")
    problem = f"{form.name} of {publication.name!r} could not be downloaded ({'; '.join(failures)})"
    remedy = (
        f"Fetch it by other means from {publication.page} and put it into {folder}; "
        "the variables http_proxy and https_proxy name a proxy."
    )
    raise NTKExplorerError(problem, remedy)


def _fetch(address: str, form: Form, folder: Path, progress: Callable[[int], None]) -> None:
    from http.client import HTTPException
    from urllib.request import Request, urlopen  # not above: a tenth of a second for one who downloads nothing

    number, partial = tempfile.mkstemp(dir=folder, prefix=f".{form.name}.", suffix=".partial")
    try:
        with os.fdopen(number, "wb") as file, urlopen(Request(address, headers=AGENT), timeout=TIMEOUT) as answer:
            _copy(answer, file, form, progress)
        os.chmod(partial, 0o644)  # temporary files are their owner's alone
        os.replace(partial, folder / form.name)
    except HTTPException as error:
        raise OSError(f"the answer broke off ({error!r})") from None
    finally:
        Path(partial).unlink(missing_ok=True)


def _copy(answer: IO[bytes], file: IO[bytes], form: Form, progress: Callable[[int], None]) -> None:
    """Write what comes, never more than was published.

    Raises:
        OSError: it is not what was published.
    """
    total, count = hashlib.md5(usedforsecurity=False), 0
    while block := answer.read(BLOCK):
        count += len(block)
        if count > form.bytes:
            raise OSError(f"more than the published {form.bytes} bytes came")
        total.update(block)
        file.write(block)
        progress(count)
    if (found := total.hexdigest()) != form.md5:
        raise OSError(f"{count} bytes with MD5 {found} came instead of {form.bytes} bytes with {form.md5}")
