"""One cell of a sweep: one network, its eNTK, the kernels that stand in for it and all that is kept of them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from ntk_explorer.architectures import Network, build
from ntk_explorer.comparison import MEASURES
from ntk_explorer.comparison.measures import block_error, block_norm, distance_to_limit
from ntk_explorer.datasets import LabelledData
from ntk_explorer.kernels import KERNELS, shares_limit
from ntk_explorer.spectra.eigen import eigenvalues, unwrap
from ntk_explorer.store import Identity, fingerprint
from ntk_explorer.sweeps.assembly import CellResult, matrix_bytes
from ntk_explorer.sweeps.limit import WidthLimit
from ntk_explorer.sweeps.plan import DERIVED, NetworksPlan, SweepPlan

PRODUCER = "sweep-cell"
REVISION = 4  # raise it when a cell's numbers or names change: stored cells are then computed again
# Beyond this, only the first seed's cells keep their matrices.
MATRIX_LIMIT = 4_000_000


def examples(data: LabelledData) -> dict:
    """What a sweep remembers of its data: a label and an id per example; a regression's label is its target."""
    label = data.y if data.task == "classification" else data.targets[:, 0]
    return {"label": np.asarray(label), "ids": np.asarray(data.ids), "class_names": list(data.class_names)}


def cell_identities(plan: SweepPlan, data: LabelledData) -> dict[tuple[int, int], Identity]:
    """What every cell is in the store: all that its numbers depend on, and nothing else.

    More widths or seeds in a plan leave the keys of the others as they are; where the examples came from has
    no part in it, only what they are.
    """
    common = {
        "network": plan.network.model_dump(mode="json", exclude=set(DERIVED)),
        "inputs": data.inputs,
        "outputs": data.outputs,
        "seed": plan.seed,
        "kernels": plan.kernels,
    }
    examples = fingerprint(data.x)
    return {
        (width, index): Identity(
            PRODUCER,
            REVISION,
            common | {"width": width, "index": index},
            fingerprint=examples,
            dtype=plan.dtype,
        )
        for width, index in plan.cells
    }


def network_at(plan: NetworksPlan, data: LabelledData, width: int) -> Network:
    """The plan's network at one width, in the shapes of the data."""
    return build(plan.network, width=width, inputs=data.inputs, outputs=data.outputs)


def initialise(plan: NetworksPlan, network: Network, index: int):
    """Parameters of one seed; every (width, index) has a key of its own, whatever else the plan holds."""
    import jax  # not above: plans and results are handled without jax

    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(plan.seed), network.config.width), index)
    return network.init(key)


def compute_cell(
    plan: SweepPlan, data: LabelledData, width: int, index: int, limit: WidthLimit | None = None
) -> CellResult:
    """Compute one cell.

    Args:
        plan: the sweep.
        data: its examples.
        width: a hidden width.
        index: number of the initialisation.
        limit: the sweep's own, so that its cells share the work; else it is made anew.

    Returns:
        The :class:`CellResult`.
    """
    import jax

    limit = limit or WidthLimit(plan, data)
    infinite = limit.at(width)  # before the clock starts: the first cell would be charged for all
    begun = time.perf_counter()
    with jax.enable_x64(plan.dtype == "float64"):
        network = network_at(plan, data, width)
        kernels = all_kernels(plan, network, initialise(plan, network, index), jax.numpy.asarray(data.x, plan.dtype))
        arrays = {f"eigenvalues.{name}": np.asarray(eigenvalues(kernel)) for name, kernel in kernels.items()}
        arrays |= _errors(plan, kernels) | _distances(kernels, infinite, limit)
        if index == 0 or matrix_bytes(plan, len(data.x)) <= MATRIX_LIMIT:
            arrays |= _matrices(plan, kernels)
    arrays["seconds"] = np.asarray(time.perf_counter() - begun)
    arrays["device"] = np.asarray(jax.devices()[0].device_kind)
    return CellResult(width, index, arrays, examples(data))


def all_kernels(plan: SweepPlan, network: Network, params, x1, x2=None) -> dict:
    """The eNTK and the plan's kernels."""
    return kernels_by_name(("entk", *plan.kernels), network.apply, params, x1, x2)


def kernels_by_name(names: Sequence[str], f, params, x1, x2=None) -> dict:
    """Several kernels of one network; where the eNTK is among them, contractions of its blocks are taken from them."""
    kernels = {"entk": unwrap(KERNELS["entk"](f, params, x1, x2))} if "entk" in names else {}
    for name in names:
        card = KERNELS[name]
        if "entk" in kernels and "from_blocks" in card.extras:
            kernels[name] = card.extras["from_blocks"](kernels["entk"])
        elif name not in kernels:
            kernels[name] = unwrap(card(f, params, x1, x2))
    return {name: kernels[name] for name in names}


def _errors(plan: SweepPlan, kernels: dict) -> dict[str, np.ndarray]:
    return {
        f"{measure}.{name}": np.asarray(entry(kernels[name], kernels["entk"]))
        for measure, entry in MEASURES.items()
        if "spectral" not in entry.tags
        for name in plan.kernels
    }


def _distances(kernels: dict, infinite: np.ndarray | None, limit: WidthLimit) -> dict[str, np.ndarray]:
    if infinite is None:
        return {"no_limit": np.asarray(limit.missing)}
    return {
        f"distance_to_limit.{name}": np.asarray(distance_to_limit(kernel, infinite))
        for name, kernel in kernels.items()
        if shares_limit(name)
    }


def _matrices(plan: SweepPlan, kernels: dict) -> dict[str, np.ndarray]:
    scale = math.sqrt(kernels["entk"].shape[-1])
    arrays = {"gram.entk": block_norm(kernels["entk"]) / scale}
    for name in plan.kernels:
        arrays[f"gram.{name}"] = kernels[name]
        arrays[f"block_error.{name}"] = block_error(kernels[name], kernels["entk"]) / scale
    return {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()}
