"""The one page that says what an artefact is, and without which nothing of it is believed."""

from __future__ import annotations

import hashlib
import math
import platform
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ntk_explorer.errors import NTKExplorerError
from ntk_explorer.store.keys import KEY, Identity, plain

DATA = "data.zarr"
SHARED = "shared"
ASIDE = "%Y%m%dT%H%M%S%f"  # the time, in UTC, at the end of a name in the quarantine
TAIL = 4  # bytes of the checksum at the end of every chunk
PACKAGES = ("ntk-explorer", "jax", "numpy", "zarr")
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_SUM_LENGTH = len(',"sha256":"') + 64 + len('"}\n')

Scalar = Annotated[bool | int | float | str, BeforeValidator(lambda value: NOT_FINITE.get(value, value))]
Key = Annotated[str, Field(pattern=f"^{KEY.pattern}$")]
# Names in an artefact become names of files, also when another person's archive is read.
Path = Annotated[str, Field(pattern=rf"^{DATA}(/[\w-][\w.-]*)+$")]


class Damaged(NTKExplorerError):
    """Stored bytes that are not those that were written."""


class File(BaseModel):
    """One file of an artefact: its name below the attempt, its size, its SHA-256 and its last bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    bytes: int
    sha256: str
    tail: str

    @classmethod
    def of(cls, path: str, content: bytes) -> File:
        """What the manifest says of a file with this content."""
        digest = hashlib.sha256(content).hexdigest()
        return cls(path=path, bytes=len(content), sha256=digest, tail=content[-TAIL:].hex())

    def holds(self, content: bytes) -> bool:
        """Whether this is the content."""
        return len(content) == self.bytes and hashlib.sha256(content).hexdigest() == self.sha256


class ArrayInfo(BaseModel):
    """Form of one array."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    dtype: str
    dims: tuple[str, ...]


class Manifest(BaseModel):
    """What an artefact was computed from, which files it has, what it cost, and its single numbers.

    As a file it ends with the SHA-256 of everything before, so that a changed number is noticed here too. A text
    among ``scalars`` that reads NaN, Infinity or -Infinity is that number.
    """

    # Fields that a later version adds are not a reason to call its work damaged.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    key: Key
    producer: str
    revision: int
    config: dict[str, Any]
    inputs: tuple[Key, ...]
    fingerprint: str
    dtype: str
    precision: str
    title: str = ""
    attempt: Annotated[str, Field(pattern=rf"^([0-9a-f]{{16}}|{SHARED})$")]
    files: tuple[File, ...] = ()
    arrays: dict[str, ArrayInfo] = {}
    scalars: dict[str, Scalar] = {}
    provenance: dict[str, Any] = {}
    seconds: float = 0.0
    created: datetime

    @property
    def identity(self) -> Identity:
        """What the key was made of."""
        return Identity(**{name: getattr(self, name) for name in Identity.__dataclass_fields__})

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files)

    @property
    def name(self) -> str:
        """Of the manifest itself in the store."""
        return manifest_name(self.key)

    @property
    def folder(self) -> str:
        """Where the files lie in the store."""
        return f"{artefact_folder(self.key)}/{self.attempt}"

    def dump(self) -> bytes:
        """The file's content."""
        return _summed(self.model_dump_json().encode())

    @classmethod
    def load(cls, content: bytes, key: str) -> Manifest:
        """Read a file's content.

        Raises:
            Damaged: it is not what was written, or belongs to another key.
        """
        body = content[:-_SUM_LENGTH] + b"}"
        if _summed(body) != content:
            raise Damaged(f"The manifest of {key} is damaged")
        try:
            manifest = cls.model_validate_json(body)
        except ValidationError as error:
            raise Damaged(f"The manifest of {key} is of another kind: {error.errors()[0]['msg']}") from None
        if manifest.key != key:
            raise Damaged(f"The manifest of {key} is that of {manifest.key}")
        return manifest


def _summed(body: bytes) -> bytes:
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + f',"sha256":"{digest}"}}\n'.encode()


def manifest_name(key: str) -> str:
    """Where the manifest of a key lies in the store."""
    return f"manifests/{key}.json"


def artefact_folder(key: str) -> str:
    """Where all attempts at a key lie in the store."""
    return f"objects/{key[:2]}/{key}"


def write_manifest(
    identity: Identity,
    attempt: str,
    files: list[File],
    arrays: dict[str, ArrayInfo],
    *,
    title: str,
    scalars: dict[str, Any] | None,
    provenance: dict[str, Any] | None,
    seconds: float,
) -> Manifest:
    """The manifest of finished work, made here and now."""
    fields = {name: getattr(identity, name) for name in Identity.__dataclass_fields__}
    return Manifest(
        **fields,
        key=identity.key,
        attempt=attempt,
        title=title,
        files=tuple(sorted(files, key=lambda file: file.path)),
        arrays=arrays,
        scalars=plain(scalars or {}, "scalars"),
        provenance=_here() | plain(provenance or {}, "provenance"),
        seconds=float(seconds),
        created=datetime.now(UTC).replace(microsecond=0),
    )


@cache
def _here() -> dict[str, str]:
    versions = {name: version(name) for name in PACKAGES}
    return {**versions, "python": platform.python_version(), "host": platform.node()}
