"""Networks to look at: each module beside this one registers an architecture with its configuration.

These modules import jax only inside the functions that build, so that menus, links and the command line
can read and check configurations without it.
"""

from __future__ import annotations

from functools import lru_cache

from pydantic import ValidationError

from ntk_explorer.architectures._base import ArchitectureConfig, ImageConfig, Network
from ntk_explorer.errors import UnknownName, explain_validation
from ntk_explorer.registry import Registry

ARCHITECTURES = Registry("architecture", __name__)

__all__ = ["ARCHITECTURES", "ArchitectureConfig", "ImageConfig", "Network", "build", "configure"]


def configure(architecture: str, **options) -> ArchitectureConfig:
    """The checked configuration of one architecture, from which :func:`build` makes a network.

    Args:
        architecture: a name of ``ARCHITECTURES``.
        **options: fields of that architecture's configuration.

    Returns:
        The configuration, frozen and hashable.

    Raises:
        UnknownName: no such architecture.
        InvalidInput: an option is unknown or out of bounds.
    """
    config = ARCHITECTURES[architecture].config
    for name in options:
        if name not in config.model_fields:
            raise UnknownName(f"option of {architecture}", name, set(config.model_fields) - {"architecture"})
    try:
        return config(architecture=architecture, **options)
    except ValidationError as error:
        raise explain_validation(error) from None


def build(architecture: str | ArchitectureConfig, **options) -> Network:
    """Build a network from an architecture's name and options, or from its configuration.

    Equal configurations return the same object, so that functions compiled for it are found again.

    Args:
        architecture: a name of ``ARCHITECTURES`` or a configuration.
        **options: fields of that architecture's configuration, for instance ``width=512``,
            ``inputs=(64,)``, ``outputs=10``.

    Returns:
        A :class:`Network` with ``init(key) -> params`` and ``apply(params, x[n, ...]) -> [n, c]``.

    Raises:
        UnknownName: no such architecture.
        InvalidInput: an option is unknown, out of bounds, or does not fit the input shape.
    """
    if isinstance(architecture, str):
        return _built(configure(architecture, **options))
    return _built(architecture.replace(**options) if options else architecture)


@lru_cache(maxsize=256)
def _built(config: ArchitectureConfig) -> Network:
    return ARCHITECTURES[config.architecture](config)
