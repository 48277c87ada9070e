"""Several trajectories from one configuration: a list where one value is expected is an axis of a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ntk_explorer.datasets import DataConfig
from ntk_explorer.sweeps.grid import combinations, fields_of, network_sequences, sequences
from ntk_explorer.trajectories.plan import TrajectoryPlan, plan_trajectory


def plan_trajectories(
    data: str | Sequence[str] | Mapping[str, Any] = "digits",
    network: str | Sequence[str] | Mapping[str, Any] = "mlp",
    training: Mapping[str, Any] | None = None,
    **options,
) -> tuple[TrajectoryPlan, ...]:
    """One trajectory for every combination of listed values; without lists, the one of :func:`plan_trajectory`.

    Widths, seeds, kernels and the epochs of kernels are axes of each trajectory already.

    Args:
        data: names of data sets, or the fields of :class:`DataConfig`, each one value or a list of them.
        network: names of architectures, or the fields of their configuration, each one value or a list of them.
        training: the fields of :class:`TrainingConfig`, each one value or a list of them.
        **options: other fields of :class:`TrajectoryPlan`.

    Returns:
        The plans, in the order of the lists, the last field changing fastest.

    Raises:
        InvalidInput: an empty list, or more than 1000 combinations; and what :func:`plan_trajectory` raises.

    Example:
        >>> [plan.training.learning_rate for plan in plan_trajectories(training={"learning_rate": [0.1, 0.01]})]
        [0.1, 0.01]
    """
    parts: dict[str, tuple[Mapping[str, Any], set[str]]] = {
        "data": (fields_of(data, "name"), sequences(DataConfig)),
        "network": (network := fields_of(network, "architecture"), network_sequences(network)),
        "training": (training or {}, set()),
        "trajectory": (options, {"widths", "kernels", "kernel_at"}),
    }
    return tuple(
        dict.fromkeys(
            plan_trajectory(at["data"], at["network"], training=at["training"], **at["trajectory"])
            for at in combinations(parts, "trainings")
        )
    )
