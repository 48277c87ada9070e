"""From the parts of a trajectory to one labelled Dataset; numpy and xarray only, so that a page can call it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from ntk_explorer.comparison import MEASURES
from ntk_explorer.regression import PREDICTION_MEASURES
from ntk_explorer.spectra import SUMMARIES
from ntk_explorer.spectra.summaries import summarise
from ntk_explorer.sweeps.assembly import MATRIX_BUDGET, PACKAGES
from ntk_explorer.sweeps.plan import DERIVED
from ntk_explorer.trajectories.plan import TrajectoryPlan

STARTS = ("network", "zero")
CURVES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
PLACE = ("width", "seed", "at")
# Of a moment's arrays: the dims before those of the place, and those after.
LAYOUT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "eigenvalues": (("kernel",), ("rank",)),
    "drift": (("kernel",), ()),
    "alignment": (("kernel",), ()),
    "relative_frobenius": (("compared",), ()),
    "gram": (("kernel",), ("x1", "x2")),
    "network_output": ((), ("test", "output")),
    "linearised_output": ((), ("test", "output")),
    "regression_output": (("kernel", "start"), ("test", "output")),
    "network_output_on_grid": ((), ("grid", "output")),
    "linearised_output_on_grid": ((), ("grid", "output")),
    "regression_output_on_grid": (("kernel", "start"), ("grid", "output")),
    "network_accuracy": ((), ()),
    "network_loss": ((), ()),
    "linearised_accuracy": ((), ()),
    "linearised_loss": ((), ()),
    "regression_accuracy": (("kernel", "start"), ()),
    "regression_loss": (("kernel", "start"), ()),
    "regression_difference": (("compared",), ("start",)),
    "correction_difference": (("compared",), ("start",)),
    "agreement": (("compared",), ("start",)),
}
# Against the eNTK: not where it is not among the kernels.
COMPARISONS = (*MEASURES, *PREDICTION_MEASURES)
LABELS = {
    "train_loss": "training loss",
    "train_accuracy": "training accuracy",
    "test_loss": "test loss",
    "test_accuracy": "test accuracy",
    "learning_rate": "learning rate",
    "eigenvalues": "eigenvalue",
    "drift": "distance from the kernel at initialisation",
    "alignment": "alignment with the targets",
    "gram": "Gram matrix",
}
KNOWN_DIMS = {
    "label": ("x1",),
    "ids": ("x1",),
    "test_label": ("test",),
    "test_ids": ("test",),
    "test_target": ("test", "output"),
    "x1_input": ("x1", "feature"),
    "test_input": ("test", "feature"),
    "grid_input": ("grid", "feature"),
}


@dataclass(frozen=True, eq=False)
class Curves:
    """The history of all seeds at one width, as far as it has come: arrays by name, [seed, epoch] or [seed].

    ``linearised`` says whether it is that of the linearised networks.
    """

    width: int
    linearised: bool
    arrays: Mapping[str, np.ndarray] = field(repr=False)
    found: bool = False

    @property
    def place(self) -> tuple[int, bool]:
        """Which of a trajectory's trainings."""
        return self.width, self.linearised

    @property
    def epochs(self) -> int:
        """How many epochs have been trained."""
        return self.arrays["train_loss"].shape[1] - 1


@dataclass(frozen=True, eq=False)
class Moment:
    """What one network is at one epoch: arrays with the dims of ``LAYOUT`` without the place, ``seconds``, ``device``.

    ``refusals`` says, by kernel, why no regression with it was possible.
    """

    width: int
    index: int
    epoch: int
    arrays: Mapping[str, np.ndarray] = field(repr=False)
    refusals: Mapping[str, str] = field(default_factory=dict)
    found: bool = False

    @property
    def place(self) -> tuple[int, int, int]:
        """Which of a trajectory's moments."""
        return self.width, self.index, self.epoch

    @cached_property
    def summaries(self) -> dict[str, list[float]]:
        """Every spectral summary, by name, of each kernel."""
        of_kernels = [summarise(values[np.isfinite(values)]) for values in self.arrays["eigenvalues"]]
        return {name: [summary[name] for summary in of_kernels] for name in SUMMARIES}


