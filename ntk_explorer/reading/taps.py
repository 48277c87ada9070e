"""Sensitivities of the outputs at every site, and per-example gradients of all other parameters.

The network is traced for one example. At each site a zero *tap* is added to the equation's output; one
batched VJP with respect to the taps (and to the general parameters) then gives everything a tangent
kernel needs. The VJP is mapped over examples with the parameters held fixed, so that matrix products stay
matrix products.

Shapes: ``inputs`` w × [n s p], ``sensitivities`` [n k s o], ``gradients`` [n k q], with n examples, k
cotangents, w window places (one for a dense layer), s positions, p fan-in per place, o fan-out, q parameters.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ntk_explorer.errors import InvalidInput
from ntk_explorer.reading._jaxpr import bind, evaluate, flat_program
from ntk_explorer.reading.sites import Site, find_sites


class Factors(NamedTuple):
    """A gradient as a sum over positions of outer products: Σ_s inputs_s ⊗ sensitivities_s.

    A convolution's inputs are kept apart by place in the window: each is a shifted slice of the image, and
    putting them side by side would copy the image once per place.
    """

    inputs: tuple[jax.Array, ...]
    sensitivities: jax.Array


class Gradients(NamedTuple):
    """A gradient as it is, flattened over the parameter's entries."""

    values: jax.Array


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


def read_network(f: Callable[..., Any], params: Any, x: Any) -> Reading:
    """Trace ``f(params, x[n, ...]) -> [n, c]`` for one example and find its sites.

    Raises:
        InvalidInput: ``f`` does not return one row of outputs per example, or a parameter is not real floating point.
    """
    named, tree = jax.tree_util.tree_flatten_with_path(params)
    leaves = [jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)) for _, leaf in named]
    names = tuple(jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in named)
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
    reading: Reading, leaves: list[jax.Array], x: jax.Array, cotangents: jax.Array
) -> dict[int, Factors | Gradients]:
    """Factors of every sited leaf and gradients of every general leaf, for examples ``x`` [n, ...].

    Args:
        reading: the network's program.
        leaves: parameter leaves, in the order of the tree.
        x: examples.
        cotangents: [k, c] directions in output space along which the outputs are differentiated.

    Returns:
        Leaf index -> Factors or Gradients.
    """
    return jax.vmap(partial(_tap_one, reading, leaves), in_axes=(0, None))(x, cotangents)


def _tap_one(reading, leaves, example, cotangents):
    jaxpr, consts = reading.program.jaxpr, reading.program.consts

    def run(taps, general):
        values = list(leaves)
        for index, leaf in zip(reading.general, general, strict=True):
            values[index] = leaf
        met = {}

        def step(index, eqn, operands, read):
            outputs = bind(eqn, operands)
            if index in reading.sites:
                site = reading.sites[index]
                met[index] = operands[site.data_operand] * site.value.factor(read)
                outputs[0] = outputs[0] + taps[index]
            return outputs

        return evaluate(jaxpr, consts, [*values, example], step)[0], met

    taps = {
        i: jnp.zeros(jaxpr.eqns[i].outvars[0].aval.shape, jaxpr.eqns[i].outvars[0].aval.dtype) for i in reading.sites
    }
    out, pullback, met = jax.vjp(run, taps, [leaves[i] for i in reading.general], has_aux=True)
    at_sites, gradients = jax.vmap(pullback)(cotangents.astype(out.dtype))
    found = {
        site.value.leaf: _factors(jaxpr.eqns[index], site, met[index], at_sites[index])
        for index, site in reading.sites.items()
    }
    return found | {
        leaf: Gradients(values.reshape(values.shape[0], -1))
        for leaf, values in zip(reading.general, gradients, strict=True)
    }


def _factors(eqn, site: Site, data, sensitivities) -> Factors:
    """Bring one equation's data operand and sensitivities to positions × fan-in and positions × fan-out."""
    if eqn.primitive.name == "dot_general":
        return _dot_factors(eqn, site, data, sensitivities)
    return _convolution_factors(eqn, data, sensitivities)


def _dot_factors(eqn, site, data, sensitivities):
    contracted = eqn.params["dimension_numbers"][0][site.data_operand]
    free = [axis for axis in range(data.ndim) if axis not in contracted]
    fan_in = jnp.transpose(data, (*free, *contracted))
    positions = [data.shape[axis] for axis in free]
    size = _product(positions)
    # Outputs carry the left operand's free axes first; data may stand on either side.
    k, out = sensitivities.shape[0], sensitivities.shape[1:]
    if site.data_operand == 0:
        fan_out = sensitivities.reshape(k, size, -1)
    else:
        fan_out = sensitivities.reshape(k, _product(out) // size, size).swapaxes(1, 2)
    return Factors((fan_in.reshape(size, -1),), fan_out)


def _convolution_factors(eqn, data, sensitivities):
    numbers, k = eqn.params["dimension_numbers"], sensitivities.shape[0]
    features, spatial = numbers.out_spec[1], numbers.out_spec[2:]
    positions = [numbers.out_spec[0], *spatial]
    fan_out = jnp.transpose(sensitivities, (0, *(axis + 1 for axis in (*positions, features))))
    inputs = tuple(window.reshape(-1, window.shape[-1]) for window in _windows(eqn, data))
    return Factors(inputs, fan_out.reshape(k, inputs[0].shape[0], -1))


def _windows(eqn, data):
    """For each place in a convolution's window, what stands there at every output position [1, *space, p]."""
    params, numbers = eqn.params, eqn.params["dimension_numbers"]
    kernel, out = eqn.invars[1].aval.shape, eqn.outvars[0].aval.shape
    image = jnp.transpose(data, (numbers.lhs_spec[0], *numbers.lhs_spec[2:], numbers.lhs_spec[1]))
    pads = [(low, high, step - 1) for (low, high), step in zip(params["padding"], params["lhs_dilation"], strict=True)]
    image = jax.lax.pad(image, jnp.zeros((), image.dtype), [(0, 0, 0), *pads, (0, 0, 0)])
    strides, sizes = params["window_strides"], [out[axis] for axis in numbers.out_spec[2:]]
    for place in itertools.product(*(range(kernel[axis]) for axis in numbers.rhs_spec[2:])):
        start = [offset * step for offset, step in zip(place, params["rhs_dilation"], strict=True)]
        stop = [s + (size - 1) * step + 1 for s, size, step in zip(start, sizes, strides, strict=True)]
        yield jax.lax.slice(image, (0, *start, 0), (1, *stop, image.shape[-1]), (1, *strides, 1))


def _product(numbers) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product
