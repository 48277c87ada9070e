"""What a result was computed from, and the key that follows from it."""

from __future__ import annotations

import hashlib
import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ntk_explorer.errors import InvalidInput

KEY = re.compile(r"[0-9a-f]{64}")
PRODUCER = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Identity:
    """All that the numbers of a result depend on, and nothing else.

    Versions, devices, hosts and times are no part of it: they stand in the manifest. Two identities are the same
    work when their keys are equal.

    Args:
        producer: what computes it, e.g. ``"sweep-cell"``.
        revision: raised by a developer when the producer's numbers or names change.
        config: the whole configuration, defaults filled in: text, numbers, booleans, None, lists and mappings of them.
        inputs: keys of the artefacts it was computed from, in order.
        fingerprint: of the data, by :func:`fingerprint`.
        dtype: of the arithmetic.
        precision: of matrix products.

    Raises:
        InvalidInput: the configuration holds a value that JSON has no one form for.
    """

    producer: str
    revision: int
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    fingerprint: str = ""
    dtype: str = ""
    precision: str = "highest"

    def __post_init__(self):
        """Check the fields; keep the configuration as plain Python values of our own."""
        if not PRODUCER.fullmatch(self.producer):
            raise InvalidInput(f"{self.producer!r} is no name of a producer", "Use small letters, digits and hyphens.")
        object.__setattr__(self, "inputs", tuple(map(check_key, self.inputs)))
        object.__setattr__(self, "config", plain(self.config, "config", finite=True))

    @cached_property
    def key(self) -> str:
        """SHA-256 of the fields as canonical JSON (RFC 8785): the order of names and 1 against 1.0 change nothing."""
        import rfc8785  # not above: whoever only reads needs no keys

        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        try:
            return hashlib.sha256(rfc8785.dumps(fields)).hexdigest()
        except rfc8785.CanonicalizationError as error:
            remedy = "Whole numbers have to lie within ±(2^53 - 1); give larger ones as text."
            raise InvalidInput(f"No key can be made of the configuration: {error}", remedy) from None

    def __hash__(self) -> int:
        """By key, since a configuration is a dictionary."""
        return hash(self.key)


def plain(value: Any, where: str, *, finite: bool = False) -> Any:
    """The value as JSON's own types: numpy's numbers as Python's, tuples as lists, mappings in a copy."""
    if value is None or isinstance(value, str | bool | np.bool_):
        return value if value is None else bool(value) if not isinstance(value, str) else str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        if finite and not math.isfinite(value):
            raise InvalidInput(f"{where} is {value}, of which no key can be made", "Give a finite number.")
        return float(value)
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {str(name): plain(item, f"{where}.{name}", finite=finite) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(item, f"{where}[{i}]", finite=finite) for i, item in enumerate(value)]
    remedy = "Give text, numbers, lists or mappings with text as names; arrays by their fingerprint."
    raise InvalidInput(f"{where} is of type {type(value).__name__}, which has no one form as text", remedy)


def fingerprint(*arrays: Any) -> str:
    """SHA-256 over type, shape and numbers of arrays; the same on every machine, whatever its byte order."""
    total = hashlib.sha256()
    for given in arrays:
        array = np.asarray(given)
        if array.dtype.hasobject:
            raise InvalidInput("An array of Python objects has no fingerprint", "Give numbers, or text of one length.")
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        total.update(f"{array.dtype.name} {array.shape}\n".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def check_key(key: str) -> str:
    """The key itself, which becomes part of file names.

    Raises:
        InvalidInput: it is none.
    """
    if not KEY.fullmatch(key):
        raise InvalidInput(f"{key!r} is no key", "A key is 64 hexadecimal digits, as in Identity.key.")
    return key
