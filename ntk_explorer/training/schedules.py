"""Schedules by name: factors of the learning rate between 0 and 1, from the number of all steps.

A schedule that looks at that number is tagged ``uses-total``: its training is another one when it is prolonged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ntk_explorer.training import SCHEDULES

WARM_UP = 0.05  # share of all steps


@SCHEDULES.register("constant", label="constant", equation=r"\eta_t = \eta")
def constant(steps: int) -> Callable[[Any], Any]:  # noqa: ARG001
    """The same rate at every step."""
    import optax  # not above: it imports jax

    return optax.constant_schedule(1.0)


@SCHEDULES.register(
    "cosine",
    label="cosine",
    equation=r"\eta_t = \tfrac{\eta}{2}\,(1 + \cos(\pi t / T))",
    reference="Loshchilov & Hutter (2017), SGDR: Stochastic Gradient Descent with Warm Restarts",
    tags=("uses-total",),
)
def cosine(steps: int) -> Callable[[Any], Any]:
    """Down to zero along half a cosine."""
    import optax  # not above: it imports jax

    return optax.cosine_decay_schedule(1.0, steps)


@SCHEDULES.register(
    "warmup_cosine",
    label="warm-up, then cosine",
    equation=r"\eta_t = \eta\, t / W \text{ for } t < W = 0.05\, T,\text{ then a cosine}",
    reference="Goyal et al. (2017), Accurate, Large Minibatch SGD; Loshchilov & Hutter (2017)",
    tags=("uses-total",),
)
def warmup_cosine(steps: int) -> Callable[[Any], Any]:
    """Up from zero within the first twentieth of all steps, then down along half a cosine."""
    import optax  # not above: it imports jax

    warm_up = max(1, round(WARM_UP * steps))
    return optax.warmup_cosine_decay_schedule(0.0, 1.0, warm_up, max(steps, warm_up + 1))


@SCHEDULES.register(
    "steps",
    label="two steps",
    equation=r"\eta_t = \eta \cdot 0.1^{[t \geq T/2] + [t \geq 3T/4]}",
    reference="He, Zhang, Ren & Sun (2016), Deep Residual Learning for Image Recognition",
    tags=("uses-total",),
)
def steps_down(steps: int) -> Callable[[Any], Any]:
    """A tenth of the rate from the half on, and again from three quarters on."""
    import optax  # not above: it imports jax

    return optax.piecewise_constant_schedule(1.0, {steps // 2: 0.1, 3 * steps // 4: 0.1})
