"""The arithmetic of training: steps and evaluations, each one compiled program for a whole ensemble.

An epoch is a loop of Python over compiled steps: on a host, XLA computes the gradients of convolutions within its own
loops a hundred times as slowly as outside, and calling a step costs a tenth of a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ntk_explorer.kernels._losses import LOSSES
from ntk_explorer.reading.chunks import in_chunks
from ntk_explorer.training import OPTIMIZERS, SCHEDULES
from ntk_explorer.training.linear import Linearised

PART = 2048  # examples at a time, so that memory is bounded however large a batch or a test set is


@dataclass(frozen=True)
class Recipe:
    """What a compiled step depends on besides shapes; ``steps`` is 0 unless the schedule looks at their number."""

    loss: str
    optimizer: str
    schedule: str
    weight_decay: float
    batch: int
    steps: int


class Members(NamedTuple):
    """An ensemble, every array with a leading axis of seeds; ``origin`` is where each is linearised, or None."""

    params: Any
    state: Any
    key: Any
    rate: Any
    origin: Any


class Batches(NamedTuple):
    """An epoch in batches and their parts: rows of examples [k, p, s, b], and their shares [k, p, b] in the mean."""

    rows: Any
    weights: Any


@partial(jax.jit, static_argnums=0)
def initial_state(recipe: Recipe, params: Any, rates: Any) -> Any:
    """The optimisers' state before the first step."""
    return jax.vmap(lambda params, rate: _transformation(recipe, rate).init(params))(params, rates)


def advance(f: Any, recipe: Recipe, members: Members, x: Any, targets: Any, epoch: int, *, apart: bool) -> Members:
    """The ensemble after one pass over the examples; its members one after the other where ``apart``."""
    done = [_passed(f, recipe, group, x, targets, epoch) for group in _groups(members, apart)]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *done) if apart else done[0]


def _groups(ensemble: Any, apart: bool) -> list[Any]:
    """The whole ensemble, or ensembles of one."""
    size = len(jax.tree.leaves(ensemble)[0])
    return [jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], ensemble) for i in range(size)] if apart else [ensemble]


def _passed(f, recipe, members, x, targets, epoch):
    batches = _batches(members.key, epoch, len(x), recipe.batch, PART, targets.dtype.name)
    count, parts = batches.weights.shape[:2]
    for number in range(count):
        if parts == 1:
            params, state = _step(f, recipe, members, x, targets, batches, number)
        else:
            each = (_gradients(f, recipe, members, x, targets, batches, number, part) for part in range(parts))
            params, state = _updated(recipe, members, reduce(partial(jax.tree.map, jnp.add), each))
        members = members._replace(params=params, state=state)
    return members


@partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _batches(keys: Any, epoch: int, n: int, size: int, most: int, dtype: str) -> Batches:
    """All examples in random order; batches, and their parts of ``most`` rows, are filled up with rows of no weight."""
    count, parts = -(-n // size), -(-size // most)
    length = -(-size // parts)

    def arranged(values, last):  # [n] -> [k, p, b]
        batches = jnp.pad(values, (0, count * size - n), constant_values=last).reshape(count, size)
        return jnp.pad(batches, ((0, 0), (0, parts * length - size)), constant_values=last).reshape(count, parts, -1)

    def order(key):
        return jax.random.permutation(jax.random.fold_in(key, epoch), n) if count > 1 else jnp.arange(n)

    rows = jax.vmap(lambda key: arranged(order(key), 0), out_axes=2)(keys)
    there = arranged(jnp.ones(n, dtype), 0)
    return Batches(rows, there / there.sum((1, 2), keepdims=True))


@partial(jax.jit, static_argnums=(0, 1))
def _gradients(f, recipe, members, x, targets, batches, number, part):
    """Of every member's loss on a part of a batch."""
    weights = batches.weights[number, part]

    def one(member, rows):
        network = _network(f, member.origin)

        def loss(params):
            return jnp.vdot(weights, LOSSES[recipe.loss](network(params, x[rows]), targets[rows]))

        return jax.grad(loss)(member.params)

    return jax.vmap(one)(members, batches.rows[number, part])


@partial(jax.jit, static_argnums=0)
def _updated(recipe, members, gradients):
    """Parameters and states after a step along the gradients."""

    def one(member, gradient):
        optimizer = _transformation(recipe, member.rate)
        updates, state = optimizer.update(gradient, member.state, member.params)
        return optax.apply_updates(member.params, updates), state

    return jax.vmap(one)(members, gradients)


@partial(jax.jit, static_argnums=(0, 1))
def _step(f, recipe, members, x, targets, batches, number):
    return _updated(recipe, members, _gradients(f, recipe, members, x, targets, batches, number, 0))


def _transformation(recipe: Recipe, rate: Any) -> optax.GradientTransformation:
    """The optimiser with its schedule."""
    schedule = SCHEDULES[recipe.schedule](recipe.steps)
    return OPTIMIZERS[recipe.optimizer](lambda step: rate * schedule(step), weight_decay=recipe.weight_decay)


def _network(f, origin):
    return f if origin is None else Linearised(f, origin)


def evaluate(
    f: Any, loss: str, params: Any, origin: Any, x: Any, targets: Any, *, classes: bool, apart: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss and accuracy of every member [s]; the accuracy of a regression is NaN."""
    done = [_evaluated(f, loss, classes, *group, x, targets) for group in _groups((params, origin), apart)]
    losses, accuracies = (np.concatenate([np.asarray(values) for values in each]) for each in zip(*done, strict=True))
    return losses, accuracies


@partial(jax.jit, static_argnums=(0, 1, 2))
def _evaluated(f, loss, classes, params, origin, x, targets):
    def one(params, origin):
        network = _network(f, origin)
        outputs = in_chunks(lambda part: network(params, part), x, min(len(x), PART))
        correct = (outputs.argmax(-1) == targets.argmax(-1)).mean() if classes else jnp.nan
        return LOSSES[loss](outputs, targets).mean(), jnp.asarray(correct, outputs.dtype)

    return jax.vmap(one)(params, origin)
