"""Networks that no kernel can be read from: examples that influence one another, parameters that are NaN.

A kernel's entry belongs to two examples. Batch normalisation in training mode, or anything else that looks
across the batch, makes an output belong to all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ntk_explorer.errors import InvalidInput

# The function is evaluated on two examples, so that compiling it is all that the question costs.
_QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
# On an accelerator one program may add in another order the next time, but not by more than this.
_ROUNDINGS = 64


def require_readable(f: Callable[..., Any], params: Any, x: Any) -> None:
    """Refuse parameters that are not finite and a function whose examples influence one another.

    Raises:
        InvalidInput: either of them; what is traced is let through.
    """
    require_finite(params)
    require_independent(f, params, x)


def require_finite(params: Any) -> None:
    """Refuse parameters that hold NaN or infinite values.

    Raises:
        InvalidInput: naming the first such parameter.
    """
    named = [(path, leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0] if _is_known_real(leaf)]
    if not named:
        return
    with jax.ensure_compile_time_eval():
        leaves = [leaf for _, leaf in named]
        # Looking at each number takes five times as long, and a share of a quick kernel that is worth saving.
        if np.isfinite(jax.device_get(_squares(leaves))).all():
            return
        finite = jax.device_get(_all_finite(leaves))
    wrong = [path for (path, _), good in zip(named, finite, strict=True) if not good]
    if wrong:
        name = jax.tree_util.keystr(wrong[0], simple=True, separator="/")
        raise InvalidInput(
            f"Parameter {name!r} holds NaN or infinite values",
            "Take a checkpoint from before the training diverged.",
        )


def require_independent(f: Callable[..., Any], params: Any, x: Any) -> None:
    """Refuse a function whose output for an example depends on the other examples of its batch.

    One program evaluates the first example beside two others in turn: its output must stay the same number.

    Args:
        f: any ``f(params, x[n, ...]) -> [n, c]``; hashable.
        params: its parameters.
        x: at least one example.

    Raises:
        InvalidInput: the examples influence one another.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((params, x))):
        return
    with jax.ensure_compile_time_eval():
        outputs = [_beside(f, params, x[:1], companion) for companion in _companions(x)]
        mixed = _differ(*jax.device_get(outputs))
    if mixed:
        raise InvalidInput(
            "The function's output for one example changes with the other examples in the batch",
            "Use running averages in batch normalisation (evaluation mode); nothing may look across the batch.",
        )


def _is_known_real(leaf) -> bool:
    return not isinstance(leaf, Tracer) and jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


@jax.jit
def _squares(leaves):
    """Sums of squares: finite only where all numbers are, though large ones may overflow."""
    return [jnp.vdot(leaf, leaf) for leaf in leaves]


@jax.jit
def _all_finite(leaves):
    return [jnp.isfinite(leaf).all() for leaf in leaves]


@jax.jit
def _companions(x):
    """Two unlike examples to put beside the first; whole numbers stay within the range of those that are there."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return jnp.full_like(x[:1], x.min()), jnp.full_like(x[:1], x.max())
    second = x[1:2] if len(x) > 1 else x
    return second, 1.5 * jnp.roll(second, 1, axis=tuple(range(1, x.ndim))) + 1


@partial(jax.jit, static_argnames="f", compiler_options=_QUICKLY)
def _beside(f, params, first, companion):
    """The first example's output, its companion in the same batch."""
    out = f(params, jnp.concatenate([first, companion]))
    # What returns something else than rows of real outputs is refused by name when it is read.
    readable = jnp.ndim(out) == 2 and jnp.issubdtype(jnp.result_type(out), jnp.floating)
    return out[:1] if readable else jnp.zeros((1, 1))


def _differ(one, other) -> bool:
    tolerance = _ROUNDINGS * jnp.finfo(one.dtype).eps * (1 + abs(one))
    return bool((abs(one - other) > tolerance).any())