def assemble_trajectory(plan: TrajectoryPlan, known: Mapping[str, Any], parts: Iterable[Curves | Moment]) -> xr.Dataset:
    """One Dataset of all parts that there are; what is missing is NaN.

    Args:
        plan: the trajectory.
        known: what :class:`Facts <ntk_explorer.trajectories.setting.Facts>` know of its examples.
        parts: in any order; of curves of one width the last.

    Returns:
        Dataset with dims ``width``, ``seed``, ``epoch`` (0..epochs), ``at`` (epochs of kernels), ``kernel``,
        ``compared`` (kernels but the eNTK), ``start``, ``rank``, ``x1``, ``x2``, ``matrix_seed``, ``test``, ``output``,
        and ``grid``, ``feature`` for data of one or two features:

        - ``train_loss``, ``train_accuracy``, ``test_loss``, ``test_accuracy`` (width, seed, epoch), and the same of the
          linearised network as ``linearised_…``; ``learning_rate``, that of each epoch's last step, and
          ``learning_rate_limit(width, seed, at)``, 2/λ_max(Θ/n) for the squared loss;
        - over (kernel, width, seed, at): ``eigenvalues(…, rank)`` descending, the entries of ``SUMMARIES``, ``drift``
          and ``alignment`` (see :mod:`ntk_explorer.comparison.movement`);
        - ``gram(kernel, width, matrix_seed, at, x1, x2)`` float32, for the eNTK ‖Θ_ij‖_F / √c, of as many of the first
          seeds as fit into 64 MB and at least one;
        - over (compared, width, seed, at): the entries of ``MEASURES``; with ``start``, ``regression_difference`` and
          ``correction_difference`` (‖f_K − f_Θ‖ relative to ‖f_Θ‖ and to ‖f_Θ − f_0‖ on the test examples) and
          ``agreement`` (share of equal classes);
        - ``network_output``, ``linearised_output`` (width, seed, at, test, output) and
          ``regression_output(kernel, start, …)``: regression begins at the network's outputs f_0 or at zero; each also
          ``…_on_grid``, and with its ``…_accuracy`` and ``…_loss``, the mean of ½‖f − y‖² over the test examples.

        Coordinates label(x1), ids(x1), test_label, test_ids, test_target; x1_input, test_input and grid_input with
        ``feature``. Attributes plan (JSON), versions (JSON), class_names (JSON), task, refusals (JSON), device, dtype
        and created.
    """
    return _Table(plan, known, list(parts)).dataset()


def is_whole(results: xr.Dataset) -> bool:
    """Whether every curve of a trajectory goes to the last epoch, and every moment is there."""
    ends = [results[name].isel(epoch=-1) for name in ("train_loss", "linearised_train_loss") if name in results]
    return all(bool(values.notnull().all()) for values in (*ends, results["eigenvalues"].isel(rank=0)))


