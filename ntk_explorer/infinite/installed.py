"""Whether neural-tangents is there, asked without importing it or jax."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "neural-tangents"
REMEDY = "Run: pip install --no-deps neural-tangents==0.6.5 frozendict (`make serve` and `make test` do so)."


def installed_version() -> str | None:
    """The version of neural-tangents that is installed, with the one package it cannot do without; else None."""
    try:
        version("frozendict")
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return None
