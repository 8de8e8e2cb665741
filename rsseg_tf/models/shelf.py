"""ShelfNet-18 (Zhuang et al. 2019), one of the reference paper's light networks, as one flat functional graph.

As the authors' real-time variant has it, without the two classifiers and the dropout that serve its training alone, and
with the ReLU of the paper; small maps are enlarged bilinearly, which int8 kernels do, and not to the nearest pixel.
"""

from __future__ import annotations

import keras
from keras import layers

from rsseg_tf.models.attention import refined
from rsseg_tf.models.backbone import BN_MOMENTUM
from rsseg_tf.models.frame import body, check_classes, upsampled, with_logits
from rsseg_tf.models.resnet import BN_EPSILON, conv_bn_relu

BACKBONE = "resnet18"
"""What it stands on."""

_WIDTHS = {8: 64, 16: 128, 32: 256}
"""Stride → channels of the shelf's level there."""

_Levels = dict[int, keras.KerasTensor]


def shelfnet18(
    num_classes: int = 8, input_shape: tuple[int, int, int] = (512, 512, 3), width: float = 1.0
) -> keras.Model:
    """Return a ShelfNet-18 from pixels to class logits; input and output as those of `deeplab_v3_plus`.

    Args:
        num_classes: channels of the output.
        input_shape: height, width and bands, 1 to 16; any size of at least 32 pixels, divisible or not.
        width: share of the ResNet-18's channels that each of its layers has.

    Raises:
        ConfigError: for an argument outside these choices.

    Examples:
        >>> shelfnet18(num_classes=5, input_shape=(64, 64, 3)).output_shape
        (None, 64, 64, 5)
    """
    check_classes(num_classes)
    start = body(BACKBONE, input_shape, output_stride=max(_WIDTHS), width=width)
    levels = {
        stride: conv_bn_relu(start.features.at(stride), filters, 1, name=f"shelf_{stride}")
        for stride, filters in _WIDTHS.items()
    }
    first = _ascended(_shared_block(levels[32], name="up1_32"), levels, name="up1")
    bottom, passed = _descended(first)
    x = _ascended(bottom, passed, name="up2")[8]
    x = conv_bn_relu(x, _WIDTHS[8], 3, name="head")
    scores = layers.Conv2D(num_classes, 3, padding="same", use_bias=False, name="classifier")(x)
    return with_logits(start, scores, stride=8, name="shelfnet18")


def _ascended(x: keras.KerasTensor, levels: _Levels, *, name: str) -> _Levels:
    """Return the levels after a way up from `x`, which is at 1/32 of the size, each joined by its like of `levels`."""
    found = {32: x}
    for stride in (16, 8):
        x = refined(x, _WIDTHS[stride], name=f"{name}_{stride}")
        x = upsampled(x, levels[stride].shape[1:3], stride=2, name=f"{name}_{stride}_upsample")
        x = layers.Add(name=f"{name}_{stride}_add")([x, levels[stride]])
        found[stride] = x = conv_bn_relu(x, _WIDTHS[stride], 3, name=f"{name}_{stride}_smooth")
    return found


def _descended(levels: _Levels) -> tuple[keras.KerasTensor, _Levels]:
    """Return the end of a way down, at 1/32 of the size, and what it passed through at 1/8 and 1/16."""
    x, passed = _shared_block(levels[8], name="down_in"), {}
    for stride in (8, 16):
        x = layers.Add(name=f"down_{stride}_join")([x, levels[stride]])
        passed[stride] = x = _shared_block(x, name=f"down_{stride}")
        x = _halved(x, _WIDTHS[2 * stride], name=f"down_{2 * stride}_halve")
    return _shared_block(x, name="down_32"), passed


def _halved(x: keras.KerasTensor, filters: int, *, name: str) -> keras.KerasTensor:
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = layers.Conv2D(filters, 3, strides=2, kernel_initializer="he_normal", name=f"{name}_conv")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _shared_block(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Return a residual block whose two convolutions are one layer (figure 2), each with its own batch norm."""
    convolution = layers.Conv2D(
        x.shape[-1], 3, padding="same", kernel_initializer="he_normal", name=f"{name}_shared_conv"
    )
    y = layers.ReLU(name=f"{name}_1_relu")(_bn(convolution(x), name=f"{name}_1"))
    y = layers.Add(name=f"{name}_add")([_bn(convolution(y), name=f"{name}_2"), x])
    return layers.ReLU(name=f"{name}_relu")(y)


def _bn(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(epsilon=BN_EPSILON, momentum=BN_MOMENTUM, name=f"{name}_bn")(x)
