"""SegFormer-B0 (Xie et al. 2021) as one flat functional graph: a small transformer and a decoder of linear layers."""

from __future__ import annotations

import keras
from keras import layers

from rsseg_tf.models.backbone import BN_MOMENTUM
from rsseg_tf.models.frame import body_on, check_classes, upsampled, with_logits
from rsseg_tf.models.mix_transformer import MIT_B0, linear
from rsseg_tf.models.resnet import BN_EPSILON

_WIDTH = 256
_STRIDES = (4, 8, 16, 32)


def segformer_b0(
    num_classes: int = 8, input_shape: tuple[int, int, int] = (512, 512, 3), width: float = 1.0
) -> keras.Model:
    """Return a SegFormer-B0 from pixels to class logits; input and output as those of `deeplab_v3_plus`.

    The decoder computes what the authors' does, in a third of its operations: a linear layer on four maps that were
    enlarged and joined is the sum of its parts on each map, and a part comes before the enlargement as well as behind.

    Args:
        num_classes: channels of the output.
        input_shape: height, width and bands, 1 to 16; any size of at least 32 pixels, divisible or not.
        width: share of the encoder's channels that each of its layers has.

    Raises:
        ConfigError: for an argument outside these choices.

    Examples:
        >>> segformer_b0(num_classes=5, input_shape=(64, 64, 3)).output_shape
        (None, 64, 64, 5)
    """
    check_classes(num_classes)
    start = body_on(MIT_B0, input_shape, output_stride=max(_STRIDES), width=width)
    first, *rest = _STRIDES
    size = start.features.at(first).shape[1:3]
    parts = [_level(start.features.at(first), name=f"decoder_{first}")]
    for stride in rest:
        x = _level(start.features.at(stride), name=f"decoder_{stride}")
        parts.append(upsampled(x, size, stride=stride // first, name=f"decoder_{stride}_upsample"))
    x = layers.Add(name="decoder_add")(parts)
    x = layers.BatchNormalization(epsilon=BN_EPSILON, momentum=BN_MOMENTUM, name="decoder_bn")(x)
    x = layers.ReLU(name="decoder_relu")(x)
    scores = layers.Conv2D(num_classes, 1, name="classifier")(x)
    return with_logits(start, scores, stride=first, name="segformer_b0")


def _level(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Return what a map adds to the decoder's sum: its own linear layer, and its part of the one that joins all."""
    return linear(linear(x, _WIDTH, name=f"{name}_linear"), _WIDTH, use_bias=False, name=f"{name}_join")
