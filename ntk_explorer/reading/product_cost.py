"""What a product with a tangent kernel will cost on either road, from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ntk_explorer.reading.chunks import forward_pass
from ntk_explorer.reading.contract import Factors
from ntk_explorer.reading.taps import read_network, tap


class ProductCost(NamedTuple):
    """Peak bytes while ``columns`` vectors are multiplied, and operations per vector and to read the network once."""

    bytes: int
    flops: float
    reading_flops: float


class Shapes(NamedTuple):
    """What both roads' costs are made of; ``items`` are the shapes of what is read of one example."""

    examples: int
    outputs: int
    k: int
    dtype: Any
    parameters: int
    numbers: int
    largest: int
    flops: float
    items: tuple[Any, ...]


def product_shapes(f: Callable[..., Any], params: Any, x: Any, directions: Callable[[int], Any]) -> Shapes:
    """Read the network's shapes; ``params`` and ``x`` may be ``jax.ShapeDtypeStruct``."""
    reading = read_network(f, params, x)
    cotangents = jax.eval_shape(lambda: jnp.asarray(directions(reading.outputs)))
    leaves, example = jax.tree.leaves(params), jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)
    items = jax.eval_shape(lambda leaves, x, u: tap(reading, leaves, x, u), leaves, example, cotangents)
    return Shapes(
        x.shape[0],
        reading.outputs,
        cotangents.shape[0],
        reading.program.out_avals[0].dtype,
        sum(math.prod(shape) for shape in reading.shapes),
        *forward_pass(reading.program.jaxpr),
        tuple(items.values()),
    )


def transforms_cost(shapes: Shapes, *, paired: bool, columns: int, batch: int) -> ProductCost:
    """Cost of :class:`~ntk_explorer.reading.products.Transforms`."""
    n, k = shapes.examples, shapes.k
    directions = k if paired else 1
    cotangents = columns * directions
    # A gradient and what is added to it; cotangents, tangents and a copy in batches; one batch of the network.
    held = 2 * cotangents * shapes.parameters + 3 * cotangents * n * shapes.outputs
    held += 2 * batch * shapes.numbers
    numbers = held + _vectors(shapes, columns, paired=paired)
    flops = n * shapes.flops * (2 + 4 * directions)
    return ProductCost(int(numbers * shapes.dtype.itemsize), flops, _reading_flops(shapes))


def factored_cost(shapes: Shapes, *, paired: bool, columns: int, batch: int) -> ProductCost:
    """Cost of :class:`~ntk_explorer.reading.products.Factored`, what it holds included."""
    n, k = shapes.examples, shapes.k
    held = n / batch * sum(a.size for a in jax.tree.leaves(shapes.items))
    reading = batch * (shapes.numbers + 2 * k * shapes.largest)
    each = [_one_item(item, k, paired=paired) for item in shapes.items]
    working = columns * max((n * positions + size for positions, size, _ in each), default=0)
    numbers = held + max(reading, working) + _vectors(shapes, columns, paired=paired)
    flops = n * sum(multiplications for _, _, multiplications in each) * 2.0
    return ProductCost(int(numbers * shapes.dtype.itemsize), flops, _reading_flops(shapes))


def _one_item(item, k, *, paired):
    """Of one parameter: working numbers per example, its own numbers, and multiplications per example."""
    if not isinstance(item, Factors):
        q = item.values.shape[2]
        return 0, q, 2 * k * q
    s, o = item.sensitivities.shape[2:]
    p = sum(place.shape[2] for place in item.inputs)
    # What is weighted, and two products for each place of a window, side by side.
    return (2 * len(item.inputs) + 1) * s * o, p * o, 2 * s * o * (k + p * (k if paired else 1))


def _vectors(shapes, columns, *, paired):
    return 4 * columns * shapes.examples * (1 if paired else shapes.k)


def _reading_flops(shapes):
    return shapes.examples * shapes.flops * (1 + shapes.k)


COSTS = {"jvp-vjp": transforms_cost, "factored": factored_cost}
