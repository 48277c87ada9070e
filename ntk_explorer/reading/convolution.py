"""Convolutions of the data with a parameter: what stands in each window, and cotangents sent back through them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

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

    JAX leaves the flipped kernel's axes where they were, for XLA to find a good layout, which inside a loop it does
    not: there the way back took six times as long on a CPU.
    """

    @jax.custom_vjp
    def value(data, kernel):
        return bind(eqn, [data, kernel])[0]

    def forward(data, kernel):
        return value(data, kernel), (data, kernel)

    def backward(operands, cotangent):
        data, kernel = operands
        # Asked for only where the kernel matrix itself is differentiated; otherwise no code is made for it.
        _, pullback = jax.vjp(lambda kernel: bind(eqn, [data, kernel])[0], kernel)
        return _back(eqn, cotangent, kernel), pullback(cotangent)[0]

    value.defvjp(forward, backward)
    return value(data, kernel)


def _back(eqn, cotangent, kernel):
    """Cotangent of the data: the output's, spread by the strides, convolved with the flipped kernel."""
    params, numbers = eqn.params, eqn.params["dimension_numbers"]
    space, places = numbers.lhs_spec[2:], numbers.rhs_spec[2:]
    padding = []
    for axis, (i, j, o) in enumerate(zip(space, places, numbers.out_spec[2:], strict=True)):
        window = (kernel.shape[j] - 1) * params["rhs_dilation"][axis] + 1
        data = (eqn.invars[0].aval.shape[i] - 1) * params["lhs_dilation"][axis] + 1
        spread = (cotangent.shape[o] - 1) * params["window_strides"][axis] + 1
        before = window - 1 - params["padding"][axis][0]
        padding.append((before, data + window - 1 - spread - before))
    flipped = jnp.transpose(jax.lax.rev(kernel, places), (*places, numbers.rhs_spec[0], numbers.rhs_spec[1]))
    image = jnp.transpose(cotangent, (numbers.out_spec[0], *numbers.out_spec[2:], numbers.out_spec[1]))
    rank = len(places)
    back = jax.lax.conv_general_dilated(
        image,
        flipped,
        params["lhs_dilation"],
        padding,
        lhs_dilation=params["window_strides"],
        rhs_dilation=params["rhs_dilation"],
        dimension_numbers=jax.lax.ConvDimensionNumbers(
            (0, rank + 1, *range(1, rank + 1)), (rank + 1, rank, *range(rank)), (0, rank + 1, *range(1, rank + 1))
        ),
    )
    order = (numbers.lhs_spec[0], *numbers.lhs_spec[2:], numbers.lhs_spec[1])
    return jnp.transpose(back, [order.index(axis) for axis in range(rank + 2)])
