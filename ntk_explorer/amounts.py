"""Amounts of memory as people write and read them."""

from __future__ import annotations

import re

from ntk_explorer.errors import InvalidInput

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {f"{unit}I": 1024**power for power, unit in enumerate("KMGT", start=1)}


def read_bytes(text: str) -> int:
    """Bytes of ``8GB``, ``500 MB``, ``1.5GiB`` or a plain number."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", text.upper())
    if not found or found[2] not in UNITS or float(found[1]) == 0:
        raise InvalidInput(f"{text!r} is no amount of memory", "Write for instance 8GB or 500MB.")
    return int(float(found[1]) * UNITS[found[2]])


def human_bytes(count: float) -> str:
    """Bytes in the unit a person reads: ``1.5 GB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""
