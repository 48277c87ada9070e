"""The few steps that reach into JAX's program representation, kept in one place.

Everything here is covered by tests on each supported JAX; what is not public in JAX is used nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend.core as jex

# Calls that only wrap a body; a custom derivative rule is not among them, since its rule must be kept.
_INLINED = {"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"}


def bind(eqn, values: Sequence[Any]) -> list[Any]:
    """Evaluate one equation on values; always a list of its outputs."""
    params = eqn.primitive.get_bind_params(eqn.params)
    # Before JAX 0.10 the functions among the parameters came apart as a first element.
    functions, params = params if isinstance(params, tuple) else ((), params)
    with eqn.ctx.manager:
        outputs = eqn.primitive.bind(*functions, *values, **params)
    return list(outputs) if eqn.primitive.multiple_results else [outputs]


def evaluate(jaxpr, consts: Sequence[Any], args: Sequence[Any], step: Callable[..., list[Any]]) -> list[Any]:
    """Run a jaxpr, letting ``step(index, eqn, values, read) -> outputs`` evaluate each equation.

    ``read(atom)`` gives the value of any atom computed so far.
    """
    env = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, args, strict=True))

    def read(atom):
        return atom.val if isinstance(atom, jex.Literal) else env[atom]

    for index, eqn in enumerate(jaxpr.eqns):
        env.update(zip(eqn.outvars, step(index, eqn, [read(atom) for atom in eqn.invars], read), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def flat_program(function: Callable[..., Any], *args) -> jex.ClosedJaxpr:
    """Trace ``function`` into one flat jaxpr: the bodies of plain calls take the place of the calls.

    Tracing the evaluation again, rather than renaming variables by hand, makes every variable unique even
    where one body is called twice.
    """
    closed = jax.make_jaxpr(function)(*args)
    return jax.make_jaxpr(lambda *flat: _evaluate_inlined(closed.jaxpr, closed.consts, flat))(*jax.tree.leaves(args))


def _evaluate_inlined(jaxpr, consts, args):
    return evaluate(jaxpr, consts, args, _step_inlined)


def _step_inlined(_index, eqn, values, _read):
    body = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
    if eqn.primitive.name not in _INLINED or body is None:
        return bind(eqn, values)
    if isinstance(body, jex.ClosedJaxpr):
        return _evaluate_inlined(body.jaxpr, body.consts, values)
    return _evaluate_inlined(body, (), values)
