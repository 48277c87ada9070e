"""Training with checkpoints: what is in the store is not trained again, and what was interrupted goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ntk_explorer.errors import InvalidInput
from ntk_explorer.store import Store
from ntk_explorer.training.checkpoints import (
    PRODUCER,
    ROLLING,
    StoredTraining,
    examples_fingerprint,
    read_epoch,
    write_checkpoint,
)
from ntk_explorer.training.config import TrainingConfig
from ntk_explorer.training.epochs import Epoch, run

if TYPE_CHECKING:
    from ntk_explorer.training._problem import Problem

EVERY = 20.0  # seconds of training that an interruption costs at most


def train_stored(
    store: Store,
    f: Callable[..., Any],
    params: Any,
    x: Any,
    y: Any,
    *,
    network: Mapping[str, Any],
    config: TrainingConfig,
    seed: int = 0,
    x_test: Any = None,
    y_test: Any = None,
    linearised: bool = False,
    keep: Sequence[int] = (),
    every: float = EVERY,
) -> Generator[Epoch, None, None]:
    """Train an ensemble with checkpoints, from the latest one that serves.

    Checkpoints are kept of the epochs in ``keep`` and of the last; one of the latest epoch is renewed every so many
    seconds, and when the iterator is closed. An interrupted training that is called again ends with the same bits as
    one that was not, on one kind of machine. The number of epochs may be raised later, unless the schedule uses it.

    Args:
        store: where checkpoints are kept.
        f: a network's function; this and the following as for
            :func:`~ntk_explorer.training.epochs.train_epochs`, with the key ``jax.random.key(seed)``.
        params: initial parameters, every array with a leading axis of seeds.
        x: training examples [n, ...].
        y: their classes [n] or targets [n, c].
        network: what ``f`` and ``params`` are, as in :class:`~ntk_explorer.training.checkpoints.StoredTraining`.
        config: the training.
        seed: of the batches.
        x_test: test examples.
        y_test: their classes or targets.
        linearised: train the linearised networks.
        keep: epochs to keep, from 0, which is untrained, to the last.
        every: seconds of training between checkpoints that are renewed.

    Yields:
        The checkpoint that is gone on from, where there is one, and every epoch that is trained, up to the last;
        checkpoints are in the store before their epochs are yielded.

    Raises:
        InvalidInput: as for ``train_epochs``; an epoch to keep that there is none of; a store that cannot be written.
        Diverged: the loss of a member is no longer finite.
    """
    import jax  # not above: trainings are planned without jax

    from ntk_explorer.training._problem import prepare

    wrong = [epoch for epoch in keep if not 0 <= epoch <= config.epochs]
    if wrong:
        raise InvalidInput(f"There is no epoch {wrong[0]} to keep", f"Give epochs from 0 to {config.epochs}.")
    tests: dict[str, Any] = {"x_test": x_test, "y_test": y_test}
    problem = prepare(f, params, x, y, config=config, key=jax.random.key(seed), linearised=linearised, **tests)
    examples = examples_fingerprint(x, y, x_test, y_test, dtype=problem.dtype.name)
    training = StoredTraining(network, config, examples, problem.seeds, seed, problem.dtype.name, linearised=linearised)
    return _trained(problem, _Keeper(store, training, frozenset({*keep, config.epochs}), every))


def _trained(problem: Problem, keeper: _Keeper) -> Generator[Epoch, None, None]:
    at_hand, last = None, problem.config.epochs
    there = keeper.training.found(keeper.store)
    keeper.rolling = keeper.training.found(keeper.store, ROLLING)
    for target in sorted(keeper.wanted - there | {last}):
        if (stored := _latest(problem, keeper, there, target, at_hand)) is not None:
            at_hand = stored
            yield at_hand
        if at_hand is None or at_hand.number < target:
            for epoch in _trained_to(target, problem, keeper, at_hand):
                at_hand = epoch
                yield epoch


def _trained_to(target: int, problem: Problem, keeper: _Keeper, start: Epoch | None) -> Generator[Epoch, None, None]:
    """The epochs after ``start`` up to one; what was not kept yet is kept when the iterator is closed."""
    epochs = run(problem, start)
    while True:
        since = time.perf_counter()  # the other clocks of some systems stand still for whole epochs
        epoch = next(epochs)
        keeper.record(epoch, time.perf_counter() - since)
        try:
            yield epoch
        except GeneratorExit:
            keeper.keep(epoch)
            raise
        if epoch.number == target:
            return


def _latest(problem: Problem, keeper: _Keeper, there: set[int], target: int, at_hand: Epoch | None) -> Epoch | None:
    """The latest stored epoch up to ``target`` that is later than what is at hand and not damaged."""
    after = -1 if at_hand is None else at_hand.number
    places = [(number, PRODUCER) for number in there] + [(number, ROLLING) for number in keeper.rolling]
    for number, producer in sorted(places, reverse=True):
        if after < number <= target:
            artefact = keeper.store.get(keeper.training.checkpoint(number, producer).key)
            if artefact is not None:
                return problem.placed(read_epoch(artefact, problem.params, problem.state_shapes))
    return None


@dataclass
class _Keeper:
    """Writes checkpoints: those that are wanted, and one that is renewed."""

    store: Store
    training: StoredTraining
    wanted: frozenset[int]
    every: float
    rolling: set[int] = field(default_factory=set)
    seconds: float = 0.0  # of training since the last checkpoint

    def record(self, epoch: Epoch, seconds: float) -> None:
        """Count the seconds that an epoch took; keep it if it is time to."""
        self.seconds += seconds
        if epoch.number in self.wanted or self.seconds >= self.every:
            self.keep(epoch)

    def keep(self, epoch: Epoch) -> None:
        """Write a checkpoint, then delete the renewed ones before it; a later one is that of a longer training."""
        if not self.seconds:
            return
        producer = PRODUCER if epoch.number in self.wanted else ROLLING
        identity = self.training.checkpoint(epoch.number, producer)
        write_checkpoint(self.store, identity, epoch, seconds=self.seconds)
        renewed = {epoch.number} if producer == ROLLING else set()
        outdated = {number for number in self.rolling if number <= epoch.number} - renewed
        self.seconds, self.rolling = 0.0, (self.rolling - outdated) | renewed
        for number in outdated:
            self.store.delete(self.training.checkpoint(number, ROLLING).key)
