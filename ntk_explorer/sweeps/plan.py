"""What a width sweep computes, as one checked and hashable configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, field_validator, model_validator

from ntk_explorer.architectures import ArchitectureConfig, ImageConfig, configure
from ntk_explorer.datasets import DATASETS, DataConfig
from ntk_explorer.errors import InvalidInput, explain_validation
from ntk_explorer.kernels import KERNELS, incomparable

# A sweep varies the width and takes the shapes from the data: these fields of an architecture are not its options.
DERIVED = ("inputs", "outputs", "width")


class NetworksPlan(BaseModel):
    """Networks of several widths and initialisations on one data set: what sweeps and trajectories have in common.

    A plan is the door for links, YAML files, the command line and notebooks alike; it holds no shape
    that the data decide, so that equal work has equal plans.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    data: DataConfig = DataConfig()  # pyright: ignore[reportCallIssue]
    network: SerializeAsAny[ArchitectureConfig] = Field(default_factory=lambda: configure("mlp"))
    widths: tuple[int, ...] = Field((), description="hidden widths (empty: the architecture's own)")
    seeds: int = Field(5, ge=1, le=64, description="number of initialisations per width")
    seed: int = Field(0, ge=0, lt=2**31, description="seed from which all initialisations are drawn")

    @field_validator("data", mode="after")
    @classmethod
    def _known_data(cls, value: DataConfig) -> DataConfig:
        _ = DATASETS[value.name]
        return value

    @field_validator("network", mode="before")
    @classmethod
    def _known_architecture(cls, value: Any) -> Any:
        if isinstance(value, ArchitectureConfig):
            value = value.model_dump()
        if isinstance(value, str):
            value = {"architecture": value}
        if not isinstance(value, Mapping):
            raise InvalidInput(f"A network cannot be {value!r}", "Give an architecture's name, or its fields.")
        options = {name: option for name, option in value.items() if name not in DERIVED}
        return configure(**options)

    @field_validator("widths", mode="before")
    @classmethod
    def _widths(cls, value: Any) -> Any:
        return whole_numbers(value, "Width", 1, 65536, "32,128,512")

    @model_validator(mode="after")
    def _images_for_image_networks(self) -> Self:
        """Data that can be drawn in any shape take that of the network, where it reads images."""
        free = "any-shape" in DATASETS[self.data.name].tags and self.data.shape is None
        if free and isinstance(self.network, ImageConfig):
            object.__setattr__(self, "data", self.data.model_copy(update={"shape": self.network.inputs}))
        return self

    @property
    def cells(self) -> list[tuple[int, int]]:
        """All (width, seed index) pairs, seed by seed, so that a first whole curve appears early."""
        return [(width, index) for index in range(self.seeds) for width in self.widths]


def whole_numbers(values: Any, what: str, low: int, high: int, example: str) -> Any:
    """Several whole numbers in ascending order, each once; what is no collection is left for the field to refuse.

    Raises:
        InvalidInput: one of them is out of bounds, or no whole number.
    """
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes, Mapping)):
        return values
    values = tuple(values)
    for value in values:
        if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
            raise InvalidInput(
                f"{what} {value!r} is not a whole number between {low} and {high}", f"Use e.g. {example}."
            )
    return tuple(sorted({int(value) for value in values}))


class SweepPlan(NetworksPlan):
    """Kernels against the eNTK, for every width and every seed, on one data set."""

    kernels: tuple[str, ...] = Field(("pntk", "trntk", "single_logit"), description="kernels compared with the eNTK")
    dtype: Literal["float64", "float32"] = Field("float64", description="precision of parameters and kernels")

    @field_validator("kernels", mode="after")
    @classmethod
    def _known_kernels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if reason := incomparable(KERNELS[name]):
                raise InvalidInput(f"{name!r} {reason}", "Leave it out.")
        if not value:
            raise InvalidInput("No kernel to compare with the eNTK", "Choose at least one, for instance pntk.")
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _default_widths(self) -> Self:
        if not self.widths:
            object.__setattr__(self, "widths", type(self.network).default_widths)
        return self


def plan_sweep(
    data: str | dict | DataConfig = "digits",
    network: str | dict | ArchitectureConfig = "mlp",
    **options,
) -> SweepPlan:
    """Check and complete the configuration of a width sweep.

    Args:
        data: a data set's name, or the fields of :class:`DataConfig` (name, n, classes, seed, path, shape).
        network: an architecture's name, or the fields of its configuration.
        **options: other fields of :class:`SweepPlan`: widths, seeds, seed, kernels, dtype.

    Returns:
        The plan, frozen and hashable.

    Raises:
        UnknownName: a data set, architecture or kernel that no registry holds.
        InvalidInput: any other value out of bounds.

    Example:
        >>> plan_sweep(widths=[128, 32], seeds=2).cells
        [(32, 0), (128, 0), (32, 1), (128, 1)]
    """
    if isinstance(data, str):
        data = {"name": data}
    try:
        return SweepPlan(data=data, network=network, **options)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        raise explain_validation(error) from None
