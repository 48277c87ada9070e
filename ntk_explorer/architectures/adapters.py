"""Models of flax and equinox as networks, so that every kernel reads them.

Each adapter returns ``(network, params)``: ``params`` holds the model's trainable real arrays and nothing
else, ``network.apply(params, x)`` is the model itself on a batch, without dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntk_explorer.architectures._base import Network
from ntk_explorer.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """Where a network came from that no configuration of ours describes; equal only to itself."""

    library: str
    model: str


def from_flax(module: Any, example: Any = None, *, key: Any = None, variables: Any = None, **options):
    """Take over a flax model, of the linen or the nnx kind.

    Args:
        module: a ``flax.linen.Module``, or a ``flax.nnx.Module`` that holds its own parameters (put it in
            evaluation mode first, with ``module.eval()``).
        example: a batch of at least two inputs x [n, ...]; linen needs it to find its shapes, and with it
            the model is checked to treat examples independently.
        key: linen only: draws the parameters.
        variables: linen only: the parameters (and statistics) to use instead of drawing them.
        **options: passed to every call of the model, for instance ``train=False``.

    Returns:
        The network and its parameters. For linen, ``network.init(key)`` draws new ones.

    Raises:
        InvalidInput: neither key nor variables are given, or an example's output depends on the others.

    Example:
        >>> import flax.linen as nn, jax, numpy as np
        >>> network, params = from_flax(nn.Dense(3), np.ones((2, 4)), key=jax.random.key(0))
        >>> network.apply(params, np.ones((5, 4))).shape
        (5, 3)
    """
    # flax is an optional companion, and importing it imports jax.
    from flax import linen, nnx

    if isinstance(module, linen.Module):
        network, params = _from_linen(module, example, key, variables, options)
    elif isinstance(module, nnx.Module):
        network, params = _from_nnx(module, options)
    else:
        raise InvalidInput(f"{type(module).__name__} is no flax module", "Pass a linen.Module or nnx.Module instance.")
    if example is not None:
        _check_independence(network, params, example)
    return network, params


def from_equinox(model: Any, *, channels_first: bool = False) -> tuple[Network, Any]:
    """Take over an equinox model, which maps one example to its outputs.

    Args:
        model: an ``equinox.Module`` called with one example; dropout is switched off.
        channels_first: move the channels of images [n, h, w, c] to where equinox's convolutions expect
            them, (c, h, w), before the model is called.

    Returns:
        The network and its parameters: the model with everything but its real arrays replaced by None.

    Raises:
        InvalidInput: ``model`` is no equinox module.

    Example:
        >>> import equinox as eqx, jax, numpy as np
        >>> network, params = from_equinox(eqx.nn.MLP(4, 3, 8, 2, key=jax.random.key(0)))
        >>> network.apply(params, np.ones((5, 4))).shape
        (5, 3)
    """
    # equinox is an optional companion, and importing it imports jax.
    import equinox
    import jax
    import jax.numpy as jnp

    if not isinstance(model, equinox.Module) or not callable(model):
        raise InvalidInput(f"{type(model).__name__} is no callable equinox module", "Pass an equinox.Module instance.")
    params, static = equinox.partition(equinox.nn.inference_mode(model), equinox.is_inexact_array)

    def apply(params, x):
        return jax.vmap(equinox.combine(params, static))(jnp.moveaxis(x, -1, 1) if channels_first else x)

    return _network("equinox", model, apply), params


def _from_linen(module, example, key, variables, options):
    from flax.errors import ModifyScopeVariableError

    if variables is None and (key is None or example is None):
        raise InvalidInput(
            f"{type(module).__name__} has no parameters yet", "Pass an example and a key to draw them, or variables."
        )

    def draw(key):
        return module.init(key, example, **options)

    rest = dict(draw(key) if variables is None else variables)
    params, fixed = _split(rest.pop("params", {}))

    def apply(params, x):
        try:
            return module.apply({"params": _join(params, fixed), **rest}, x, **options)
        except ModifyScopeVariableError:
            raise InvalidInput(
                f"{type(module).__name__} writes to its own state when it is called, as batch normalisation does in "
                "training mode",
                "Switch it to evaluation mode: use_running_average=True, or the option of the model that does so.",
            ) from None

    def init(key):
        if example is None:
            raise InvalidInput(f"{type(module).__name__} cannot be drawn anew without an example", "Pass an example.")
        return _split(draw(key)["params"])[0]

    return _network("flax.linen", module, apply, init), params


def _from_nnx(module, options):
    import jax.numpy as jnp
    from flax import nnx

    def trainable(path, variable):  # noqa: ARG001 - the signature of nnx's filters
        return isinstance(variable, nnx.Param) and jnp.issubdtype(variable.dtype, jnp.inexact)

    graph, params, rest = nnx.split(module, trainable, ...)

    def apply(params, x):
        # Merging makes a new object at each call, so that nothing the model writes leaves the trace.
        return nnx.merge(graph, params, rest)(x, **options)

    return _network("flax.nnx", module, apply), nnx.to_pure_dict(params)


def _split(tree):
    """A tree's real arrays and its other leaves, each with None in the other's places."""
    import jax
    import jax.numpy as jnp

    def real(leaf):
        return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)

    return (
        jax.tree.map(lambda leaf: leaf if real(leaf) else None, tree),
        jax.tree.map(lambda leaf: None if real(leaf) else leaf, tree),
    )


def _join(params, fixed):
    import jax

    return jax.tree.map(lambda a, b: b if a is None else a, params, fixed, is_leaf=lambda leaf: leaf is None)


def _network(library: str, model: Any, apply: Callable, init: Callable | None = None) -> Network:
    """``apply`` with inputs brought to the parameters' dtype, and an ``init`` that refuses where there is none."""
    import jax
    import jax.numpy as jnp

    name = type(model).__name__

    def cast_and_apply(params, x):
        x = jnp.asarray(x)
        leaves = jax.tree.leaves(params)
        # Whole numbers are tokens or indices, which a model looks up.
        real = leaves and jnp.issubdtype(x.dtype, jnp.inexact)
        return apply(params, x.astype(jnp.result_type(*leaves)) if real else x)

    def refuse(key):  # noqa: ARG001 - the signature of every network's init
        raise InvalidInput(
            f"{name} came with its parameters and cannot be drawn anew", "Build one model per seed and take over each."
        )

    return Network(ForeignModel(library, name), init or refuse, cast_and_apply)


def _check_independence(network: Network, params: Any, example: Any) -> None:
    """Kernels are sums over single examples: outputs that depend on the batch have none."""
    together = np.asarray(network.apply(params, example))
    alone = np.asarray(network.apply(params, example[:1]))
    tolerance = np.sqrt(np.finfo(together.dtype).eps) * (1 + np.abs(together[:1]).max())
    if not np.allclose(together[:1], alone, rtol=0, atol=tolerance):
        raise InvalidInput(
            f"{network.config.model} gives an example other outputs alone than in a batch",
            "Use running averages in batch normalisation: train=False, or module.eval() for nnx.",
        )
