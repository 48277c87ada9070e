"""What a training starts from: checked examples in one dtype, targets, and what is compiled for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_explorer.errors import InvalidInput, NTKExplorerError
from ntk_explorer.kernels._losses import one_hot_targets, regression_targets
from ntk_explorer.reading.checks import checked_examples
from ntk_explorer.reading.machine import on_host
from ntk_explorer.reading.taps import Reading, read_network
from ntk_explorer.training import OPTIMIZERS, SCHEDULES
from ntk_explorer.training._loop import Members, Recipe, initial_state
from ntk_explorer.training.config import TrainingConfig
from ntk_explorer.training.limit import estimate_learning_rate_limit

if TYPE_CHECKING:
    from ntk_explorer.training.epochs import Epoch


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs [n, ...] and targets [n, c], in the dtype of the parameters."""

    x: jax.Array
    targets: jax.Array


@dataclass(frozen=True, eq=False)
class Problem:
    """A training before its first step; ``params`` are the initial ones, with a leading axis of seeds.

    ``apart`` says whether members are advanced one after the other.
    """

    f: Callable[..., Any]
    params: Any
    train: Examples
    test: Examples | None
    config: TrainingConfig
    recipe: Recipe
    classes: bool
    linearised: bool
    apart: bool
    key: Any

    @property
    def dtype(self) -> np.dtype:
        """Of parameters, examples and all arithmetic."""
        return np.dtype(self.train.targets.dtype)

    @property
    def seeds(self) -> int:
        """Members of the ensemble."""
        return len(jax.tree.leaves(self.params)[0])

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the examples."""
        return -(-len(self.train.x) // self.recipe.batch)

    def arithmetic(self):
        """The settings of JAX under which this trains, whatever they are outside."""
        return _arithmetic(self.dtype)

    def member(self, index: int) -> Any:
        """The initial parameters of one member."""
        return jax.tree.map(lambda leaf: leaf[index], self.params)

    def limit(self, index: int) -> float:
        """2/λ_max(Θ/n) of one member at its initial parameters."""
        with self.arithmetic():
            return estimate_learning_rate_limit(self.f, self.member(index), self.train.x)

    def rates(self) -> np.ndarray:
        """The largest learning rate of every member [s]: the given one, the optimiser's, or half of the limit.

        Raises:
            InvalidInput: the limit is wanted of a function that has no kernel.
        """
        name = self.config.optimizer
        given = self.config.learning_rate or OPTIMIZERS[name].extras.get("learning_rate")
        try:
            return np.array([given or self.limit(index) / 2 for index in range(self.seeds)], float)
        except NTKExplorerError as error:
            problem = f"The learning rate of {name} cannot be measured on the tangent kernel: {error.problem}"
            raise InvalidInput(problem, "Give a learning_rate.") from error

    def members(self, params: Any, state: Any, rates: np.ndarray) -> Members:
        """The ensemble at some point of its training; each has its own key, whatever the number of the others."""
        keys = jax.vmap(lambda index: jax.random.fold_in(self.key, index))(jnp.arange(self.seeds))
        return Members(params, state, keys, jnp.asarray(rates, self.dtype), self.params if self.linearised else None)

    def state(self, rates: np.ndarray) -> Any:
        """The optimisers' state before the first step."""
        with self.arithmetic():
            return initial_state(self.recipe, self.params, jnp.asarray(rates, self.dtype))

    @property
    def state_shapes(self) -> Any:
        """The structure of the optimisers' state."""
        return jax.eval_shape(lambda: self.state(np.ones(self.seeds)))

    def placed(self, epoch: Epoch) -> Epoch:
        """An epoch read from a file, its arrays where they are computed with."""
        with self.arithmetic():
            params, state = jax.tree.map(jnp.asarray, (epoch.params, epoch.optimizer_state))
        return replace(epoch, params=params, optimizer_state=state)

    def factor(self, epoch: int) -> float:
        """What the schedule makes of the rate at the last step of an epoch; of epoch 0, at the first step of all."""
        step = max(0, epoch * self.steps_per_epoch - 1)
        return float(SCHEDULES[self.config.schedule](self.recipe.steps)(step))


@contextmanager
def _arithmetic(dtype) -> Iterator[None]:
    with jax.enable_x64(dtype == np.float64), jax.default_matmul_precision("highest"):
        yield


