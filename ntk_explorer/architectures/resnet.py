"""Residual networks in the layout of ResNet-18, for small images."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from ntk_explorer.architectures import ARCHITECTURES
from ntk_explorer.architectures._base import ImageConfig, Network


class ResNetConfig(ImageConfig, frozen=True):
    """Options of a residual network."""

    default_widths: ClassVar[tuple[int, ...]] = (2, 4, 8, 16, 32)

    architecture: Literal["resnet", "resnet18"] = "resnet"
    width: int = Field(8, ge=1, le=1024, description="channels of the first stage; each later stage has twice as many")
    blocks: tuple[PositiveInt, ...] = Field(
        (2, 2, 2, 2),
        min_length=1,
        max_length=6,
        description="basic blocks (two convolutions each) per stage; images are halved between stages",
    )
    normalization: Literal["layer", "group", "none"] = Field(
        "layer",
        description="after each convolution, example by example: over all channels (layer), over groups of about 16 "
        "channels (group), or none (outputs then grow with the number of blocks)",
    )


class ResNet18Config(ResNetConfig, frozen=True):
    """ResNet-18 for images of 32 × 32 pixels; ``width=16`` is the one with a quarter of the channels."""

    architecture: Literal["resnet18"] = "resnet18"
    inputs: tuple[PositiveInt, ...] = Field((32, 32, 3), description="shape of one example: height, width, channels")
    width: int = Field(64, ge=1, le=1024, description="channels of the first stage; each later stage has twice as many")


@ARCHITECTURES.register(
    "resnet18",
    label="ResNet-18",
    config=ResNet18Config,
    equation=r"h \leftarrow \phi\big(S h + N(W_2 * \phi(N(W_1 * h)))\big)",
    reference="He et al. (2016), Table 1, with the stem for small images; layer normalisation in place of batch's",
    cost="11.2 million parameters and 1.1 GFLOP per forward pass of a 32×32 image at width 64",
)
@ARCHITECTURES.register(
    "resnet",
    label="ResNet",
    config=ResNetConfig,
    equation=r"h \leftarrow \phi\big(S h + N(W_2 * \phi(N(W_1 * h)))\big)",
    reference="He et al. (2016), basic blocks; group normalisation of Wu and He (2018)",
    cost="11 million parameters at width 64, in proportion to width²",
)
def resnet(config: ResNetConfig) -> Network:
    """Basic residual blocks in stages of halved resolution and doubled channels, pooling, and a linear readout.

    The stem is a 3×3 convolution at full resolution, as for small images. Normalisation never mixes
    examples; its scale is trained, its shift only with ``bias=True``.
    """
    # jax is imported only when a network is built: configurations are read in processes without it.
    from ntk_explorer.architectures import _layers as layers

    stack = {
        "stem": layers.convolution(config, config.inputs[-1], config.width),
        "stem_norm": layers.normalization(config, config.width, config.normalization),
        "stem_activation": layers.activation(config),
    }
    channels = config.width
    for stage, count in enumerate(config.blocks):
        for i in range(count):
            shape = (channels, config.width * 2**stage, 2 if stage > 0 and i == 0 else 1)
            stack[f"stage_{stage}_block_{i}"] = layers.residual(
                _branch(layers, config, *shape), _shortcut(layers, config, *shape)
            )
            stack[f"stage_{stage}_activation_{i}"] = layers.activation(config)
            channels = config.width * 2**stage
    stack["pooling"] = layers.global_average_pooling()
    return layers.network(config, layers.serial(**stack, readout=layers.readout(config, channels)))


def _branch(layers, config: ResNetConfig, channels_in: int, channels_out: int, stride: int):
    """Two 3×3 convolutions; the first one changes the shape."""
    return layers.serial(
        conv_0=layers.convolution(config, channels_in, channels_out, stride=stride),
        norm_0=layers.normalization(config, channels_out, config.normalization),
        activation=layers.activation(config),
        conv_1=layers.convolution(config, channels_out, channels_out),
        norm_1=layers.normalization(config, channels_out, config.normalization),
    )


def _shortcut(layers, config: ResNetConfig, channels_in: int, channels_out: int, stride: int):
    """The identity, or a 1×1 convolution where the shape changes."""
    if (channels_in, stride) == (channels_out, 1):
        return layers.identity()
    return layers.serial(
        projection=layers.convolution(config, channels_in, channels_out, size=1, stride=stride),
        norm=layers.normalization(config, channels_out, config.normalization),
    )
