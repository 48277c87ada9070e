"""What every kernel asks of its arguments before any work starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from ntk_explorer.errors import InvalidInput, UnknownName

SHARES = ("layer", "parameter")


def checked_call(
    f: Callable[..., Any],
    x1: Any,
    x2: Any,
    batch_size: int | None,
    by: str | None = None,
    precision: str | None = "highest",
) -> tuple[jax.Array, jax.Array | None]:
    """Both sets of examples as arrays.

    Raises:
        InvalidInput: wrong shapes, NaN or infinite values, a batch size below one, a precision that JAX does not know,
            a function without a hash.
        UnknownName: shares by something else than layers or parameters.
    """
    x1 = checked_examples(x1, "x1")
    x2 = None if x2 is None else checked_examples(x2, "x2")
    if x2 is not None and x2.shape[1:] != x1.shape[1:]:
        raise InvalidInput(f"Examples of x1 have shape {x1.shape[1:]}, of x2 {x2.shape[1:]}", "Give both the same.")
    if batch_size is not None and batch_size < 1:
        raise InvalidInput(f"batch_size is {batch_size}", "Give a positive number, or None for all at once.")
    share_of("", by)
    try:
        with jax.default_matmul_precision(precision):
            pass
    except ValueError:
        raise InvalidInput(
            f"The precision {precision!r} is not known", "Use highest, tensorfloat32 or bfloat16."
        ) from None
    try:
        hash(f)
    except TypeError:
        raise InvalidInput(
            f"The function {f!r} cannot be hashed, so what is compiled for it could not be found again",
            "Pass a function, or a bound method of a frozen object; keep arrays in `params`.",
        ) from None
    return x1, x2


def checked_examples(x: Any, name: str) -> jax.Array:
    """``x`` [n, ...] as an array with at least one example, all of finite values."""
    x = jnp.asarray(x)
    if x.ndim < 2 or x.shape[0] == 0:
        raise InvalidInput(f"{name} has shape {x.shape}", "Give at least one example along the first axis: x[n, ...].")
    if not isinstance(x, Tracer):
        # A concrete x is looked at even while a caller's function around it is being traced.
        with jax.ensure_compile_time_eval():
            finite = jnp.isfinite(x.reshape(len(x), -1)).all(axis=1)
            if not bool(finite.all()):
                raise InvalidInput(
                    f"{name} holds NaN or infinite values, first in example {int(jnp.argmin(finite))}",
                    "Remove or replace them.",
                )
    return x


def layer_of(parameter: str) -> str:
    """The layer that a parameter belongs to: its path without the last part, or itself where it has no other."""
    return parameter.rpartition("/")[0] or parameter


def share_of(parameter: str, by: str | None) -> str:
    """The name of the share that a parameter goes into: its own, its layer's, or the one of everything.

    Raises:
        UnknownName: shares by something else than layers or parameters.
    """
    if by is not None and by not in SHARES:
        raise UnknownName("share", by, SHARES)
    return {None: "", "layer": layer_of(parameter), "parameter": parameter}[by]
