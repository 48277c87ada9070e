"""Optimisers by name, as optax has them; a step size of None is measured where the network starts.

Each takes a learning rate, which may be a function of the step, and the weight decay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntk_explorer.training import OPTIMIZERS

if TYPE_CHECKING:
    import optax

MOMENTUM = 0.9


@OPTIMIZERS.register(
    "sgd",
    label="SGD",
    equation=r"\theta \gets \theta - \eta\, g,\quad g = \nabla L(\theta) + w\,\theta",
    reference="Robbins & Monro (1951), A Stochastic Approximation Method",
    cost="no memory besides the parameters",
    learning_rate=None,
)
def sgd(learning_rate: Any, *, weight_decay: float = 0.0) -> optax.GradientTransformation:
    """Gradient descent; with all examples in one batch it follows the tangent kernel."""
    import optax  # not above: it imports jax

    return optax.chain(_decayed(weight_decay), optax.sgd(learning_rate))


@OPTIMIZERS.register(
    "momentum",
    label="SGD with momentum",
    equation=r"m \gets 0.9\, m + g,\quad \theta \gets \theta - \eta\, m",
    reference="Polyak (1964), Some Methods of Speeding up the Convergence of Iteration Methods",
    cost="1 number per parameter",
    learning_rate=None,
)
def momentum(learning_rate: Any, *, weight_decay: float = 0.0) -> optax.GradientTransformation:
    """Gradient descent whose steps add up where gradients agree: ten times as fast there as the rate says."""
    import optax  # not above: it imports jax

    return optax.chain(_decayed(weight_decay), optax.sgd(learning_rate, momentum=MOMENTUM))


@OPTIMIZERS.register(
    "adam",
    label="Adam",
    equation=r"\theta \gets \theta - \eta\, \hat m / (\sqrt{\hat v} + 10^{-8})",
    reference="Kingma & Ba (2015), Adam: A Method for Stochastic Optimization",
    cost="2 numbers per parameter",
    learning_rate=1e-3,
)
def adam(learning_rate: Any, *, weight_decay: float = 0.0) -> optax.GradientTransformation:
    """Steps of about the same size for every parameter, whatever the scale of its gradient."""
    import optax  # not above: it imports jax

    return optax.chain(_decayed(weight_decay), optax.adam(learning_rate))


@OPTIMIZERS.register(
    "adamw",
    label="AdamW",
    equation=r"\theta \gets \theta - \eta\, (\hat m / (\sqrt{\hat v} + 10^{-8}) + w\,\theta)",
    reference="Loshchilov & Hutter (2019), Decoupled Weight Decay Regularization",
    cost="2 numbers per parameter",
    learning_rate=1e-3,
)
def adamw(learning_rate: Any, *, weight_decay: float = 0.0) -> optax.GradientTransformation:
    """Adam whose weight decay stays out of the scaling of gradients."""
    import optax  # not above: it imports jax

    return optax.adamw(learning_rate, weight_decay=weight_decay)


def _decayed(weight_decay: float) -> optax.GradientTransformation:
    """The gradient of ½ w ‖θ‖² added to that of the loss."""
    import optax  # not above: it imports jax

    return optax.add_decayed_weights(weight_decay) if weight_decay else optax.identity()
