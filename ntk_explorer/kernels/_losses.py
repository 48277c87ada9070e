"""Losses as networks of one output: with the label packed beside its example, a loss is a function like any other.

The gradient of ℓ(f(x), y) is Jᵀ r with r = ∂ℓ/∂f, so the tangent kernel of this network is rᵀ Θ r', read and
contracted like that of any network and never through Θ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.reading.checks import checked_call
from ntk_explorer.reading.taps import read_network


def _cross_entropy(outputs, targets):
    return jax.nn.logsumexp(outputs, axis=-1) - jnp.sum(targets * outputs, axis=-1)


def _squared(outputs, targets):
    return jnp.sum((outputs - targets) ** 2, axis=-1) / 2


def _margin(outputs, targets):
    others = jnp.where(targets > 0, -jnp.inf, outputs)
    return jnp.sum(targets * outputs, axis=-1) - jax.nn.logsumexp(others, axis=-1)


LOSSES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "cross_entropy": _cross_entropy,
    "squared": _squared,
    "margin": _margin,
}


@dataclass(frozen=True)
class LossNetwork:
    """``(params, [x | target]) -> ℓ(f(params, x), target)`` [n, 1]; ``shape`` and ``dtype`` are those of one x."""

    f: Callable[..., Any]
    loss: str
    shape: tuple[int, ...]
    dtype: str

    def __call__(self, params, packed):
        """The losses of rows of examples and targets."""
        size = math.prod(self.shape)
        x = packed[:, :size].reshape(-1, *self.shape).astype(self.dtype)
        outputs = self.f(params, x)
        return LOSSES[self.loss](outputs, packed[:, size:].astype(outputs.dtype))[:, None]


class LabelledCall(NamedTuple):
    """A loss network and its examples with their targets, and the examples of the rows alone."""

    network: LossNetwork
    packed1: jax.Array
    packed2: jax.Array | None
    x1: jax.Array


def labelled_call(f, params, x1, x2, *, y1, y2, loss: str, batch_size=None, by=None) -> LabelledCall:
    """The loss network of ``f`` and the packed rows of both sets of examples.

    Raises:
        InvalidInput: labels that are missing, of another number than the examples, or no classes of the network.
    """
    if loss not in LOSSES:
        raise UnknownName("loss", loss, LOSSES)
    x1, x2 = checked_call(f, x1, x2, batch_size, by)
    if x2 is None and y2 is not None:
        raise InvalidInput("There are labels y2 but no examples x2", "Give x2 as well, or leave y2 out.")
    outputs = read_network(f, params, x1).outputs
    if outputs == 1 and loss != "squared":
        raise InvalidInput(f"The {loss} loss of a single output says nothing", "Use loss='squared', or two outputs.")
    targets = regression_targets if loss == "squared" else one_hot_targets
    network = LossNetwork(f, loss, x1.shape[1:], x1.dtype.name)
    packed1 = _packed(x1, targets(_given(y1, x1, "1"), "y1", outputs))
    packed2 = None if x2 is None else _packed(x2, targets(_given(y2, x2, "2"), "y2", outputs))
    return LabelledCall(network, packed1, packed2, x1)


def packed_shapes(f, params, x1, x2, loss: str) -> tuple[LossNetwork, Any, Any, Any]:
    """The loss network, its parameters and the shapes of packed rows, for what is said before labels are known."""
    outputs = read_network(f, params, x1).outputs
    network = LossNetwork(f, loss, tuple(x1.shape[1:]), jnp.dtype(x1.dtype).name)

    def packed(x):
        targets = jax.ShapeDtypeStruct((x.shape[0], outputs), "float32")
        return jax.eval_shape(_packed, jax.ShapeDtypeStruct(x.shape, x.dtype), targets)

    return network, params, packed(x1), None if x2 is None else packed(x2)


_ELSEWHERE = {"1": "labels in gram, y in kernel_operator", "2": "labels2 in gram"}


def _given(y, x, side: str) -> jax.Array:
    if y is None:
        raise InvalidInput(
            f"This kernel uses labels, and those of x{side} are missing",
            f"Pass y{side}: the class of each example, from 0 to c − 1 ({_ELSEWHERE[side]}).",
        )
    y = jnp.asarray(y)
    if y.ndim == 0 or len(y) != len(x):
        raise InvalidInput(f"y{side} has shape {y.shape} for {len(x)} examples", "Give one label per example.")
    return y


def one_hot_targets(y: jax.Array, name: str, outputs: int) -> jax.Array:
    """Classes [n] as one-hot rows [n, c].

    Raises:
        InvalidInput: they are not whole numbers, or the network has no output for one.
    """
    if y.ndim != 1 or not jnp.issubdtype(y.dtype, jnp.integer):
        raise InvalidInput(
            f"{name} has shape {y.shape} and dtype {y.dtype}", "Give whole numbers [n]: the class of each example."
        )
    if not isinstance(y, Tracer):
        with jax.ensure_compile_time_eval():
            outside = (y < 0) | (y >= outputs)
            if bool(outside.any()):
                where = int(jnp.argmax(outside))
                raise InvalidInput(
                    f"{name} holds class {int(y[where])} (example {where}), and the network has {outputs} outputs",
                    f"Number the classes from 0 to {outputs - 1}.",
                )
    return jax.nn.one_hot(y, outputs, dtype="float32")


def regression_targets(y: jax.Array, name: str, outputs: int) -> jax.Array:
    """Targets [n, c] as they are, of a single output also [n]; classes [n] as one-hot rows."""
    if y.ndim == 1 and outputs > 1:
        return one_hot_targets(y, name, outputs)
    y = y.reshape(len(y), -1)
    if y.shape[1] != outputs:
        raise InvalidInput(f"{name} holds {y.shape[1]} targets per example for {outputs} outputs", "Give [n, c].")
    y = y if jnp.issubdtype(y.dtype, jnp.floating) else y.astype("float32")
    if not isinstance(y, Tracer):
        with jax.ensure_compile_time_eval():
            if not bool(jnp.isfinite(y).all()):
                raise InvalidInput(f"{name} holds NaN or infinite values", "Remove or replace them.")
    return y


def _packed(x, targets):
    """Rows of examples and targets, in a dtype that holds both (token numbers up to 2²⁴ in float32)."""
    both = jnp.promote_types(x.dtype, targets.dtype)
    return jnp.concatenate([x.reshape(len(x), -1).astype(both), targets.astype(both)], axis=1)
