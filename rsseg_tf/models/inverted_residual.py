"""MobileNetV2 and EfficientNet-Lite0 as flat Keras graphs: narrow ends, a wide depthwise middle, ReLU6.

Both end in the last block: the 1×1 convolution to 1280 channels that follows in a classifier serves its pooling.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from rsseg_tf.models.backbone import BN_MOMENTUM, Features, Step, scaled, steps


@dataclass(frozen=True)
class _Stage:
    """Blocks of one width: kernel height and width, stride of the first, how much wider the middle is."""

    kernel: int
    stride: int
    expansion: int
    filters: int
    depth: int


@dataclass(frozen=True)
class _Style:
    """What two networks do differently.

    Attributes:
        torch_padding: a strided layer pads by half its kernel on every side, as torch does, and not as TensorFlow's
            `same`, which pads more at the end.
        epsilon: of batch norms.
        width: share of the channels that each layer has.
    """

    torch_padding: bool
    epsilon: float
    width: float


_MOBILENET_V2 = (
    _Stage(3, 1, 1, 16, 1),
    _Stage(3, 2, 6, 24, 2),
    _Stage(3, 2, 6, 32, 3),
    _Stage(3, 2, 6, 64, 4),
    _Stage(3, 1, 6, 96, 3),
    _Stage(3, 2, 6, 160, 3),
    _Stage(3, 1, 6, 320, 1),
)
"""Sandler et al. 2018, table 2."""

_EFFICIENTNET_LITE0 = (
    _Stage(3, 1, 1, 16, 1),
    _Stage(3, 2, 6, 24, 2),
    _Stage(5, 2, 6, 40, 2),
    _Stage(3, 2, 6, 80, 3),
    _Stage(5, 1, 6, 112, 3),
    _Stage(5, 2, 6, 192, 4),
    _Stage(3, 1, 6, 320, 1),
)
"""Tan and Le 2019, table 1, without squeeze-and-excite and with ReLU6, as the Lite variants are."""


def mobilenet_v2(x: keras.KerasTensor, *, output_stride: int, width: float = 1.0) -> Features:
    """Return features of torchvision's MobileNetV2 on normalized pixels (N, H, W, bands).

    `output_stride` is 8, 16 or 32; every layer has the share `width` of the channels.
    """
    return _network(x, _MOBILENET_V2, _Style(torch_padding=True, epsilon=1e-5, width=width), output_stride)


def efficientnet_lite0(x: keras.KerasTensor, *, output_stride: int, width: float = 1.0) -> Features:
    """Return features of Google's EfficientNet-Lite0 on normalized pixels (N, H, W, bands).

    `output_stride` is 8, 16 or 32; every layer has the share `width` of the channels.
    """
    return _network(x, _EFFICIENTNET_LITE0, _Style(torch_padding=False, epsilon=1e-3, width=width), output_stride)


def _network(x: keras.KerasTensor, stages: tuple[_Stage, ...], style: _Style, output_stride: int) -> Features:
    x = _bn(_conv(x, scaled(32, style.width), 3, style=style, stride=2, name="stem"), style, relu=True, name="stem")
    stride, by_stride = 2, {2: x}
    strides, depths = [stage.stride for stage in stages], [stage.depth for stage in stages]
    stage_steps = steps(strides, depths, stride=2, output_stride=output_stride)
    for number, (stage, block_steps) in enumerate(zip(stages, stage_steps, strict=True), start=1):
        for block, step in enumerate(block_steps, start=1):
            name = f"stage{number}_block{block}"
            y = _block(x, stage, step, style, name=name)
            is_residual = x.shape[-1] == y.shape[-1] and (block > 1 or stage.stride == 1)
            x = layers.Add(name=f"{name}_add")([x, y]) if is_residual else y
        stride *= block_steps[0].stride
        by_stride[stride] = x
    return Features(by_stride)


def _block(x: keras.KerasTensor, stage: _Stage, step: Step, style: _Style, *, name: str) -> keras.KerasTensor:
    y = x
    if stage.expansion > 1:
        y = _conv(y, stage.expansion * x.shape[-1], 1, style=style, name=f"{name}_expand")
        y = _bn(y, style, relu=True, name=f"{name}_expand")
    y = _depthwise(y, stage.kernel, step, style, name=f"{name}_depthwise")
    y = _bn(y, style, relu=True, name=f"{name}_depthwise")
    filters = scaled(stage.filters, style.width)
    return _bn(_conv(y, filters, 1, style=style, name=f"{name}_project"), style, relu=False, name=f"{name}_project")


def _conv(
    x: keras.KerasTensor, filters: int, kernel: int, *, style: _Style, name: str, stride: int = 1
) -> keras.KerasTensor:
    x, padding = _padded(x, kernel, stride, style, name=name)
    return layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)


def _depthwise(x: keras.KerasTensor, kernel: int, step: Step, style: _Style, *, name: str) -> keras.KerasTensor:
    x, padding = _padded(x, kernel, step.stride, style, name=name)
    return layers.DepthwiseConv2D(
        kernel,
        strides=step.stride,
        dilation_rate=step.dilation_before,
        padding=padding,
        use_bias=False,
        depthwise_initializer=keras.initializers.VarianceScaling(2.0, mode="fan_out"),
        name=f"{name}_conv",
    )(x)


def _padded(
    x: keras.KerasTensor, kernel: int, stride: int, style: _Style, *, name: str
) -> tuple[keras.KerasTensor, str]:
    if stride > 1 and style.torch_padding:
        return layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"
    return x, "same"


def _bn(x: keras.KerasTensor, style: _Style, *, relu: bool, name: str) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=style.epsilon, momentum=BN_MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x) if relu else x
