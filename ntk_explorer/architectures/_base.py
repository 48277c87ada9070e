"""What every architecture has: a frozen configuration and a pair of pure functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field, PositiveInt, ValidationError, field_validator, model_validator

from ntk_explorer.errors import InvalidInput, explain_validation

Activation = Literal["relu", "gelu", "erf", "tanh", "sigmoid", "silu", "softplus", "leaky_relu", "identity"]


class ArchitectureConfig(BaseModel, frozen=True, extra="forbid"):
    """Options shared by all architectures; hashable, and the one door for links, YAML, CLI and notebooks.

    ``inputs`` and ``outputs`` are the shape of one example and the number of outputs. Weights of a layer
    with fan-in p have variance ``weight_variance / p`` (the readout ``readout_variance / p``), biases
    ``bias_variance``. In the standard parameterisation the draw itself has that variance; in the NTK
    parameterisation the draw is N(0, 1) and the square root of the variance multiplies it in the forward pass
    (so a bias there needs ``bias_variance > 0``).
    """

    default_widths: ClassVar[tuple[int, ...]] = (32, 64, 128, 256, 512, 1024)

    architecture: str
    inputs: tuple[PositiveInt, ...] = Field((64,), description="shape of one example")
    outputs: PositiveInt = Field(10, description="number of outputs (classes)")
    width: int = Field(128, ge=1, le=65536, description="units or channels of a hidden layer")
    activation: Activation = Field("relu", description="nonlinearity between layers")
    parameterization: Literal["standard", "ntk"] = Field(
        "standard", description="where the 1/√fan-in scale lives: in the draw (standard) or in the forward pass (ntk)"
    )
    bias: bool = Field(False, description="add a trainable bias to every layer")
    weight_variance: float = Field(2.0, gt=0, le=100, description="variance of hidden weights times fan-in")
    readout_variance: float = Field(1.0, gt=0, le=100, description="variance of readout weights times fan-in")
    bias_variance: float = Field(0.0, ge=0, le=100, description="variance of biases at initialisation")

    @model_validator(mode="after")
    def _living_bias(self) -> Self:
        if self.bias and self.parameterization == "ntk" and self.bias_variance == 0:
            raise InvalidInput(
                "bias_variance = 0 multiplies every bias by 0 in the NTK parameterisation, so none could learn",
                "Set bias_variance, for instance to 0.1, or bias=False, or the standard parameterisation.",
            )
        return self

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether examples of this shape fit the network."""
        return tuple(shape) == self.inputs

    def replace(self, **changes) -> Self:
        """A copy with some fields changed, checked again (pydantic's own copy does not check)."""
        try:
            return type(self)(**(self.model_dump() | changes))
        except ValidationError as error:
            raise explain_validation(error) from None


class ImageConfig(ArchitectureConfig, frozen=True):
    """Options shared by architectures whose examples are images."""

    inputs: tuple[PositiveInt, ...] = Field((8, 8, 1), description="shape of one example: height, width, channels")

    @field_validator("inputs", mode="after")
    @classmethod
    def _image(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) != 3:
            raise InvalidInput(
                f"A convolutional network needs examples of shape (height, width, channels), got {value}",
                "Use image data such as digits, or an MLP.",
            )
        return value


@dataclass(frozen=True)
class Network:
    """Two pure functions and the configuration they came from.

    ``init(key) -> params`` draws parameters in JAX's default float type (float64 when x64 is enabled);
    ``apply(params, x[n, ...]) -> [n, c]`` treats examples independently. Two networks are equal when their
    configurations are.
    """

    config: Any
    init: Callable[..., Any] = field(compare=False, repr=False)
    apply: Callable[..., Any] = field(compare=False, repr=False)
