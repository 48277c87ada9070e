"""What this host knows of a store: a copy of its manifests, and when each artefact was last used.

A cache in SQLite, one file per address, on this host's own disk: SQLite's log is not made for network file systems.
Deleted or damaged it is built again from the manifests; only the times of last use are then lost.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import platformdirs

VARIABLE = "NTK_EXPLORER_INDEX"
SCHEMA = """
CREATE TABLE IF NOT EXISTS manifests (key TEXT PRIMARY KEY, stamp TEXT, producer TEXT, content BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uses (key TEXT PRIMARY KEY, time REAL) WITHOUT ROWID;
"""
IN_MEMORY = ":memory:"
PATIENCE = 5.0  # seconds to wait for another process

Result = TypeVar("Result")


def index_path(address: str) -> str:
    """The file for one store: in ``$NTK_EXPLORER_INDEX``, else in the user's cache directory of this host."""
    if address.startswith("memory://"):
        return IN_MEMORY
    folder = os.environ.get(VARIABLE) or platformdirs.user_cache_path("ntk-explorer") / "index"
    return str(Path(folder) / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.sqlite")


class Index:
    """The cache of one store; nothing that goes wrong in it reaches its user."""

    def __init__(self, address: str):
        """Opens no file before it is needed."""
        self.path = index_path(address)
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def rows(self) -> dict[str, tuple[str, str, bytes]]:
        """By key, the stamp, producer and content of the manifests that are known: of all, some or none."""
        query = "SELECT key, stamp, producer, content FROM manifests"
        return {key: tuple(row) for key, *row in self._do(lambda c: c.execute(query).fetchall())}

    def update(self, rows: Iterable[tuple[str, str, str, bytes]], gone: Iterable[str] = ()) -> None:
        """Take over manifests (key, stamp, producer, content) and forget others."""
        rows, keys = list(rows), [(key,) for key in gone]
        if rows:
            self._do(lambda c: c.executemany("INSERT OR REPLACE INTO manifests VALUES (?, ?, ?, ?)", rows))
        if keys:
            self._do(lambda c: c.executemany("DELETE FROM manifests WHERE key = ?", keys))

    def used(self, key: str) -> None:
        """Remember that an artefact was used now."""
        self._do(lambda c: c.execute("INSERT OR REPLACE INTO uses VALUES (?, ?)", (key, time.time())))

    def uses(self) -> dict[str, float]:
        """Time of last use on this host, in seconds since 1970."""
        return dict(self._do(lambda c: c.execute("SELECT key, time FROM uses").fetchall()))

    def forget(self, key: str) -> None:
        """Forget all of an artefact."""
        self.update((), [key])
        self._do(lambda c: c.execute("DELETE FROM uses WHERE key = ?", (key,)))

    def _do(self, action: Callable[[sqlite3.Connection], Result]) -> Result:
        with self._lock:
            try:
                return self._try(action)
            except sqlite3.OperationalError:  # locked for long, no room, no permission
                self._close(IN_MEMORY)
            except sqlite3.DatabaseError:  # damaged
                self._close(self.path)
                for end in ("", "-wal", "-shm"):
                    with suppress(OSError):
                        Path(self.path + end).unlink(missing_ok=True)
            try:
                return self._try(action)
            except sqlite3.Error:
                self._close(IN_MEMORY)
                return self._try(action)

    def _try(self, action: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._connection is None:
            self._connection = _connect(self.path)
            weakref.finalize(self, self._connection.close)
        with self._connection:
            return action(self._connection)

    def _close(self, path: str) -> None:
        """Go on at ``path``."""
        self.path = path
        if self._connection:
            self._connection.close()
            self._connection = None


def _connect(path: str) -> sqlite3.Connection:
    if path != IN_MEMORY:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise sqlite3.OperationalError(str(error)) from None
    connection = sqlite3.connect(path, timeout=PATIENCE, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # a cache: what a power cut takes is read again
        connection.executescript(SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
