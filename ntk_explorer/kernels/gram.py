"""Labelled Gram matrices: the same numbers as the kernel functions, with dimensions and provenance."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ntk_explorer.kernels import KERNELS
from ntk_explorer.kernels.estimate import estimate

if TYPE_CHECKING:
    import xarray as xr

    from ntk_explorer.architectures import Network


def gram(
    name: str,
    network: Network,
    params: Any,
    x: Any,
    x2: Any = None,
    *,
    labels: Sequence[Any] | None = None,
    labels2: Sequence[Any] | None = None,
) -> xr.DataArray:
    """The Gram matrix of a kernel as a labelled array, computed in tiles that fit in memory.

    Args:
        name: a kernel of ``KERNELS``.
        network: anything with ``apply(params, x)`` and, for the provenance, ``config``.
        params: parameters of the network.
        x: examples [n, ...].
        x2: examples [m, ...]; ``x`` again when None.
        labels: one label per example of ``x``, kept as coordinate ``label1``.
        labels2: one label per example of ``x2``, kept as coordinate ``label2``.

    Returns:
        DataArray with dims (x1, x2), or (x1, x2, c, d) for kernels of all pairs of outputs; attrs say which
        kernel, network, dtype and versions made it.

    Raises:
        UnknownName: no such kernel.
        InvalidInput: shapes, dtypes or NaN that no kernel can be computed from.
        TooLarge: the result and the smallest tile do not fit in memory.
    """
    import numpy as np
    import xarray as xr

    card = KERNELS[name]
    values = np.asarray(card(network.apply, params, x, x2, batch_size=_fitting_batch(name, network, params, x, x2)))
    dims = ("x1", "x2", "c", "d")[: values.ndim]
    coords = {
        coordinate: (dim, np.asarray(given))
        for coordinate, dim, given in (("label1", "x1", labels), ("label2", "x2", labels if x2 is None else labels2))
        if given is not None
    }
    attrs = {
        "kernel": name,
        "network": str(getattr(network, "config", network)),
        "dtype": str(values.dtype),
        "ntk_explorer": version("ntk-explorer"),
        "jax": version("jax"),
    }
    return xr.DataArray(values, dims=dims, coords=coords, name=card.label, attrs=attrs)


def _fitting_batch(name, network, params, x, x2) -> int:
    """The largest halving of all examples whose tiles fit into half of the memory at hand."""
    from ntk_explorer.reading.machine import available_bytes  # not above: cards are read without jax

    budget = available_bytes() // 2
    batch = max(len(x), 0 if x2 is None else len(x2))
    cost = estimate(name, network.apply, params, x, x2, batch_size=batch)
    while cost.bytes > budget and batch > 1:
        batch = (batch + 1) // 2
        cost = estimate(name, network.apply, params, x, x2, batch_size=batch)
    cost.require(budget, "Take fewer examples, fewer classes, a narrower network, or float32.")
    return batch
