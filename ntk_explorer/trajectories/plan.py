"""What is trained and looked at along the way, as one checked and hashable configuration."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from ntk_explorer.architectures import ArchitectureConfig
from ntk_explorer.datasets import DATASETS, DataConfig
from ntk_explorer.errors import InvalidInput, explain_validation
from ntk_explorer.kernels import KERNELS, incomparable
from ntk_explorer.sweeps.plan import NetworksPlan, whole_numbers
from ntk_explorer.training.config import MOST_EPOCHS, TrainingConfig

POINTS = 200
MOMENTS = 10
SIZES = (100, 100)  # of training and test set, where a data set's card names none


class TrajectoryPlan(NetworksPlan):
    """Networks in training, for every width and every seed, and their kernels at some epochs.

    ``data.n`` counts the training examples. Kernels, their spectra and regression use the first ``points`` of them, in
    float64 whatever the training's ``dtype``.
    """

    seeds: int = Field(1, ge=1, le=64, description="number of initialisations per width, trained as one ensemble")
    test: int = Field(100, ge=1, le=100_000, description="number of test examples")
    training: TrainingConfig = TrainingConfig()  # pyright: ignore[reportCallIssue]
    kernel_at: tuple[int, ...] = Field((), description="epochs whose kernels are computed (empty: about ten)")
    points: int = Field(POINTS, ge=2, le=20_000, description="training examples that the kernels are computed on")
    kernels: tuple[str, ...] = Field(("entk", "pntk", "trntk"), description="kernels to follow")
    ridge: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="added to the kernels' diagonals, in units of their means"
    )
    linearised: bool = Field(True, description="train the network linearised at its initialisation as well")
    dtype: Literal["float64", "float32"] = Field("float32", description="precision of the training")

    @model_validator(mode="before")
    @classmethod
    def _sizes(cls, fields: Any) -> Any:
        """Sizes that are not given are those of the data set's card; points and batches are at most all examples."""
        if not isinstance(fields, dict):
            return fields
        data = fields.get("data", {})
        data = {"name": data} if isinstance(data, str) else data
        data = data.model_dump() if isinstance(data, DataConfig) else data
        if not isinstance(data, dict) or not isinstance(name := data.get("name", "digits"), str):
            return fields  # the field of the data says what is wrong
        n, test = DATASETS[name].extras.get("split", SIZES)
        sized = {"data": {"n": n} | data, "test": test}
        if isinstance(count := sized["data"]["n"], int):
            sized["points"] = min(POINTS, count)
            sized["training"] = _within(fields.get("training", {}), count)
            fields = {name: value for name, value in fields.items() if name != "training"}
        return sized | {name: value for name, value in fields.items() if name != "data"}

    @field_validator("kernel_at", mode="before")
    @classmethod
    def _epochs(cls, value: Any) -> Any:
        return whole_numbers(value, "Epoch", 0, MOST_EPOCHS, "0,1,3,10")

    @field_validator("kernels", mode="after")
    @classmethod
    def _known_kernels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            reason = incomparable(KERNELS[name])
            if reason and name != "entk":
                raise InvalidInput(f"{name!r} {reason}", "Leave it out.")
        if not value:
            raise InvalidInput("No kernel to follow", "Choose at least one, for instance pntk.")
        return tuple(sorted(dict.fromkeys(value), key=lambda name: name != "entk"))

    @model_validator(mode="after")
    def _complete(self) -> Self:
        epochs = self.training.epochs
        if not self.widths:
            object.__setattr__(self, "widths", (256,))
        if not self.kernel_at:
            object.__setattr__(self, "kernel_at", spread_epochs(epochs))
        if self.kernel_at[-1] > epochs:
            raise InvalidInput(
                f"A kernel at epoch {self.kernel_at[-1]} is beyond the training's {epochs}",
                f"Train for {self.kernel_at[-1]} epochs, or leave it out.",
            )
        if (batch := self.training.batch_size) and batch > self.data.n:
            raise InvalidInput(
                f"Batches of {batch} are larger than the {self.data.n} training examples",
                f"Give at most {self.data.n}, or None to take all of them at every step.",
            )
        if self.points > self.data.n:
            raise InvalidInput(
                f"{self.points} points for the kernels are more than the {self.data.n} training examples",
                f"Lower points to {self.data.n}.",
            )
        return self

    @property
    def compared(self) -> tuple[str, ...]:
        """The kernels that stand in for the eNTK."""
        return tuple(name for name in self.kernels if name != "entk")

    @property
    def moments(self) -> list[tuple[int, int, int]]:
        """All (width, seed index, epoch) at which kernels are computed, seed by seed."""
        return [(width, index, epoch) for width, index in self.cells for epoch in self.kernel_at]


def _within(training: Any, n: int) -> Any:
    """Batches of the usual size, unless they are given or there are not so many examples."""
    if isinstance(training, TrainingConfig):
        training = training.model_dump(include=training.model_fields_set)
    usual = TrainingConfig.model_fields["batch_size"].default
    return {"batch_size": min(usual, n)} | training if isinstance(training, dict) else training


def spread_epochs(epochs: int, count: int = MOMENTS) -> tuple[int, ...]:
    """Epoch 0 and others at even distances on a logarithmic axis, the last among them; at most ``count``.

    Example:
        >>> spread_epochs(100)
        (0, 1, 2, 3, 6, 10, 18, 32, 56, 100)
    """
    others = np.geomspace(1, epochs, count - 1).round().astype(int)
    return (0, *(int(epoch) for epoch in np.unique(others)))


def plan_trajectory(
    data: str | dict | DataConfig = "digits",
    network: str | dict | ArchitectureConfig = "mlp",
    **options,
) -> TrajectoryPlan:
    """Check and complete the configuration of networks in training.

    Args:
        data: a data set's name, or the fields of :class:`DataConfig`; ``n`` counts the training examples, by default
            those of the data set's usual training set.
        network: an architecture's name, or the fields of its configuration.
        **options: other fields of :class:`TrajectoryPlan`: test, widths, seeds, seed, training (the fields of
            :class:`TrainingConfig`), kernel_at, points, kernels, ridge, linearised, dtype.

    Returns:
        The plan, frozen and hashable.

    Raises:
        UnknownName: a data set, architecture, kernel, optimiser or schedule that no registry holds.
        InvalidInput: any other value out of bounds.

    Example:
        >>> plan_trajectory("rings", widths=[64], training={"epochs": 10}, kernel_at=[0, 10]).moments
        [(64, 0, 0), (64, 0, 10)]
    """
    if isinstance(data, str):
        data = {"name": data}
    try:
        return TrajectoryPlan(data=data, network=network, **options)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        raise explain_validation(error) from None
