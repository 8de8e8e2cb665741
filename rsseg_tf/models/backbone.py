"""What a segmentation head needs to know of a backbone, and how output stride is paid for with dilation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np

from rsseg_tf.errors import ModelError
from rsseg_tf.models.weights.widening import fitted

BN_MOMENTUM = 0.9
"""Share of the old value that batch-norm statistics keep at a step; trainings here are short."""


@dataclass(frozen=True)
class Features:
    """What a segmentation head reads from a backbone.

    Attributes:
        by_stride: stride from the image → the last output of that stride, (N, ⌈H/s⌉, ⌈W/s⌉, C); at the output stride
            that of the last stage.
    """

    by_stride: Mapping[int, keras.KerasTensor]

    def at(self, stride: int) -> keras.KerasTensor:
        """Return the last output of that stride.

        Raises:
            ModelError: if there is none.
        """
        if stride not in self.by_stride:
            raise ModelError(f"the backbone has no features at 1/{stride} of the image size", hint="use another one")
        return self.by_stride[stride]


class FeatureBuilder(Protocol):
    """Builds a backbone's graph."""

    def __call__(self, x: keras.KerasTensor, *, output_stride: int, width: float = 1.0) -> Features:
        """Return features of normalized pixels (N, H, W, bands).

        `output_stride` is 8, 16 or 32; `width` is the share of the channels that each layer has.
        """


@dataclass(frozen=True)
class ChannelNormalization:
    """What a backbone wants done to pixels from 0 to 255, mostly RGB: (pixel / 255 − mean) / std, by band."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def scale(self) -> list[float]:
        """Factor of each channel's pixels."""
        return [1 / (255 * std) for std in self.std]

    @property
    def offset(self) -> list[float]:
        """What is added to each channel after `scale`."""
        return [-mean / std for mean, std in zip(self.mean, self.std, strict=True)]

    def of(self, bands: int) -> ChannelNormalization:
        """Return this of RGB for a number of bands: further ones as red, fewer by the means of the three colors."""
        mean, std = (tuple(fitted(np.asarray(values), (bands,)).tolist()) for values in (self.mean, self.std))
        return ChannelNormalization(mean, std)


def even_normalization(mean: float, std: float) -> ChannelNormalization:
    """Return the same (pixel − mean) / std for every channel; `mean` and `std` in pixel values."""
    return ChannelNormalization((mean / 255,) * 3, (std / 255,) * 3)


IMAGENET = ChannelNormalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's pixels, which torchvision, timm and KerasHub train with."""


@dataclass(frozen=True)
class Backbone:
    """A backbone that a head can be put on.

    Attributes:
        features: builds it.
        normalization: what its pixels go through before.
    """

    features: FeatureBuilder
    normalization: ChannelNormalization = IMAGENET


def scaled(channels: int, width: float) -> int:
    """Return the share `width` of `channels` as a multiple of 8, at least 8 and no more than a tenth short of it.

    The rule of MobileNetV2 (torchvision's and Keras' `_make_divisible`).
    """
    rounded = max(8, int(channels * width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels * width else rounded


@dataclass(frozen=True)
class Step:
    """Stride and dilations of one residual block.

    The convolution that loses its stride to the output stride keeps the dilation from before it,
    and all that follow it dilate, so pretrained features keep their meaning.
    """

    stride: int
    dilation_before: int
    dilation: int


def steps(strides: Sequence[int], depths: Sequence[int], *, stride: int, output_stride: int) -> Iterator[list[Step]]:
    """Yield the steps of each stage of blocks.

    Args:
        strides: of the first block of each stage.
        depths: blocks of each stage.
        stride: from the image to the first stage.
        output_stride: the largest stride of all; beyond it, strides become dilations.
    """
    dilation = 1
    for stage_stride, depth in zip(strides, depths, strict=True):
        before, kept = dilation, stage_stride
        if stride * stage_stride > output_stride:
            kept, dilation = 1, dilation * stage_stride
        stride *= kept
        yield [Step(kept, before, dilation), *[Step(1, dilation, dilation)] * (depth - 1)]
