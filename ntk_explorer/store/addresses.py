"""Bytes under names, in a folder or in a bucket: obstore's calls with our rules for errors and absent folders."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from ntk_explorer.errors import InvalidInput, NTKExplorerError

if TYPE_CHECKING:
    from obstore import ObjectMeta

VARIABLE = "NTK_EXPLORER_STORE"
BUCKETS = {"s3": "s3://bucket/folder", "gs": "gs://bucket/folder", "az": "az://container/folder"}
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# A person waits for the answer: after three tries, some seconds apart, a bucket counts as unreachable.
PATIENCE: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
CLIENT: Any = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=120)}
REQUESTS = 32  # to a bucket at the same time
NO_BUCKET = re.compile("NoSuchBucket|ContainerNotFound|bucket does not exist")
STAGED = re.compile(r"#\d+$|\.partial$")  # files that obstore, and zarr, had not finished when their process ended

Item = TypeVar("Item")
Result = TypeVar("Result")


def store_address() -> str:
    """Where results are kept: ``$NTK_EXPLORER_STORE``, else :func:`own_folder`."""
    return os.environ.get(VARIABLE) or own_folder()


def own_folder() -> str:
    """The user's own store, in the data folder of this system."""
    import platformdirs

    return str(platformdirs.user_data_path("ntk-explorer") / "store")


def normalise(address: str | Path | None) -> str:
    """The address that means the same to every process: folders absolute, ``file://`` as a folder.

    Raises:
        InvalidInput: the scheme is none of ours, or the bucket has no name.
    """
    text = os.fspath(address or store_address())
    found = SCHEME.match(text)
    if not found:
        return str(Path(text).expanduser().absolute())
    scheme, parts = found[1].lower(), urlsplit(text)
    if scheme == "file":
        return str(Path(unquote(parts.path)).absolute())
    if scheme == "memory":
        return f"memory://{(parts.netloc + parts.path).strip('/')}"
    if scheme not in BUCKETS:
        remedy = f"Give a folder, or one of {', '.join(BUCKETS.values())}, memory://."
        raise InvalidInput(f"{text!r} is no address of a store: {scheme!r} is unknown", remedy)
    if not parts.netloc:
        raise InvalidInput(f"{text!r} names no bucket", f"Write {BUCKETS[scheme]}.")
    return text.rstrip("/")


