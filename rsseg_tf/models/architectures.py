"""The one door to networks: what the settings describe, as a flat Keras graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras

from rsseg_tf.config.setting import part
from rsseg_tf.config.training import Heads, ModelConfig, check_network
from rsseg_tf.models.backbones import check_width
from rsseg_tf.models.bilateral import bisenet
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.models.lite_aspp import lr_aspp
from rsseg_tf.models.segformer import segformer_b0
from rsseg_tf.models.shelf import shelfnet18

Shape = tuple[int, int, int]


def network(settings: ModelConfig, num_classes: int, input_shape: Shape) -> keras.Model:
    """Return the network that the settings describe, with random weights.

    Raises:
        ConfigError: if they ask for something that its architecture does not have.
        ModelError: if its backbone cannot be built.
    """
    require_network(settings)
    return ARCHITECTURES[settings.architecture](settings, num_classes, input_shape)


def require_network(settings: ModelConfig) -> None:
    """Check that there is a network as the settings describe it.

    Raises:
        ConfigError: if there is none: an unknown backbone or width, or a setting that the architecture does not have.
    """
    check_network(settings)
    check_width(settings.backbone, settings.width)


def _deeplab_v3_plus(settings: ModelConfig, num_classes: int, input_shape: Shape) -> keras.Model:
    return deeplab_v3_plus(
        settings.backbone,
        num_classes,
        input_shape,
        upsampling=settings.upsampling,
        image_pooling=settings.image_pooling,
        output_stride=settings.output_stride,
        heads=part(settings, Heads),
        width=settings.width,
    )


def _bisenet(settings: ModelConfig, num_classes: int, input_shape: Shape) -> keras.Model:
    return bisenet(settings.backbone, num_classes, input_shape, width=settings.width)


def _shelfnet18(settings: ModelConfig, num_classes: int, input_shape: Shape) -> keras.Model:
    return shelfnet18(num_classes, input_shape, width=settings.width)


def _lr_aspp(settings: ModelConfig, num_classes: int, input_shape: Shape) -> keras.Model:
    stride = settings.output_stride
    return lr_aspp(settings.backbone, num_classes, input_shape, output_stride=stride, width=settings.width)


def _segformer_b0(settings: ModelConfig, num_classes: int, input_shape: Shape) -> keras.Model:
    return segformer_b0(num_classes, input_shape, width=settings.width)


ARCHITECTURES: Mapping[str, Callable[[ModelConfig, int, Shape], keras.Model]] = {
    "deeplab_v3_plus": _deeplab_v3_plus,
    "bisenet": _bisenet,
    "shelfnet18": _shelfnet18,
    "lr_aspp": _lr_aspp,
    "segformer_b0": _segformer_b0,
}
"""Architecture → function of the settings, the number of classes and (height, width, bands)."""
