"""Convolutions of the data with a parameter: what stands in each window, and cotangents sent back through them."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from functools import reduce

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from ntk_explorer.reading._jaxpr import bind


def windows(eqn, data) -> Iterator[jax.Array]:
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


def convolve(eqn, data: jax.Array, kernel: jax.Array) -> jax.Array:
    """The equation's own value; cotangents of the data come back by a convolution in the layout that XLA likes.

    JAX sends cotangents back through a kernel whose two axes of features have changed places in name only, and inside
    a loop XLA:CPU takes six times as long for such a one. Tangents that go forward by such a kernel come back by a
    plain one.
    """

    @jax.custom_jvp
    def value(data, kernel):
        return bind(eqn, [data, kernel])[0]

    def along(primals, tangents):
        data, kernel = primals
        of_data, of_kernel = tangents
        parts = []
        if not isinstance(of_data, SymbolicZero):
            parts.append(_with_swapped_features(eqn, of_data, kernel))
        if not isinstance(of_kernel, SymbolicZero):
            parts.append(bind(eqn, [data, of_kernel])[0])
        out = value(data, kernel)
        return out, reduce(operator.add, parts) if parts else jnp.zeros_like(out)

    value.defjvp(along, symbolic_zeros=True)
    return value(data, kernel)


def _with_swapped_features(eqn, data, kernel):
    """The same convolution, by a kernel with its input and output features in each other's place."""
    numbers = eqn.params["dimension_numbers"]
    outputs, inputs, *places = numbers.rhs_spec
    swapped = jax.lax.ConvDimensionNumbers(numbers.lhs_spec, (inputs, outputs, *places), numbers.out_spec)
    kept = ("window_strides", "padding", "lhs_dilation", "rhs_dilation", "precision", "preferred_element_type")
    return jax.lax.conv_general_dilated(
        data,
        jnp.swapaxes(kernel, inputs, outputs),
        dimension_numbers=swapped,
        **{name: eqn.params[name] for name in kept},
    )
