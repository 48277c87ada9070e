"""Stored sweeps of random eNTKs, kept by the real functions: the store and its page need no network."""

from __future__ import annotations

import numpy as np
from sweeps_by_hand import cell

from ntk_explorer.datasets import load
from ntk_explorer.store import Store
from ntk_explorer.sweeps.cells import cell_identities, examples
from ntk_explorer.sweeps.kept import keep_cell, keep_record, record_of
from ntk_explorer.sweeps.plan import SweepPlan, plan_sweep


def plan(depth: int = 3, **options) -> SweepPlan:
    """Two widths and two seeds on 12 digits of 3 classes."""
    data = {"name": "digits", "n": 12, "classes": 3}
    return plan_sweep(data, {"architecture": "mlp", "depth": depth}, **({"widths": (4, 8), "seeds": 2} | options))


def keep(store: Store, plan: SweepPlan, *, only: int | None = None) -> str:
    """Keep a sweep, or the first few of its cells; returns the key of its record."""
    data = load(plan.data)
    identities, known = cell_identities(plan, data), examples(data)
    for place in plan.cells[:only]:
        keep_cell(store, identities[place], cell(plan, np.asarray(known["label"]), data.outputs, *place))
    record = record_of(plan, data, identities.values())
    keep_record(store, plan, data, record)
    return record.key
