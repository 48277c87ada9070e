"""The limit of infinite width that a sweep's kernels are compared with, computed once for all its widths."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ntk_explorer.architectures import ArchitectureConfig
from ntk_explorer.datasets import LabelledData
from ntk_explorer.infinite.limits import infinite_ntk, numbers_per_pair
from ntk_explorer.infinite.twin import missing_twin
from ntk_explorer.sweeps.plan import SweepPlan

# Numbers of a limit beyond which a sweep does without it: many minutes, where its cells may take seconds.
MOST_NUMBERS = 2**31
# For one number and one layer, on one core of a CPU.
SECONDS_PER_NUMBER = 4e-8


class WidthLimit:
    """Θ_∞ of a plan's network on its data, at any width.

    In the standard parameterisation Θ_∞ holds the fan-ins, which in hidden layers are multiples of the width:
    it is affine in the width, so that two widths tell all others.
    """

    def __init__(self, plan: SweepPlan, data: LabelledData):
        """Compute nothing yet."""
        self._config = plan.network.replace(inputs=data.inputs, outputs=data.outputs)
        self._data = data

    @cached_property
    def missing(self) -> str:
        """Why there is no limit, in a sentence without its full stop; empty when there is one."""
        if reason := missing_twin(self._config):
            return reason
        numbers = len(self._data.x) ** 2 * numbers_per_pair(self._config)
        if numbers > MOST_NUMBERS:
            return f"for so many examples and pixels it takes {numbers:.1g} numbers, too long for a sweep"
        return ""

    @property
    def seconds(self) -> float:
        """How long the limit takes, roughly."""
        if self.missing:
            return 0.0
        layers = getattr(self._config, "depth", 1) * (1 if self._config.parameterization == "ntk" else 2)
        return len(self._data.x) ** 2 / 2 * numbers_per_pair(self._config) * layers * SECONDS_PER_NUMBER

    def at(self, width: int) -> np.ndarray | None:
        """Θ_∞ [n, n] for networks of this width; None when there is no limit."""
        if self.missing:
            return None
        at_one, growth = self._affine
        return at_one + (width - 1) * growth

    @cached_property
    def _affine(self) -> tuple[np.ndarray, np.ndarray | float]:
        at_one = infinite_ntk(self._at(1), self._data.x)
        if self._config.parameterization == "ntk":
            return at_one, 0.0
        return at_one, infinite_ntk(self._at(2), self._data.x) - at_one

    def _at(self, width: int) -> ArchitectureConfig:
        return self._config.replace(width=width)
