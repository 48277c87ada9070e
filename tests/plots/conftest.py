"""A sweep of random eNTKs for figures, made once."""

from __future__ import annotations

import pytest
import sweeps_by_hand


@pytest.fixture(scope="session")
def finished():
    """Three widths, three seeds, 20 examples of 4 classes."""
    return sweeps_by_hand.sweep()


@pytest.fixture(scope="session")
def ongoing():
    """The same, of which only the first seed's two narrower widths are in."""
    return sweeps_by_hand.sweep(missing=[(w, i) for w in (16, 64, 256) for i in range(3) if (w, i) not in FIRST])


@pytest.fixture(scope="session")
def unstarted(finished):
    """The same before its first run."""
    return sweeps_by_hand.nothing_yet(finished)


FIRST = [(16, 0), (64, 0)]
