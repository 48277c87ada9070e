"""Which road each parameter takes into a kernel, from shapes alone."""

from __future__ import annotations

import math
from typing import NamedTuple

from ntk_explorer.reading.contract import factored_is_cheaper, multiplications
from ntk_explorer.reading.taps import Reading
from ntk_explorer.reading.unfold import fan_out


class Road(NamedTuple):
    """How one parameter enters the kernel: ``factored`` (s positions, p fan-in, o fan-out) or ``materialised``."""

    parameter: str
    shape: tuple[int, ...]
    road: str
    positions: int
    fan_in: int
    fan_out: int

    @property
    def size(self) -> int:
        """Numbers in the parameter."""
        return math.prod(self.shape)

    def forming_flops(self, n: int, k: int) -> float:
        """Operations to form the gradients of n examples along k cotangents; none where they are not formed."""
        return 2.0 * n * k * self.positions * self.size if self.road == "materialised" else 0.0

    def contraction_flops(self, n: int, m: int, k: int, *, paired: bool) -> float:
        """Operations to turn what is held of n and m examples into this parameter's share of the kernel."""
        if self.road == "factored":
            shape = self.positions, self.fan_in, self.fan_out
            return 2.0 * multiplications(shape, k, n, m, paired=paired).factored
        return 2.0 * n * m * (k if paired else k * k) * self.size


def roads(reading: Reading, n: int, m: int, k: int, *, paired: bool) -> dict[int, Road]:
    """The road, for n × m examples and k cotangents, of every leaf that the outputs depend on."""
    found = {leaf: Road(reading.names[leaf], reading.shapes[leaf], "materialised", 0, 0, 0) for leaf in reading.general}
    for index, site in reading.sites.items():
        eqn, leaf = reading.program.jaxpr.eqns[index], site.value.leaf
        shape, o = reading.shapes[leaf], fan_out(eqn, site.data_operand)
        s, p = eqn.outvars[0].aval.size // o, math.prod(shape) // o
        cheap = factored_is_cheaper((s, p, o), k, n, m, paired=paired)
        found[leaf] = Road(reading.names[leaf], shape, "factored" if cheap else "materialised", s, p, o)
    return dict(sorted(found.items()))


def materialised_leaves(taken: dict[int, Road]) -> frozenset[int]:
    """Leaves whose gradients are formed."""
    return frozenset(leaf for leaf, road in taken.items() if road.road == "materialised")
