"""The examples of a trajectory: for training, for its kernels, for testing, and a grid where inputs can be drawn."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ntk_explorer.datasets import LabelledData, load_split
from ntk_explorer.datasets._base import repeats
from ntk_explorer.errors import InvalidInput
from ntk_explorer.store import fingerprint
from ntk_explorer.sweeps.cells import examples
from ntk_explorer.training.checkpoints import examples_fingerprint
from ntk_explorer.trajectories.plan import TrajectoryPlan

LINE, SIDE = 201, 41  # grid points of one feature, and along each of two
MARGIN = 0.15  # of the examples' range, beyond it on either side


@dataclass(frozen=True, eq=False)
class Facts:
    """What is remembered of the examples without their inputs: all that keys and figures need.

    ``known`` holds what figures need: arrays by name, as coordinates, and ``class_names`` and ``task``; ``examples`` is
    the fingerprint of all examples, ``trained_on`` that of what training makes of them.
    """

    known: dict[str, Any]
    examples: str
    trained_on: str
    inputs: tuple[int, ...]
    outputs: int

    @classmethod
    def of(cls, plan: TrajectoryPlan) -> Facts:
        """Read the examples and forget them again; see :meth:`Setting.of` for what is refused."""
        return Setting.of(plan).facts


@dataclass(frozen=True, eq=False)
class Setting:
    """A plan and its examples; ``train`` and ``test`` are disjoint."""

    plan: TrajectoryPlan
    train: LabelledData
    test: LabelledData

    @classmethod
    def of(cls, plan: TrajectoryPlan) -> Setting:
        """Read the examples of a plan.

        Raises:
            InvalidInput: the source holds too few, or two of the points are equal, so that no kernel can be inverted.
        """
        setting = cls(plan, *load_split(plan.data, plan.test))
        if not plan.ridge and (pair := next(repeats(setting.points), None)):
            raise InvalidInput(
                f"Training examples {pair[0]} and {pair[1]} are equal, so that every kernel of them is singular and "
                "ridgeless regression has no solution",
                "Remove one of them, take fewer points, or set ridge, for instance to 1e-6.",
            )
        return setting

    @property
    def points(self) -> np.ndarray:
        """Inputs of the kernels [points, ...]."""
        return self.train.x[: self.plan.points]

    @property
    def targets(self) -> np.ndarray:
        """Their targets [points, c]: one-hot labels, or those of a regression."""
        return self.train.targets[: self.plan.points]

    @property
    def split(self) -> dict[str, Any]:
        """The examples as training takes them."""
        return {"x": self.train.x, "y": self.train.y, "x_test": self.test.x, "y_test": self.test.y}

    @cached_property
    def facts(self) -> Facts:
        """What is remembered of the examples."""
        return Facts(
            self._known(),
            fingerprint(*self.split.values()),
            examples_fingerprint(**self.split, dtype=self.plan.dtype),
            self.train.inputs,
            self.train.outputs,
        )

    @cached_property
    def drawn(self) -> list[int]:
        """The one or two features that inputs vary in, where they have no more than two; others cannot be drawn."""
        if self.train.images is not None or np.prod(self.train.inputs) > 2:
            return []
        return [i for i, feature in enumerate(_flat(self.train.x).T) if np.ptp(feature) > 0]

    @cached_property
    def grid(self) -> np.ndarray | None:
        """Inputs [g, ...] at even distances over the range of all examples; None where they cannot be drawn."""
        if not self.drawn:
            return None
        flat = np.concatenate([_flat(self.train.x), _flat(self.test.x)])
        low, high = flat.min(axis=0), flat.max(axis=0)
        margin, count = MARGIN * (high - low), LINE if len(self.drawn) == 1 else SIDE
        axes = [np.linspace(low[i] - margin[i], high[i] + margin[i], count) for i in self.drawn]
        inputs = np.tile(low, (count ** len(axes), 1))
        inputs[:, self.drawn] = np.array(list(itertools.product(*axes)))
        return inputs.reshape(-1, *self.train.inputs)

    def _known(self) -> dict[str, Any]:
        train, test, points = examples(self.train), examples(self.test), self.plan.points
        known = {
            "label": train["label"][:points],
            "ids": train["ids"][:points],
            "test_label": test["label"],
            "test_ids": test["ids"],
            "test_target": np.asarray(self.test.targets, float),
        }
        if self.grid is not None:
            places = {"x1_input": self.points, "test_input": self.test.x, "grid_input": self.grid}
            known |= {name: _flat(inputs)[:, self.drawn] for name, inputs in places.items()}
        return known | {"class_names": train["class_names"], "task": self.train.task}


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)
