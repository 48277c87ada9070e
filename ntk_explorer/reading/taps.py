"""Sensitivities of the outputs at every site, and per-example gradients of all other parameters.

The network is traced for one example. At each site a zero *tap* is added to the equation's output; one
batched VJP with respect to the taps (and to the general parameters) then gives everything a tangent
kernel needs. The VJP is mapped over examples with the parameters held fixed, so that matrix products stay
matrix products.

The shapes are those of :mod:`ntk_explorer.reading.contract`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ntk_explorer.errors import InvalidInput
from ntk_explorer.reading._jaxpr import bind, evaluate, flat_program
from ntk_explorer.reading.contract import Factors, Gradients, materialise
from ntk_explorer.reading.convolution import convolve
from ntk_explorer.reading.sites import Site, find_sites
from ntk_explorer.reading.unfold import factors_of


@dataclass(frozen=True)
class Reading:
    """A network's program for one example, its sites, and the leaves that have none."""

    program: Any
    sites: dict[int, Site]
    general: tuple[int, ...]
    names: tuple[str, ...]
    outputs: int

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all parameter leaves."""
        return [var.aval.shape for var in self.program.jaxpr.invars[:-1]]


def parameter_names(params: Any) -> tuple[str, ...]:
    """The path of every leaf, its parts joined by slashes: ``dense_0/weight``."""
    paths, _ = jax.tree_util.tree_flatten_with_path(params)
    return tuple(jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths)


def read_network(f: Callable[..., Any], params: Any, x: Any) -> Reading:
    """Trace ``f(params, x[n, ...]) -> [n, c]`` for one example and find its sites.

    Raises:
        InvalidInput: ``f`` does not return one row of outputs per example, or a parameter is not real floating point.
    """
    named, tree = jax.tree_util.tree_flatten_with_path(params)
    leaves = [jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)) for _, leaf in named]
    names = parameter_names(params)
    for name, leaf in zip(names, leaves, strict=True):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise InvalidInput(
                f"Parameter {name!r} has dtype {leaf.dtype}",
                "Tangent kernels need real floating-point parameters: keep integers and states out of `params`.",
            )
    shape = jnp.shape(x)
    if len(shape) < 2:
        raise InvalidInput(f"Inputs have shape {shape}", "Give examples along the first axis: x[n, ...].")
    example = jax.ShapeDtypeStruct(shape[1:], jnp.result_type(x))

    def single(leaves, example):
        out = f(jax.tree.unflatten(tree, leaves), example[None])
        if jnp.ndim(out) != 2 or out.shape[0] != 1:
            raise InvalidInput(
                f"The function returns shape {jnp.shape(out)} for one example of shape {shape[1:]}",
                "It must return [n, c]: one row of c outputs per example.",
            )
        return out[0]

    program = flat_program(single, leaves, example)
    sites, general = find_sites(program.jaxpr, len(leaves))
    return Reading(program, sites, tuple(sorted(general)), names, program.out_avals[0].shape[0])


def tap(
    reading: Reading,
    leaves: list[jax.Array],
    x: jax.Array,
    cotangents: jax.Array,
    *,
    materialised: frozenset[int] = frozenset(),
    at_a_time: Callable[[int], int] = lambda _: 1,
) -> dict[int, Factors | Gradients]:
    """Factors of every sited leaf and gradients of every general leaf, for examples ``x`` [n, ...].

    Args:
        reading: the network's program.
        leaves: parameter leaves, in the order of the tree.
        x: examples.
        cotangents: [k, c] directions in output space along which the outputs are differentiated.
        materialised: sited leaves whose gradients are wanted as they are.
        at_a_time: bytes that an example's unfolded inputs and its gradient take -> examples whose gradients are
            formed side by side.

    Returns:
        Leaf index -> Factors or Gradients, in the order of the leaves.
    """
    met, at_sites, gradients = jax.vmap(partial(_sensitivities, reading, leaves), in_axes=(0, None))(x, cotangents)
    found: dict[int, Factors | Gradients] = dict(zip(reading.general, map(Gradients, gradients), strict=True))
    for index, site in reading.sites.items():
        one = partial(factors_of, reading.program.jaxpr.eqns[index], site.data_operand)
        operands = met[index], at_sites[index]
        if site.value.leaf in materialised:
            found[site.value.leaf] = _each_materialised(one, operands, at_a_time)
        else:
            found[site.value.leaf] = jax.vmap(one)(*operands)
    return dict(sorted(found.items()))


def _each_materialised(one, operands, at_a_time) -> Gradients:
    """Gradients example by example: what is unfolded for one stays close to the processor, for all it would not."""

    def gradient(pair):
        return materialise(one(*pair))

    shapes = jax.eval_shape(lambda pair: (one(*pair), gradient(pair)), jax.tree.map(lambda a: a[0], operands))
    size = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(shapes))
    return jax.lax.map(gradient, operands, batch_size=at_a_time(size))


def _sensitivities(reading, leaves, example, cotangents):
    """Data operands and output sensitivities at the sites of one example, and gradients of the general leaves."""
    jaxpr, consts = reading.program.jaxpr, reading.program.consts

    def run(taps, general):
        values = list(leaves)
        for index, leaf in zip(reading.general, general, strict=True):
            values[index] = leaf
        met = {}

        def step(index, eqn, operands, read):
            if index not in reading.sites:
                return bind(eqn, operands)
            site = reading.sites[index]
            met[index] = operands[site.data_operand] * site.value.factor(read)
            is_convolution = eqn.primitive.name == "conv_general_dilated"
            value = convolve(eqn, *operands) if is_convolution else bind(eqn, operands)[0]
            return [value + taps[index]]

        return evaluate(jaxpr, consts, [*values, example], step)[0], met

    taps = {
        i: jnp.zeros(jaxpr.eqns[i].outvars[0].aval.shape, jaxpr.eqns[i].outvars[0].aval.dtype) for i in reading.sites
    }
    out, pullback, met = jax.vjp(run, taps, [leaves[i] for i in reading.general], has_aux=True)
    at_sites, gradients = jax.vmap(pullback)(cotangents.astype(out.dtype))
    return met, at_sites, [values.reshape(len(values), -1) for values in gradients]
