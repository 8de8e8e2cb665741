"""DeepLabV3+ (Chen et al. 2018) as the reference paper builds it: one flat functional graph, every layer named."""

from __future__ import annotations

import keras
from keras import layers

from rsseg_tf.config.setting import check
from rsseg_tf.config.training import Heads
from rsseg_tf.errors import ConfigError
from rsseg_tf.models.frame import UPSAMPLINGS, body, check_classes, spread, upsampled, with_logits
from rsseg_tf.models.resnet import conv_bn_relu, separable_bn_relu

_CONVOLUTIONS = {"full": conv_bn_relu, "separable": separable_bn_relu}
_FULL = Heads()
_ASPP_RATES = {32: (3, 6, 9), 16: (6, 12, 18), 8: (12, 24, 36)}
_LOW_STRIDE = 4


def deeplab_v3_plus(  # noqa: PLR0913 - the network's parts
    backbone: str = "resnet18",
    num_classes: int = 8,
    input_shape: tuple[int, int, int] = (512, 512, 3),
    upsampling: str = "bilinear",
    image_pooling: bool = False,
    output_stride: int = 16,
    heads: Heads = _FULL,
    width: float = 1.0,
) -> keras.Model:
    """Return a DeepLabV3+ network from pixels to class logits.

    The input is float32 (N, H, W, bands) with pixel values from 0 to 255, three in RGB order (or IRRG); the
    backbone's normalization is the graph's first layer, further bands normalized as red. The output is float32
    (N, H, W, num_classes), before softmax.

    Args:
        backbone: a name in `rsseg_tf.models.backbones.BACKBONES`, or `keras.applications.NAME` or `keras_cv.PRESET`.
        num_classes: channels of the output.
        input_shape: height, width and bands, 1 to 16; any size of at least 32 pixels, divisible or not.
        upsampling: `bilinear`, or `transposed` for 8×8 transposed convolutions that begin as bilinear
            interpolation, as in the reference paper.
        image_pooling: add the fifth branch of the original ASPP, a global average.
        output_stride: 8, 16 or 32, height of the input over height of the last stage.
        heads: ASPP and decoder: of which convolutions, and how wide.
        width: share of the backbone's channels that each of its layers has: multiples of 8 of our own, of
            `keras.applications` what those with an `alpha` make of it.

    Raises:
        ConfigError: for an argument outside these choices.

    Examples:
        >>> deeplab_v3_plus("resnet18", num_classes=5, input_shape=(64, 64, 3)).output_shape
        (None, 64, 64, 5)
    """
    check_classes(num_classes)
    _check_arguments(upsampling, output_stride)
    _check_heads(heads)
    start = body(backbone, input_shape, output_stride=output_stride, width=width)
    high_level, low_level = start.features.at(output_stride), start.features.at(_LOW_STRIDE)
    x = _aspp(high_level, heads, rates=_ASPP_RATES[output_stride], image_pooling=image_pooling)
    x = conv_bn_relu(x, heads.aspp_width, 1, name="decoder_project")
    stride = output_stride
    if heads.decoder != "none":
        x = _decoded(x, low_level, heads, stride=output_stride // _LOW_STRIDE, upsampling=upsampling)
        stride = _LOW_STRIDE
    scores = layers.Conv2D(num_classes, 1, name="classifier")(x)
    return with_logits(start, scores, stride=stride, upsampling=upsampling, name=f"deeplab_v3_plus_{backbone}")


def _check_arguments(upsampling: str, output_stride: int) -> None:
    if upsampling not in UPSAMPLINGS:
        raise ConfigError(f"unknown upsampling `{upsampling}`", hint=f"known: {', '.join(UPSAMPLINGS)}")
    if output_stride not in _ASPP_RATES:
        raise ConfigError(f"`output_stride` must be 8, 16 or 32, got {output_stride}")


def _check_heads(heads: Heads) -> None:
    check(heads)
    for part, known in (("aspp", [*_CONVOLUTIONS]), ("decoder", [*_CONVOLUTIONS, "none"])):
        if getattr(heads, part) not in known:
            raise ConfigError(f"unknown `{part}`: `{getattr(heads, part)}`", hint=f"known: {', '.join(known)}")


def _decoded(
    x: keras.KerasTensor, low_level: keras.KerasTensor, heads: Heads, *, stride: int, upsampling: str
) -> keras.KerasTensor:
    """Return `x` at the size of the low-level features, sharpened by them."""
    x = upsampled(x, low_level.shape[1:3], stride=stride, upsampling=upsampling, name="decoder_upsample")
    low_level = conv_bn_relu(low_level, heads.low_level_width, 1, name="low_level")
    x = layers.Concatenate(name="decoder_concat")([x, low_level])
    for name in ("decoder_1", "decoder_2"):
        x = _CONVOLUTIONS[heads.decoder](x, heads.decoder_width, 3, name=name)
    return x


def _aspp(x: keras.KerasTensor, heads: Heads, *, rates: tuple[int, ...], image_pooling: bool) -> keras.KerasTensor:
    """Return atrous spatial pyramid pooling, the paper's eq. (2)."""
    width, convolution = heads.aspp_width, _CONVOLUTIONS[heads.aspp]
    branches = [conv_bn_relu(x, width, 1, name="aspp_1x1")]
    branches += [convolution(x, width, 3, dilation=rate, name=f"aspp_rate{rate}") for rate in rates]
    if image_pooling:
        pooled = layers.GlobalAveragePooling2D(keepdims=True, name="aspp_pool")(x)
        pooled = conv_bn_relu(pooled, width, 1, name="aspp_pool")
        branches.append(spread(pooled, x.shape[1:3], name="aspp_pool_spread"))
    return layers.Concatenate(name="aspp_concat")(branches)
