"""How a network is trained, as one checked and hashable configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from ntk_explorer.errors import UnknownName, explain_validation
from ntk_explorer.training import OPTIMIZERS, SCHEDULES

Loss = Literal["cross_entropy", "squared"]
MOST_EPOCHS = 1_000_000


class TrainingConfig(BaseModel, frozen=True, extra="forbid"):
    """Loss, optimiser and how long: the one door for links, YAML, command line and notebooks.

    The squared loss is the mean over examples of ½‖f(x) − y‖², with one-hot y for classes; its gradient descent at
    rate η follows the kernel Θ/n, and its limit on η is 2/λ_max(Θ/n).
    """

    loss: Loss | None = Field(None, description="cross_entropy or squared (None: as classes or a regression ask for)")
    optimizer: str = Field("adam", description="how gradients become steps")
    learning_rate: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="largest step size (None: the optimizer's own)"
    )
    schedule: str = Field("constant", description="how the learning rate changes from step to step")
    batch_size: int | None = Field(64, ge=1, description="examples per step (None: all of them)")
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False, description="shrinkage of parameters")
    epochs: int = Field(100, ge=1, le=MOST_EPOCHS, description="passes over the training examples")

    @field_validator("optimizer", mode="after")
    @classmethod
    def _known_optimizer(cls, value: str) -> str:
        return OPTIMIZERS[value].name

    @field_validator("schedule", mode="after")
    @classmethod
    def _known_schedule(cls, value: str) -> str:
        return SCHEDULES[value].name


def configure_training(config: TrainingConfig | None = None, **options) -> TrainingConfig:
    """The checked configuration of a training.

    Args:
        config: what to start from; the defaults when None.
        **options: fields to change, for instance ``optimizer="sgd", epochs=20``.

    Returns:
        The configuration, frozen and hashable.

    Raises:
        UnknownName: no such option, optimiser or schedule.
        InvalidInput: a value out of bounds.
    """
    for name in options:
        if name not in TrainingConfig.model_fields:
            raise UnknownName("option of training", name, TrainingConfig.model_fields)
    try:
        return TrainingConfig(**((config.model_dump() if config else {}) | options))
    except ValidationError as error:
        raise explain_validation(error) from None
