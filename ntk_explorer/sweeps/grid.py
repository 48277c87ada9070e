"""Several sweeps from one configuration: a list where one value is expected is an axis of a grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from ntk_explorer.architectures import ARCHITECTURES
from ntk_explorer.datasets import DataConfig
from ntk_explorer.errors import InvalidInput
from ntk_explorer.sweeps.plan import SweepPlan, plan_sweep

# Beyond this a grid is more likely a mistake than a plan.
MOST = 1000


def plan_grid(
    data: str | Sequence[str] | Mapping[str, Any] = "digits",
    network: str | Sequence[str] | Mapping[str, Any] = "mlp",
    **options,
) -> tuple[SweepPlan, ...]:
    """One sweep for every combination of listed values; without lists, the one sweep of :func:`plan_sweep`.

    Widths, seeds and kernels are axes of each sweep already. Every field of the data and of the network, and dtype and
    seed of the sweep, may be listed: architectures, depths, activations, numbers of examples. A combination that an
    architecture has no option for is an error.

    Args:
        data: names of data sets, or the fields of :class:`DataConfig`, each one value or a list of them.
        network: names of architectures, or the fields of their configuration, each one value or a list of them.
        **options: other fields of :class:`SweepPlan`.

    Returns:
        The plans, in the order of the lists, the last field changing fastest.

    Raises:
        InvalidInput: an empty list, or more than 1000 combinations; and what :func:`plan_sweep` raises.

    Example:
        >>> [plan.network.depth for plan in plan_grid(network={"architecture": "mlp", "depth": [2, 3]})]
        [2, 3]
    """
    parts = {
        "data": (fields_of(data, "name"), sequences(DataConfig)),
        "network": (network := fields_of(network, "architecture"), network_sequences(network)),
        "sweep": (options, {"widths", "kernels"}),
    }
    plans = [plan_sweep(at["data"], at["network"], **at["sweep"]) for at in combinations(parts, "sweeps")]
    return tuple(dict.fromkeys(plans))


def combinations(
    parts: Mapping[str, tuple[Mapping[str, Any], set[str]]], what: str
) -> Iterator[dict[str, dict[str, Any]]]:
    """Every combination of the values that some fields list, the last field changing fastest.

    Args:
        parts: by name, the fields of a part of a configuration, and the names of those that are sequences themselves.
        what: a combination's name in the plural.

    Raises:
        InvalidInput: an empty list, or more than 1000 combinations.
    """
    listed = {(part, name): values for part, (fields, own) in parts.items() for name, values in _listed(fields, own)}
    _check(listed, what)
    for values in product(*listed.values()):
        chosen = {part: dict(fields) for part, (fields, _) in parts.items()}
        for (part, name), value in zip(listed, values, strict=True):
            chosen[part][name] = value
        yield chosen


def fields_of(given: Any, name: str) -> dict[str, Any]:
    """A part of a configuration as fields, where it may be the value of one."""
    return dict(given) if isinstance(given, Mapping) else {name: given}


def _listed(fields: Mapping[str, Any], sequences: set[str]) -> Iterator[tuple[str, list[Any]]]:
    """Fields that hold a list of values; those that are sequences themselves are listed as lists of lists."""
    for name, value in fields.items():
        if isinstance(value, (list, tuple)) and (
            name not in sequences or (value and isinstance(value[0], (list, tuple)))
        ):
            yield name, list(value)


def network_sequences(network: Mapping[str, Any]) -> set[str]:
    """Names of an architecture's options that hold several values as they are."""
    names = network.get("architecture", "mlp")
    names = names if isinstance(names, (list, tuple)) else [names]
    return set().union(*(sequences(ARCHITECTURES[name].config) for name in names))


def sequences(config: Any) -> set[str]:
    """Names of a configuration's fields that hold several values as it is."""
    return {name for name, field in config.model_fields.items() if "tuple" in str(field.annotation)}


def _check(listed: dict[tuple[str, str], list[Any]], what: str) -> None:
    count = 1
    for (_, name), values in listed.items():
        if not values:
            raise InvalidInput(f"{name} is an empty list", "Give one value, or several.")
        count *= len(values)
    if count > MOST:
        raise InvalidInput(f"The lists make {count} {what}", f"Take at most {MOST} at a time.")
