"""LR-ASPP (Howard et al. 2019, figure 10) on any backbone, as one flat functional graph: the lightest head of all."""

from __future__ import annotations

import keras
from keras import layers

from rsseg_tf.errors import ConfigError
from rsseg_tf.models.attention import averaged, gated, plain_conv
from rsseg_tf.models.frame import body, check_classes, upsampled, with_logits
from rsseg_tf.models.resnet import conv_bn_relu

_WIDTH = 128
_OUTPUT_STRIDES = (16, 8)


def lr_aspp(
    backbone: str = "mobilenet_v2",
    num_classes: int = 8,
    input_shape: tuple[int, int, int] = (512, 512, 3),
    output_stride: int = 16,
    width: float = 1.0,
) -> keras.Model:
    """Return a backbone with the LR-ASPP head, from pixels to class logits; both as those of `deeplab_v3_plus`.

    The gate averages the whole picture, as torchvision's does, and the scores come from the last features and from
    those of half their stride.

    Args:
        backbone: one that is small itself; the paper's is MobileNetV3.
        num_classes: channels of the output.
        input_shape: height, width and bands, 1 to 16; any size of at least 32 pixels, divisible or not.
        output_stride: 16 or 8, height of the input over height of the last stage.
        width: share of the backbone's channels that each of its layers has.

    Raises:
        ConfigError: for an argument outside these choices.
        ModelError: if the backbone has no features at half the output stride.

    Examples:
        >>> lr_aspp("mobilenet_v2", num_classes=5, input_shape=(64, 64, 3)).output_shape
        (None, 64, 64, 5)
    """
    check_classes(num_classes)
    if output_stride not in _OUTPUT_STRIDES:
        raise ConfigError(f"`output_stride` must be 8 or 16, got {output_stride}")
    start = body(backbone, input_shape, output_stride=output_stride, width=width)
    stride = output_stride // 2
    high, low = start.features.at(output_stride), start.features.at(stride)
    gate = plain_conv(averaged(high, name="lr_aspp"), _WIDTH, name="lr_aspp_gate")
    x = gated(conv_bn_relu(high, _WIDTH, 1, name="lr_aspp"), gate, name="lr_aspp")
    x = upsampled(x, low.shape[1:3], stride=2, name="lr_aspp_upsample")
    scores = [
        layers.Conv2D(num_classes, 1, name=name)(part) for part, name in ((x, "classifier"), (low, "low_classifier"))
    ]
    return with_logits(start, layers.Add(name="scores")(scores), stride=stride, name=f"lr_aspp_{backbone}")
