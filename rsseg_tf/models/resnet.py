"""ResNets as flat Keras graphs, aligned with torchvision's.

Explicit zero padding before every strided layer, the stride in the 3×3 convolution, no convolution
bias and a batch-norm epsilon of 1e-5: so state dicts of torchvision and timm map one to one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import layers

from rsseg_tf.models.backbone import BN_MOMENTUM, Features, Step, scaled, steps

BN_EPSILON = 1e-5


def conv_bn(
    x: keras.KerasTensor, filters: int, kernel: int, *, name: str, stride: int = 1, dilation: int = 1
) -> keras.KerasTensor:
    """Return `x` after a bias-free convolution and a batch norm, named `{name}_conv` and `{name}_bn`.

    Size is kept at stride 1. A strided convolution pads by half its kernel on every side first, as torch does.
    """
    if stride > 1 and kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        dilation_rate=dilation,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(epsilon=BN_EPSILON, momentum=BN_MOMENTUM, name=f"{name}_bn")(x)


def conv_bn_relu(
    x: keras.KerasTensor, filters: int, kernel: int, *, name: str, stride: int = 1, dilation: int = 1
) -> keras.KerasTensor:
    """Return `conv_bn` and a ReLU named `{name}_relu`."""
    x = conv_bn(x, filters, kernel, name=name, stride=stride, dilation=dilation)
    return layers.ReLU(name=f"{name}_relu")(x)


def separable_bn_relu(
    x: keras.KerasTensor, filters: int, kernel: int, *, name: str, dilation: int = 1
) -> keras.KerasTensor:
    """Return a depthwise convolution and a 1×1 one, each as in `conv_bn_relu`: `{name}_depthwise_…` and `{name}_…`."""
    x = layers.DepthwiseConv2D(
        kernel,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        depthwise_initializer=keras.initializers.VarianceScaling(2.0, mode="fan_out"),
        name=f"{name}_depthwise_conv",
    )(x)
    x = layers.BatchNormalization(epsilon=BN_EPSILON, momentum=BN_MOMENTUM, name=f"{name}_depthwise_bn")(x)
    return conv_bn_relu(layers.ReLU(name=f"{name}_depthwise_relu")(x), filters, 1, name=name)


def resnet18(x: keras.KerasTensor, *, output_stride: int, width: float = 1.0) -> Features:
    """Return features of a ResNet-18 on normalized pixels (N, H, W, bands).

    `output_stride` is 8, 16 or 32; every layer has the share `width` of the channels.
    """
    return _resnet(x, block=_basic_block, depths=(2, 2, 2, 2), output_stride=output_stride, width=width)


def resnet34(x: keras.KerasTensor, *, output_stride: int, width: float = 1.0) -> Features:
    """Return features of a ResNet-34; arguments as `resnet18`."""
    return _resnet(x, block=_basic_block, depths=(3, 4, 6, 3), output_stride=output_stride, width=width)


def resnet50(x: keras.KerasTensor, *, output_stride: int, width: float = 1.0) -> Features:
    """Return features of a ResNet-50; arguments as `resnet18`."""
    return _resnet(x, block=_bottleneck_block, depths=(3, 4, 6, 3), output_stride=output_stride, width=width)


def resnet101(x: keras.KerasTensor, *, output_stride: int, width: float = 1.0) -> Features:
    """Return features of a ResNet-101; arguments as `resnet18`."""
    return _resnet(x, block=_bottleneck_block, depths=(3, 4, 23, 3), output_stride=output_stride, width=width)


_Block = Callable[[keras.KerasTensor, int, Step, str], keras.KerasTensor]


def _resnet(
    x: keras.KerasTensor, *, block: _Block, depths: Sequence[int], output_stride: int, width: float
) -> Features:
    x = conv_bn_relu(x, scaled(64, width), 7, stride=2, name="stem")
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    stride, by_stride = 4, {}
    for stage, stage_steps in enumerate(steps((1, 2, 2, 2), depths, stride=4, output_stride=output_stride), start=1):
        for number, step in enumerate(stage_steps, start=1):
            x = block(x, scaled(32 * 2**stage, width), step, f"stage{stage}_block{number}")
        stride *= stage_steps[0].stride
        by_stride[stride] = x
    return Features(by_stride)


def _basic_block(x: keras.KerasTensor, width: int, step: Step, name: str) -> keras.KerasTensor:
    y = conv_bn_relu(x, width, 3, stride=step.stride, dilation=step.dilation_before, name=f"{name}_1")
    y = conv_bn(y, width, 3, dilation=step.dilation, name=f"{name}_2")
    return _join(x, y, stride=step.stride, name=name)


def _bottleneck_block(x: keras.KerasTensor, width: int, step: Step, name: str) -> keras.KerasTensor:
    y = conv_bn_relu(x, width, 1, name=f"{name}_1")
    y = conv_bn_relu(y, width, 3, stride=step.stride, dilation=step.dilation_before, name=f"{name}_2")
    y = conv_bn(y, 4 * width, 1, name=f"{name}_3")
    return _join(x, y, stride=step.stride, name=name)


def _join(x: keras.KerasTensor, y: keras.KerasTensor, *, stride: int, name: str) -> keras.KerasTensor:
    if stride != 1 or x.shape[-1] != y.shape[-1]:
        x = conv_bn(x, y.shape[-1], 1, stride=stride, name=f"{name}_shortcut")
    y = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(name=f"{name}_relu")(y)