def _check_key(key: Any) -> None:
    """Refuse what is no key, above all a seed; old keys of plain integers are keys as well."""
    if not isinstance(key, jax.Array):
        raise InvalidInput(f"key is {key!r}", "Pass jax.random.key(seed).")


def prepare(f, params, x, y, *, config: TrainingConfig, key, x_test=None, y_test=None, linearised=False) -> Problem:
    """Check everything a training is given; arguments as for :func:`ntk_explorer.training.epochs.train_epochs`."""
    dtype = _dtype_of(params)
    _check_key(key)
    with _arithmetic(dtype):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params)
        _check_seeds(params)
        x, y = _cast(checked_examples(x, "x"), dtype), _labels(y, x, "y")
        reading = read_network(f, jax.tree.map(lambda leaf: leaf[0], params), x)
        outputs = reading.outputs
        classes = y.ndim == 1 and outputs > 1 and jnp.issubdtype(y.dtype, jnp.integer)
        loss = config.loss or ("cross_entropy" if classes else "squared")
        train = Examples(x, _targets(y, "y", outputs, loss, dtype))
        test = _test_examples(x_test, y_test, train, loss)
    recipe = _recipe(config, loss, len(x))
    return Problem(f, params, train, test, config, recipe, bool(classes), linearised, _better_apart(reading), key)


def _better_apart(reading: Reading) -> bool:
    """Whether members are faster one by one: a host has no good way to convolve with several kernels at once."""
    return on_host() and any(eqn.primitive.name == "conv_general_dilated" for eqn in reading.program.jaxpr.eqns)


def _test_examples(x_test, y_test, train: Examples, loss: str) -> Examples | None:
    if x_test is None:
        if y_test is not None:
            raise InvalidInput("There are labels y_test but no examples x_test", "Give x_test, or leave y_test out.")
        return None
    dtype, shape = train.targets.dtype, train.x.shape[1:]
    x = _cast(checked_examples(x_test, "x_test"), dtype)
    if x.shape[1:] != shape:
        raise InvalidInput(f"Examples of x_test have shape {x.shape[1:]}, of x {shape}", "Give both the same.")
    return Examples(x, _targets(_labels(y_test, x, "y_test"), "y_test", train.targets.shape[1], loss, dtype))


def _recipe(config: TrainingConfig, loss: str, n: int) -> Recipe:
    if config.batch_size is not None and config.batch_size > n:
        raise InvalidInput(
            f"batch_size is {config.batch_size}, and there are {n} training examples",
            f"Give at most {n}, or None to take all of them at every step.",
        )
    batch = config.batch_size or n
    steps = config.epochs * -(-n // batch) if "uses-total" in SCHEDULES[config.schedule].tags else 0
    return Recipe(loss, config.optimizer, config.schedule, config.weight_decay, batch, steps)


def _dtype_of(params) -> np.dtype:
    leaves = jax.tree.leaves(params)
    dtype = np.result_type(*[np.dtype(leaf.dtype) for leaf in leaves]) if leaves else np.dtype(object)
    if dtype.kind not in "fV":
        raise InvalidInput(f"The parameters are of type {dtype}", "Give a pytree of real floating-point arrays.")
    return dtype


def _check_seeds(params) -> None:
    sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(params)}
    if len(sizes) != 1 or sizes & {(), (0,)}:
        raise InvalidInput(
            f"The parameters' leading axes, of seeds, are of sizes {sorted(sizes)}",
            "Stack the parameters of all members along a new first axis; of one network, use train.",
        )


def _cast(x, dtype):
    """Examples in the dtype of the parameters; whole numbers, such as tokens, as they are."""
    return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x


def _labels(y, x, name: str):
    if y is None or not np.ndim(y) or len(y) != len(x):
        shape = "missing" if y is None else f"of shape {np.shape(y)}"
        raise InvalidInput(f"{name} is {shape} for {len(x)} examples", "Give one label or target per example.")
    return jnp.asarray(y)


def _targets(y, name: str, outputs: int, loss: str, dtype) -> jax.Array:
    if loss == "cross_entropy" and (outputs == 1 or not jnp.issubdtype(y.dtype, jnp.integer)):
        what = "a network of one output" if outputs == 1 else f"targets of type {y.dtype}, which are no classes"
        raise InvalidInput(f"The cross-entropy loss has no meaning for {what}", "Use loss='squared'.")
    targets = regression_targets if loss == "squared" else one_hot_targets
    return targets(y, name, outputs).astype(dtype)
