"""BiSeNet (Yu et al. 2018), one of the reference paper's light networks, as one flat functional graph.

It is the first author's ResNet-18 variant, without the two classifiers that serve its training alone; small maps are
enlarged bilinearly, which int8 kernels do, and not to the nearest pixel.
"""

from __future__ import annotations

import keras
from keras import layers

from rsseg_tf.models.attention import averaged, gated, plain_conv, refined
from rsseg_tf.models.frame import body, check_classes, spread, upsampled, with_logits
from rsseg_tf.models.resnet import conv_bn_relu

_DEEPEST = 32
_STRIDE = 8
_CONTEXT = 128
_SPATIAL = 64
_FUSED = 256


def bisenet(
    backbone: str = "resnet18",
    num_classes: int = 8,
    input_shape: tuple[int, int, int] = (512, 512, 3),
    width: float = 1.0,
) -> keras.Model:
    """Return a BiSeNet from pixels to class logits; input and output as those of `deeplab_v3_plus`.

    Args:
        backbone: of the context path, down to 1/32 of the size; the paper's is `resnet18`.
        num_classes: channels of the output.
        input_shape: height, width and bands, 1 to 16; any size of at least 32 pixels, divisible or not.
        width: share of the backbone's channels that each of its layers has.

    Raises:
        ConfigError: for an argument outside these choices.
        ModelError: if the backbone has no features at 1/8, 1/16 or 1/32 of the size.

    Examples:
        >>> bisenet("resnet18", num_classes=5, input_shape=(64, 64, 3)).output_shape
        (None, 64, 64, 5)
    """
    check_classes(num_classes)
    start = body(backbone, input_shape, output_stride=_DEEPEST, width=width)
    stages = [start.features.at(stride) for stride in (_STRIDE, 16, _DEEPEST)]
    x = _fused(_spatial_path(start.normalized), _context_path(*stages))
    x = conv_bn_relu(x, _FUSED, 3, name="head")
    scores = layers.Conv2D(num_classes, 1, name="classifier")(x)
    return with_logits(start, scores, stride=_STRIDE, name=f"bisenet_{backbone}")


def _spatial_path(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return features at 1/8 of the size that saw little else than their place."""
    for number, kernel in enumerate((7, 3, 3), start=1):
        x = conv_bn_relu(x, _SPATIAL, kernel, stride=2, name=f"spatial_{number}")
    return conv_bn_relu(x, _CONTEXT, 1, name="spatial_project")


def _context_path(at_8: keras.KerasTensor, at_16: keras.KerasTensor, at_32: keras.KerasTensor) -> keras.KerasTensor:
    """Return features at 1/8 of the size that saw all of the picture."""
    whole = conv_bn_relu(averaged(at_32, name="context_whole"), _CONTEXT, 1, name="context_whole")
    whole = spread(whole, at_32.shape[1:3], name="context_spread")
    x = layers.Add(name="context_32_add")([refined(at_32, _CONTEXT, name="context_32"), whole])
    x = upsampled(x, at_16.shape[1:3], stride=2, name="context_32_upsample")
    x = conv_bn_relu(x, _CONTEXT, 3, name="context_32_smooth")
    x = layers.Add(name="context_16_add")([refined(at_16, _CONTEXT, name="context_16"), x])
    x = upsampled(x, at_8.shape[1:3], stride=2, name="context_16_upsample")
    return conv_bn_relu(x, _CONTEXT, 3, name="context_16_smooth")


def _fused(spatial: keras.KerasTensor, context: keras.KerasTensor) -> keras.KerasTensor:
    """Return the feature fusion of both paths (figure 2c)."""
    x = layers.Concatenate(name="fusion_concat")([spatial, context])
    x = conv_bn_relu(x, _FUSED, 1, name="fusion")
    gate = plain_conv(averaged(x, name="fusion"), _FUSED // 4, name="fusion_squeeze")
    gate = plain_conv(layers.ReLU(name="fusion_squeeze_relu")(gate), _FUSED, name="fusion_excite")
    return layers.Add(name="fusion_add")([x, gated(x, gate, name="fusion")])