class Objects:
    """The objects of one address; a folder is made when something is first written to it."""

    def __init__(self, address: str):
        """``address`` as :func:`normalise` gives it."""
        self.address = address
        self.folder = None if SCHEME.match(address) else Path(address)
        self.private = address.startswith("memory://")
        self._root: Any = None

    def root(self, *, writing: bool = False) -> Any:
        """The obstore store; that of an absent folder is empty."""
        if self._root is None:
            with self.explained():
                if self.folder and not writing and not self.folder.exists():
                    return _memory("absent")
                if self.folder and self.folder.exists() and not self.folder.is_dir():
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
                self._root = _open(self.address, self.folder)
        return self._root

    def read(self, name: str) -> bytes:
        """Content of one object; FileNotFoundError where there is none."""
        import obstore

        with self.explained():
            return bytes(obstore.get(self.root(), name).bytes())

    def ending(self, name: str, size: int, length: int) -> bytes:
        """The last bytes of an object of known size."""
        import obstore

        with self.explained():
            return bytes(obstore.get_range(self.root(), name, start=max(0, size - length), end=size)) if size else b""

    def write(self, name: str, content: bytes) -> None:
        """Write one object whole or not at all."""
        import obstore

        with self.explained():
            obstore.put(self.root(writing=True), name, content)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one: of several processes exactly one succeeds."""
        import obstore

        with self.explained():
            try:
                obstore.put(self.root(writing=True), name, content, mode="create", use_multipart=False)
            except obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        import obstore

        with self.explained():
            try:
                obstore.head(self.root(), name)
            except FileNotFoundError:
                return False
        return True

    def below(self, prefix: str) -> list[ObjectMeta]:
        """All objects below a prefix, by one request (in a bucket: one for each thousand)."""
        import obstore

        with self.explained():
            return list(obstore.list(self.root(), f"{prefix}/", chunk_size=1000).collect())

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below a prefix."""
        import obstore

        with self.explained():
            found = obstore.list_with_delimiter(self.root(), f"{prefix}/")["common_prefixes"]
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are gone already are no error."""
        import obstore

        def one(name: str) -> None:
            with self.explained(), suppress(FileNotFoundError):
                obstore.delete(self.root(), name)

        self.each(one, names)

    def remove_tree(self, prefix: str) -> None:
        """Remove all objects below a prefix; in a folder also what is left of unfinished files."""
        self.remove(item["path"] for item in self.below(prefix))
        if self.folder:
            shutil.rmtree(self.folder / prefix, ignore_errors=True)

    def move(self, source: str, target: str) -> None:
        """Give an object another name; one that is gone already is no error."""
        import obstore

        with self.explained(), suppress(FileNotFoundError):
            obstore.rename(self.root(writing=True), source, target)

    def each(self, call: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """The calls' results in order; made side by side where each waits for a network."""
        items = list(items)
        if self.folder or self.private or len(items) < 2:
            return [call(item) for item in items]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(REQUESTS, len(items))) as pool:
            return list(pool.map(call, items))

    def staged(self) -> Iterator[Path]:
        """Files of a folder that were never finished; listings do not show them."""
        for path in self.folder.rglob("*") if self.folder else ():
            if STAGED.search(path.name) and path.is_file():
                yield path

    @contextmanager
    def explained(self):
        """What goes wrong within, said as one sentence with a remedy; FileNotFoundError passes."""
        try:
            yield
        except NTKExplorerError:
            raise
        except Exception as error:
            ours = isinstance(error, OSError) or type(error).__module__.startswith("obstore")
            absent = isinstance(error, FileNotFoundError) and not NO_BUCKET.search(str(error))
            if absent or not ours:
                raise
            raise _sentence(error, self) from None


@cache
def _memory(_name: str) -> Any:
    """The store of this process that goes by a name."""
    from obstore.store import MemoryStore

    return MemoryStore()


def _open(address: str, folder: Path | None) -> Any:
    from obstore import store

    if folder:
        return store.LocalStore(folder, mkdir=True, automatic_cleanup=True)
    if address.startswith("memory://"):
        return _memory(address)
    # Options of ours replace obstore's own, among them what this variable says.
    plain_text = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
    return store.from_url(address, client_options=CLIENT | {"allow_http": plain_text}, retry_config=PATIENCE)


def _sentence(error: Exception, objects: Objects) -> NTKExplorerError:
    """The cause in the system's words, which obstore keeps in its message only."""
    text = str(error).partition("\n")[0]
    found = re.search(r"os error (\d+)", text)
    number = getattr(error, "errno", None) or (int(found[1]) if found else None)
    place = f"the store {objects.address!r}"
    if number in (errno.ENOSPC, errno.EDQUOT):
        remedy = "Free space (`ntk-explorer store gc`), or let --store or $NTK_EXPLORER_STORE name another place."
        return NTKExplorerError(f"The disk that holds {place} is full", f"{remedy} What was stored before is kept.")
    if objects.folder:
        cause = os.strerror(number) if number else text
        return InvalidInput(
            f"Cannot use {place}: {cause}", f"Let --store or ${VARIABLE} name a folder you can write to."
        )
    remedy = "Check the bucket's name, the network and your credentials (AWS_*, GOOGLE_* or AZURE_* variables)."
    return InvalidInput(f"Cannot use {place}: {_of_bucket(error, text)}", remedy)


def _of_bucket(error: Exception, text: str) -> str:
    denied = type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError") or "AccessDenied" in text
    if denied:
        return "access is denied"
    if NO_BUCKET.search(str(error)):
        return "there is no such bucket"
    if re.search(r"error sending request|connect|dns|timed out", text, re.IGNORECASE):
        return "it cannot be reached"
    return text[:200]
