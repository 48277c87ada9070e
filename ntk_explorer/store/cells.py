"""A folder of arrays by key: written whole or not at all, and never trusted without a check."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import platformdirs

from ntk_explorer.errors import InvalidInput, NTKExplorerError

VARIABLE = "NTK_EXPLORER_STORE"
DIGEST = hashlib.sha256().digest_size


def store_directory() -> Path:
    """Where finished work is kept: ``$NTK_EXPLORER_STORE``, else the user's cache directory of this system."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else platformdirs.user_cache_path("ntk-explorer") / "cells"


class CellStore:
    """Named arrays under hexadecimal keys, one npz file each, followed by the SHA-256 of its bytes.

    A file appears under its name only when it is complete, and its sum is verified when it is read: an
    interrupted or damaged file counts as absent. Several processes may share a folder.
    """

    def __init__(self, directory: str | Path | None = None):
        """Use ``directory``, or :func:`store_directory`; it is made when something is first kept."""
        self.directory = Path(directory) if directory else store_directory()

    def path(self, key: str) -> Path:
        """The file of a key."""
        return self.directory / f"{key}.npz"

    def __contains__(self, key: str) -> bool:
        """Whether there is a file for ``key``, damaged or not."""
        return self.path(key).exists()

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays of ``key``, or None; a damaged file is moved aside as ``<key>.damaged``."""
        path = self.path(key)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _explained(error, self.directory) from None
        body, digest = content[:-DIGEST], content[-DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            with suppress(FileNotFoundError):  # another process was faster
                path.replace(path.with_suffix(".damaged"))
            return None
        with np.load(io.BytesIO(body), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def put(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep the arrays of ``key``.

        Raises:
            NTKExplorerError: the disk is full.
            InvalidInput: the folder cannot be written to.
        """
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
        temporary = None
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.directory, prefix="part-", delete=False) as file:
                temporary = Path(file.name)
                file.write(buffer.getbuffer())
                # After the end of a zip file: numpy.load still opens it.
                file.write(hashlib.sha256(buffer.getbuffer()).digest())
            temporary.replace(self.path(key))
        except OSError as error:
            raise _explained(error, self.directory) from None
        finally:
            if temporary:
                temporary.unlink(missing_ok=True)


def _explained(error: OSError, directory: Path) -> NTKExplorerError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NTKExplorerError(
            f"The disk that holds {str(directory)!r} is full", f"Free space, or let {VARIABLE} name another folder."
        )
    return InvalidInput(
        f"Cannot use the store {str(directory)!r}: {error.strerror}",
        f"Let {VARIABLE} name a folder you can write to.",
    )
