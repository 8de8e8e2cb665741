"""The law: where further bands equal red, a widened network sees what it saw of the colors.

It is looked for early in the network: rounding grows from layer to layer where weights are random.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from rsseg_tf import pruning
from rsseg_tf.models.backbones import source_model, takes_bgr
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.models.weights.names import NAMINGS
from rsseg_tf.models.weights.pretrained import copy_inlined, initialize, load_keras_model
from rsseg_tf.models.weights.widening import band_shares, fitted
from tests.models.weights.weight_files import random_state, write_torch

SIZE = (64, 64)
PIXELS = np.random.default_rng(1).uniform(0, 255, (1, *SIZE, 3)).astype(np.float32)


def network(backbone: str, bands: int) -> keras.Model:
    return deeplab_v3_plus(backbone, 3, (*SIZE, bands))


def features(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(keras.Model(model.input, model.get_layer("low_level_conv").input)(pixels))


def assert_same_features(narrow: keras.Model, wide: keras.Model, colors: np.ndarray, bands: np.ndarray) -> None:
    expected = features(narrow, colors)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(features(wide, bands), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("count", range(1, 17))
def test_every_colors_weights_are_given_away_once(count: int) -> None:
    shares = band_shares(count)
    assert shares.shape == (count, 3)
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    np.testing.assert_array_equal(shares[3:], np.repeat(shares[:1], max(count - 3, 0), axis=0))


def test_what_fits_stays_to_the_bit() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 8)).astype(np.float32)
    assert fitted(kernel, kernel.shape) is kernel
    assert fitted(kernel, (5, 5, 4, 8)) is kernel  # which is refused where it is set


def test_statistics_of_further_bands_are_those_of_red() -> None:
    colors = np.array([1, 2, 6], np.float32)
    np.testing.assert_array_equal(fitted(colors, (5,)), [1, 2, 6, 1, 1])
    np.testing.assert_array_equal(fitted(colors, (2,)), [3, 3])


@pytest.mark.parametrize(("backbone", "count"), [("resnet18", 4), ("efficientnet_lite0", 6)])
def test_further_bands_that_equal_red_change_nothing(tmp_path: Path, backbone: str, count: int) -> None:
    narrow, wide = network(backbone, 3), network(backbone, count)
    path = str(write_torch(tmp_path / "a.pth", random_state(narrow, NAMINGS[backbone][0])))
    assert initialize(narrow, path, backbone=backbone) == initialize(wide, path, backbone=backbone)
    assert_same_features(narrow, wide, PIXELS, PIXELS[..., [0, 1, 2, *[0] * (count - 3)]])


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_bands_that_are_equal_are_gray(tmp_path: Path, count: int) -> None:
    narrow, wide = network("efficientnet_lite0", 3), network("efficientnet_lite0", count)  # which evenly normalizes
    path = str(write_torch(tmp_path / "a.pth", random_state(narrow, NAMINGS["efficientnet_lite0"][0])))
    for model in (narrow, wide):
        initialize(model, path, backbone="efficientnet_lite0")
    assert_same_features(narrow, wide, PIXELS[..., [0, 0, 0]], PIXELS[..., [0] * count])


def test_a_model_of_colors_begins_one_of_more_bands(tmp_path: Path) -> None:
    narrow, wide = network("resnet18", 3), network("resnet18", 4)
    narrow.save(tmp_path / "narrow.keras")
    assert initialize(wide, str(tmp_path / "narrow.keras"), backbone="resnet18") == sum(
        bool(layer.weights) for layer in wide.layers
    )
    assert_same_features(narrow, wide, PIXELS, PIXELS[..., [0, 1, 2, 0]])
    wide.save(tmp_path / "wide.keras")
    again = load_keras_model(tmp_path / "wide.keras")
    np.testing.assert_array_equal(features(again, PIXELS[..., [0, 1, 2, 1]]), features(wide, PIXELS[..., [0, 1, 2, 1]]))


def test_statistics_before_the_first_kernel_do_not_keep_it_from_being_widened(tmp_path: Path) -> None:
    narrow, wide = network("keras.applications.EfficientNetB0", 3), network("keras.applications.EfficientNetB0", 4)
    norm = next(layer for layer in narrow.layers if isinstance(layer, keras.layers.Normalization))
    norm.set_weights([np.float32([100, 80, 60]), np.float32([40, 50, 60]), np.int32(0)])
    norm.finalize_state()
    narrow.save(tmp_path / "narrow.keras")
    initialize(wide, str(tmp_path / "narrow.keras"), backbone="keras.applications.EfficientNetB0")
    stems = [
        np.asarray(keras.Model(model.input, model.get_layer("backbone_stem_activation").output)(pixels))
        for model, pixels in ((narrow, PIXELS), (wide, PIXELS[..., [0, 1, 2, 0]]))
    ]
    np.testing.assert_allclose(stems[1], stems[0], atol=1e-4 * np.abs(stems[0]).max())


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV2",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("ResNet50", "VGG16", "EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny")
        ),
    ],
)
def test_networks_of_other_libraries_are_widened_too(name: str) -> None:
    backbone = f"keras.applications.{name}"
    source = source_model(backbone, (*SIZE, 3))
    pruning.randomize(source)
    narrow, wide = network(backbone, 3), network(backbone, 4)
    for model in (narrow, wide):
        copy_inlined(model, source, bgr=takes_bgr(backbone))
    assert_same_features(narrow, wide, PIXELS, PIXELS[..., [0, 1, 2, 0]])