class _Table:
    def __init__(self, plan: TrajectoryPlan, known: Mapping[str, Any], parts: list):
        self.plan, self.known = plan, known
        self.curves = {part.place: part for part in parts if isinstance(part, Curves)}
        self.moments = [part for part in parts if isinstance(part, Moment)]
        self.row = {width: i for i, width in enumerate(plan.widths)}
        self.column = {epoch: i for i, epoch in enumerate(plan.kernel_at)}
        n, outputs = len(known["ids"]), known["test_target"].shape[1]
        per_seed = len(plan.kernels) * len(plan.widths) * len(plan.kernel_at) * n * n * 4
        self.sizes = {
            "width": len(plan.widths),
            "seed": plan.seeds,
            "matrix_seed": max(1, min(plan.seeds, MATRIX_BUDGET // per_seed)),
            "epoch": plan.training.epochs + 1,
            "at": len(plan.kernel_at),
            "kernel": len(plan.kernels),
            "compared": len(plan.compared),
            "start": len(STARTS),
            "rank": n * outputs if "entk" in plan.kernels else n,
            "x1": n,
            "x2": n,
            "test": len(known["test_ids"]),
            "output": outputs,
            "grid": len(known.get("grid_input", ())),
        }

    def dataset(self) -> xr.Dataset:
        variables = self._histories() | self._moments() | self._summaries() | self._spectral_errors()
        variables["learning_rate_limit"] = self._limits(variables)
        cards = {**SUMMARIES, **MEASURES, **PREDICTION_MEASURES}
        labels = LABELS | {name: card.label for name, card in cards.items()}
        variables = {name: (*v, {"long_name": labels[name]}) if name in labels else v for name, v in variables.items()}
        return xr.Dataset(variables, self._coords(), self._attrs())

    def _empty(self, dims: tuple[str, ...], dtype: Any = float) -> np.ndarray:
        return np.full([self.sizes[dim] for dim in dims], np.nan, dtype)

    def _histories(self) -> dict:
        table = {name: self._history(name, linearised=False) for name in (*CURVES, "learning_rate")}
        if self.plan.linearised:
            table |= {f"linearised_{name}": self._history(name, linearised=True) for name in CURVES}
        return table

    def _history(self, name: str, *, linearised: bool) -> tuple:
        values = self._empty(dims := ("width", "seed", "epoch"))
        for width, row in self.row.items():
            if part := self.curves.get((width, linearised)):
                known = part.arrays[name][:, : values.shape[2]]
                values[row, :, : known.shape[1]] = known
        return dims, values

    def _moments(self) -> dict:
        table = {}
        for name, (lead, trail) in LAYOUT.items():
            if not self._expected(name):
                continue
            place = ("width", "matrix_seed", "at") if name == "gram" else PLACE
            values = self._empty(dims := (*lead, *place, *trail), np.float32 if name == "gram" else float)
            for moment in self.moments:
                if moment.index < values.shape[dims.index(place[1])] and name in moment.arrays:
                    values[(*[slice(None)] * len(lead), *self._where(moment))] = moment.arrays[name]
            table[name] = dims, values
        return table

    def _where(self, moment: Moment) -> tuple[int, int, int]:
        """Indices of ``PLACE``."""
        return self.row[moment.width], moment.index, self.column[moment.epoch]

    def _expected(self, name: str) -> bool:
        """Whether such arrays belong to the plan."""
        if name.startswith("linearised") and not self.plan.linearised:
            return False
        if name in COMPARISONS:
            return "entk" in self.plan.kernels and bool(self.plan.compared)
        return "grid_input" in self.known or not name.endswith("_on_grid")

    def _summaries(self) -> dict:
        table = {name: self._empty(("kernel", *PLACE)) for name in SUMMARIES}
        for moment in self.moments:
            for name, values in moment.summaries.items():
                table[name][(slice(None), *self._where(moment))] = values
        return {name: (("kernel", *PLACE), values) for name, values in table.items()}

    def _spectral_errors(self) -> dict:
        table = {}
        for name, entry in MEASURES.items():
            if "spectral" not in entry.tags or not self._expected(name):
                continue
            values = self._empty(dims := ("compared", *PLACE))
            for moment in self.moments:
                own, *others = (row[np.isfinite(row)] for row in moment.arrays["eigenvalues"])
                values[(slice(None), *self._where(moment))] = [entry(other, own) for other in others]
            table[name] = dims, values
        return table

    def _limits(self, variables: dict) -> tuple:
        """2/λ_max(Θ/n) from the first kernel, on the points; another than the eNTK is a lower bound of its λ_max."""
        return PLACE, 2 * self.sizes["x1"] / variables["largest_eigenvalue"][1][0]

    def _coords(self) -> dict:
        plan = self.plan
        coords = {
            "width": list(plan.widths),
            "seed": np.arange(plan.seeds),
            "matrix_seed": np.arange(self.sizes["matrix_seed"]),
            "epoch": np.arange(self.sizes["epoch"]),
            "at": list(plan.kernel_at),
            "kernel": list(plan.kernels),
            "compared": list(plan.compared),
            "start": list(STARTS),
            "rank": np.arange(1, self.sizes["rank"] + 1),
        }
        return coords | {name: (dims, self.known[name]) for name, dims in KNOWN_DIMS.items() if name in self.known}

    def _attrs(self) -> dict[str, str]:
        refusals = {kernel: why for moment in self.moments for kernel, why in moment.refusals.items()}
        return {
            "plan": self.plan.model_dump_json(exclude={"network": set(DERIVED)}),
            "versions": json.dumps({name: version(name) for name in PACKAGES}),
            "class_names": json.dumps([str(name) for name in self.known["class_names"]]),
            "task": self.known["task"],
            "refusals": json.dumps(refusals),
            "device": ", ".join(sorted({str(moment.arrays["device"]) for moment in self.moments})),
            "dtype": self.plan.dtype,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
