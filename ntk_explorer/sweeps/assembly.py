"""From the cells of a sweep to one labelled Dataset; numpy and xarray only, so that a page can call it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version

import numpy as np
import xarray as xr

from ntk_explorer.comparison import MEASURES
from ntk_explorer.errors import InvalidInput
from ntk_explorer.spectra import SUMMARIES
from ntk_explorer.spectra.summaries import summarise
from ntk_explorer.sweeps.plan import DERIVED, SweepPlan

# Matrices are kept for as many seeds as fit here, and always for the first.
MATRIX_BUDGET = 64_000_000
PACKAGES = ("ntk-explorer", "jax", "numpy", "scipy", "xarray")


@dataclass(frozen=True, eq=False)
class CellResult:
    """What one initialisation at one width gave.

    ``arrays`` holds, for kernels k: ``eigenvalues.k`` [N] descending; for compared kernels k and measures m
    that need blocks: ``m.k``; ``distance_to_limit.k``, or else ``no_limit``, the reason in words; where
    matrices are kept: ``gram.k`` and ``block_error.k`` [n, n] float32; ``seconds``; ``device``.
    ``examples`` holds ``label`` [n], ``ids`` [n] and ``class_names``.
    """

    width: int
    index: int
    arrays: dict[str, np.ndarray]
    examples: dict = field(repr=False)
    found: bool = False

    @cached_property
    def summaries(self) -> dict[str, dict[str, float]]:
        """Every spectral summary, by kernel and name."""
        prefix = "eigenvalues."
        return {
            name.removeprefix(prefix): summarise(values)
            for name, values in self.arrays.items()
            if name.startswith(prefix)
        }


def assemble(plan: SweepPlan, cells: Iterable[CellResult]) -> xr.Dataset:
    """One Dataset of all cells that there are; what is missing is NaN.

    Args:
        plan: the sweep.
        cells: any of its cells, in any order, at least one.

    Returns:
        Dataset with dims ``kernel`` (the eNTK first), ``compared`` (the others), ``width``, ``seed``,
        ``rank`` (1..n c), ``x1``, ``x2`` and ``matrix_seed``:

        - ``eigenvalues(kernel, width, seed, rank)``, descending; NaN beyond n for n × n kernels;
        - one variable per entry of ``SUMMARIES``, over (kernel, width, seed);
        - one variable per entry of ``MEASURES``, over (compared, width, seed);
        - ``distance_to_limit(kernel, width, seed)``, ‖Θ − Θ_∞ ⊗ I‖_F / ‖Θ_∞ ⊗ I‖_F, of kernels that have the
          infinite-width NTK as their limit;
        - ``gram(kernel, width, matrix_seed, x1, x2)`` float32; for the eNTK ‖Θ_ij‖_F / √c;
        - ``block_error(compared, width, matrix_seed, x1, x2)`` float32, ‖Θ_ij − K_ij I‖_F / √c;
        - ``seconds(width, seed)``.

        ``matrix_seed`` holds the first seeds only, as many as fit into 64 MB and at least one. Coordinates
        ``label(x1)`` and ``ids(x1)``; attributes plan (JSON), versions (JSON), class_names (JSON), device,
        dtype and created, and no_limit where no infinite-width NTK is known, in words.

    Raises:
        InvalidInput: there is no cell.
    """
    cells = list(cells)
    if not cells:
        raise InvalidInput("No cell of the sweep has been computed yet", "Let at least one width finish.")
    return _Table(plan, cells).dataset()


class _Table:
    def __init__(self, plan: SweepPlan, cells: list[CellResult]):
        self.plan, self.cells = plan, cells
        self.kernels = ("entk", *plan.kernels)
        self.n = len(cells[0].examples["ids"])
        self.row = {width: i for i, width in enumerate(plan.widths)}

    def dataset(self) -> xr.Dataset:
        variables = {"eigenvalues": self._eigenvalues(), **self._summaries(), **self._measures()}
        variables["gram"] = self._matrices("gram", "kernel", self.kernels, "Gram matrix")
        variables["block_error"] = self._matrices("block_error", "compared", self.plan.kernels, "‖Θ_ij − K_ij I‖ / √c")
        variables["distance_to_limit"] = self._distances()
        variables["seconds"] = self._seconds()
        return xr.Dataset(variables, self._coords(variables), self._attrs())

    def _coords(self, variables: dict) -> dict:
        examples = self.cells[0].examples
        return {
            "kernel": list(self.kernels),
            "compared": list(self.plan.kernels),
            "width": list(self.plan.widths),
            "seed": np.arange(self.plan.seeds),
            "matrix_seed": np.arange(variables["gram"][1].shape[2]),
            "rank": np.arange(1, variables["eigenvalues"][1].shape[3] + 1),
            "label": ("x1", examples["label"]),
            "ids": ("x1", examples["ids"]),
        }

    def _attrs(self) -> dict[str, str]:
        no_limit = str(self.cells[0].arrays.get("no_limit", ""))
        return ({"no_limit": no_limit} if no_limit else {}) | {
            # Shapes and the width of one network are no part of a sweep over widths.
            "plan": self.plan.model_dump_json(exclude={"network": set(DERIVED)}),
            "versions": json.dumps({name: version(name) for name in PACKAGES}),
            "class_names": json.dumps([str(name) for name in self.cells[0].examples["class_names"]]),
            "device": ", ".join(sorted({str(cell.arrays["device"]) for cell in self.cells})),
            "dtype": self.plan.dtype,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _empty(self, *shape: int, dtype: type = float) -> np.ndarray:
        return np.full(shape, np.nan, dtype)

    def _eigenvalues(self) -> tuple:
        ranks = max(len(self.cells[0].arrays[f"eigenvalues.{name}"]) for name in self.kernels)
        values = self._empty(len(self.kernels), len(self.row), self.plan.seeds, ranks)
        for cell in self.cells:
            for k, name in enumerate(self.kernels):
                spectrum = cell.arrays[f"eigenvalues.{name}"]
                values[k, self.row[cell.width], cell.index, : len(spectrum)] = spectrum
        return ("kernel", "width", "seed", "rank"), values, {"long_name": "eigenvalue"}

    def _summaries(self) -> dict:
        table = {name: self._empty(len(self.kernels), len(self.row), self.plan.seeds) for name in SUMMARIES}
        for cell in self.cells:
            for k, kernel in enumerate(self.kernels):
                for name, value in cell.summaries[kernel].items():
                    table[name][k, self.row[cell.width], cell.index] = value
        return {
            name: (("kernel", "width", "seed"), values, {"long_name": SUMMARIES[name].label})
            for name, values in table.items()
        }

    def _measures(self) -> dict:
        table = {}
        for name, entry in MEASURES.items():
            values = self._empty(len(self.plan.kernels), len(self.row), self.plan.seeds)
            for cell in self.cells:
                for k, kernel in enumerate(self.plan.kernels):
                    if "spectral" in entry.tags:
                        value = entry(cell.arrays[f"eigenvalues.{kernel}"], cell.arrays["eigenvalues.entk"])
                    else:
                        value = cell.arrays[f"{name}.{kernel}"]
                    values[k, self.row[cell.width], cell.index] = value
            table[name] = (("compared", "width", "seed"), values, {"long_name": entry.label})
        return table

    def _distances(self) -> tuple:
        values = self._empty(len(self.kernels), len(self.row), self.plan.seeds)
        for cell in self.cells:
            for k, name in enumerate(self.kernels):
                values[k, self.row[cell.width], cell.index] = cell.arrays.get(f"distance_to_limit.{name}", np.nan)
        return ("kernel", "width", "seed"), values, {"long_name": "distance to the infinite-width NTK"}

    def _matrices(self, what: str, dim: str, names: tuple[str, ...], label: str) -> tuple:
        kept = matrix_seeds(self.plan, self.n)
        values = self._empty(len(names), len(self.row), kept, self.n, self.n, dtype=np.float32)
        for cell in self.cells:
            for k, name in enumerate(names):
                if cell.index < kept and f"{what}.{name}" in cell.arrays:
                    values[k, self.row[cell.width], cell.index] = cell.arrays[f"{what}.{name}"]
        return (dim, "width", "matrix_seed", "x1", "x2"), values, {"long_name": label}

    def _seconds(self) -> tuple:
        values = self._empty(len(self.row), self.plan.seeds)
        for cell in self.cells:
            values[self.row[cell.width], cell.index] = cell.arrays["seconds"]
        return ("width", "seed"), values, {"long_name": "time to compute", "units": "s"}


def matrix_bytes(plan: SweepPlan, n: int) -> int:
    """Size of all matrices of one cell: a Gram matrix per kernel and an error per compared kernel, float32."""
    return (2 * len(plan.kernels) + 1) * n * n * 4


def matrix_seeds(plan: SweepPlan, n: int) -> int:
    """How many of the first seeds have their matrices in the Dataset."""
    per_seed = matrix_bytes(plan, n) * len(plan.widths)
    return max(1, min(plan.seeds, MATRIX_BUDGET // per_seed))
