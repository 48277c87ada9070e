"""The arithmetic of training: an epoch and an evaluation, each one compiled program for a whole ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ntk_explorer.kernels._losses import LOSSES
from ntk_explorer.reading.chunks import in_chunks
from ntk_explorer.training import OPTIMIZERS, SCHEDULES
from ntk_explorer.training.linear import Linearised

EVALUATED = 1024  # examples at a time whose outputs are computed without gradients


@dataclass(frozen=True)
class Recipe:
    """What a compiled epoch depends on besides shapes; ``steps`` is 0 unless the schedule looks at their number."""

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


def transformation(recipe: Recipe, rate: Any) -> optax.GradientTransformation:
    """The optimiser with its schedule."""
    schedule = SCHEDULES[recipe.schedule](recipe.steps)
    return OPTIMIZERS[recipe.optimizer](lambda step: rate * schedule(step), weight_decay=recipe.weight_decay)


@partial(jax.jit, static_argnums=0)
def initial_state(recipe: Recipe, params: Any, rates: Any) -> Any:
    """The optimisers' state before the first step."""
    return jax.vmap(lambda params, rate: transformation(recipe, rate).init(params))(params, rates)


@partial(jax.jit, static_argnums=(0, 1))
def advance(f: Any, recipe: Recipe, members: Members, x: Any, targets: Any, epoch: Any) -> tuple[Any, Any]:
    """Parameters and states after one pass over the examples."""
    return jax.vmap(partial(_epoch, f, recipe, x, targets, epoch))(members)


def _epoch(f, recipe, x, targets, epoch, member):
    network, optimizer = _network(f, member.origin), transformation(recipe, member.rate)
    per_example = LOSSES[recipe.loss]

    def loss(params, rows, weights):
        return jnp.vdot(weights, per_example(network(params, x[rows]), targets[rows])) / weights.sum()

    def step(carry, batch):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params, *batch), state, params)
        return (optax.apply_updates(params, updates), state), None

    batches = _batches(jax.random.fold_in(member.key, epoch), len(x), recipe.batch, targets.dtype)
    return jax.lax.scan(step, (member.params, member.state), batches)[0]


def _batches(key, n, size, dtype):
    """Rows [k, size] in random order, and weights: 1, or 0 for what fills the last batch."""
    count = -(-n // size)
    order = jax.random.permutation(key, n) if count > 1 else jnp.arange(n)
    missing = count * size - n
    rows = jnp.pad(order, (0, missing)).reshape(count, size)
    return rows, jnp.pad(jnp.ones(n, dtype), (0, missing)).reshape(count, size)


def _network(f, origin):
    return f if origin is None else Linearised(f, origin)


@partial(jax.jit, static_argnums=(0, 1, 2))
def evaluate(f: Any, loss: str, classes: bool, params: Any, origin: Any, x: Any, targets: Any) -> tuple[Any, Any]:
    """Mean loss and accuracy of every member [s]; the accuracy of a regression is NaN."""

    def one(params, origin):
        network = _network(f, origin)
        outputs = in_chunks(lambda part: network(params, part), x, min(len(x), EVALUATED))
        correct = (outputs.argmax(-1) == targets.argmax(-1)).mean() if classes else jnp.nan
        return LOSSES[loss](outputs, targets).mean(), jnp.asarray(correct, outputs.dtype)

    return jax.vmap(one)(params, origin)
