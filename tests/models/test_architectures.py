"""What every architecture must do: build, prune exactly, export in one int8 partition, take weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rsseg_tf.config import load_config
from rsseg_tf.config.training import ModelConfig, check_network
from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.models.architectures import ARCHITECTURES, network
from rsseg_tf.models.backbone import Features
from rsseg_tf.models.bilateral import bisenet
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.models.frame import NORMALIZE
from rsseg_tf.models.lite_aspp import lr_aspp
from rsseg_tf.models.shelf import shelfnet18
from rsseg_tf.models.weights.names import NAMINGS
from rsseg_tf.models.weights.pretrained import initialize
from rsseg_tf.pruning.cost import cost
from rsseg_tf.pruning.loop.recalibrate import recalibrate
from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.convert import convert
from tests.models.weights.weight_files import random_state, write_torch
from tests.pruning.law import check_law

SIZE = (64, 64, 3)
CONFIGS = Path(__file__).parents[2] / "configs"
FAST = (
    ModelConfig(architecture="bisenet", width=0.25),
    ModelConfig(architecture="shelfnet18", width=0.25),
    ModelConfig(architecture="lr_aspp", backbone="mobilenet_v2", width=0.5),
)
SLOW = (
    *(ModelConfig(architecture=name, backbone="efficientnet_lite0") for name in ("bisenet", "lr_aspp")),
    ModelConfig(architecture="bisenet", backbone="keras.applications.MobileNetV2"),
    ModelConfig(architecture="lr_aspp", backbone="resnet50", output_stride=8, width=0.25),
    *(ModelConfig(architecture=name) for name in ("bisenet", "shelfnet18", "lr_aspp", "segformer_b0")),
)
TINY = ModelConfig(architecture="segformer_b0", width=0.25)
BUILT = (*FAST, TINY)


def named(settings: ModelConfig) -> str:
    return f"{settings.network} × {settings.width}"


def of_each(fast: Sequence[ModelConfig]) -> list[Any]:
    """Return all networks, those that are not in `fast` as slow tests."""
    slow = {each: () if each in fast else (pytest.mark.slow,) for each in (*FAST, *SLOW, TINY)}
    return [pytest.param(each, id=named(each), marks=marks) for each, marks in slow.items()]


def pixels(count: int = 1) -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 255, (count, *SIZE)).astype(np.float32)


def trainable(model: keras.Model, *, body: bool = True) -> int:
    """Return the number of weights that learn, of all layers or of the head alone."""
    found = [layer for layer in model.layers if body or not layer.name.startswith(("stem", "stage", "backbone"))]
    return sum(int(np.prod(variable.shape)) for layer in found for variable in layer.trainable_variables)


def test_every_architecture_of_the_settings_has_a_builder():
    assert get_args(get_type_hints(ModelConfig)["architecture"]) == tuple(ARCHITECTURES)
    assert {each.architecture for each in BUILT} == ARCHITECTURES.keys() - {"deeplab_v3_plus"}


@pytest.mark.parametrize("settings", of_each(FAST))
def test_the_graph_is_flat_named_and_prunes_exactly(settings):
    model = network(settings, 3, SIZE)

    assert model.output_shape == (None, *SIZE[:2], 3)
    assert model.layers[1].name == NORMALIZE
    assert not any(isinstance(layer, keras.Model | layers.Lambda) for layer in model.layers)
    assert [layer.name for layer in network(settings, 3, SIZE).layers] == [layer.name for layer in model.layers]
    law = check_law(model)
    assert law.holds, law
    assert law.removed_params > 0.25


@pytest.mark.parametrize("settings", of_each(FAST[-1:]))
def test_it_exports_in_one_int8_partition(settings, tmp_path):
    model = network(settings, 3, SIZE)
    recalibrate(model, [(pixels(4), None)])  # XNNPACK adds only tensors of like ranges, which batch norms see to
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(model, calibration=[image.astype(np.uint8) for image in pixels(2)]))

    facts = proof.prove(path, layer_names=[layer.name for layer in model.layers])

    assert facts.partitions == 1
    assert facts.faults("int8") == []
    assert bool(facts.float_ops) == (settings.architecture == "segformer_b0")


@pytest.mark.parametrize("settings", BUILT, ids=named)
@pytest.mark.parametrize("shape", [(33, 47, 1), (96, 160, 4)])
def test_any_input_size_and_number_of_bands_gives_logits_of_that_size(settings, shape):
    assert network(settings, 5, shape).output_shape == (None, *shape[:2], 5)


@pytest.mark.parametrize("settings", BUILT, ids=named)
def test_every_weight_learns(settings):
    model = network(settings, 3, SIZE)
    with tf.GradientTape() as tape:
        cost = keras.ops.mean(model(pixels(2), training=True) ** 2)
    gradients = tape.gradient(cost, model.trainable_variables)

    assert all(gradient is not None for gradient in gradients)


def test_bisenet_has_the_parameters_of_the_published_one():
    """CoinCheung/BiSeNet's `BiSeNetV1` without its auxiliary classifiers, with a bias in the classifier.

    torchvision's ResNet-18 less its `fc`; spatial path, two refinements, two smoothings and the average, fusion, head.
    """
    spatial = 49 * 3 * 64 + 2 * 9 * 64 * 64 + 64 * 128 + 2 * (3 * 64 + 128)
    refinements = 9 * (256 + 512) * 128 + 2 * (128 * 128 + 4 * 128)
    smoothed = 2 * (9 * 128 * 128 + 2 * 128) + 512 * 128 + 2 * 128
    fusion = 256 * 256 + 2 * 256 + 2 * 256 * 64
    head = 9 * 256 * 256 + 2 * 256 + 256 * 19 + 19
    expected = 11_689_512 - 513_000 + spatial + refinements + smoothed + fusion + head

    assert trainable(bisenet("resnet18", 19, SIZE)) == expected == 13_242_259


def test_shelfnet18_has_the_parameters_of_the_published_one():
    """juntang-zhuang/ShelfNet's `ShelfNet18_realtime` without its auxiliary classifiers and a block it does not use."""

    def block(width):
        return 9 * width**2 + 5 * width

    def refined(width):
        return 9 * 2 * width * width + width**2 + 4 * width + 9 * width**2 + 2 * width

    ups = 2 * (refined(128) + refined(64))
    downs = 2 * block(64) + block(128) + 2 * block(256) + 9 * 64 * 128 + 128 + 9 * 128 * 256 + 256
    entries = sum(2 * width * width + 2 * width for width in (64, 128, 256))
    head = 9 * 64 * 64 + 2 * 64 + 9 * 64 * 19
    expected = 11_689_512 - 513_000 + ups + downs + entries + head

    assert trainable(shelfnet18(19, SIZE)) == expected == 14_320_256


def test_lr_aspp_has_the_parameters_of_torchvisions():
    """Its documentation counts 3,221,538 of MobileNetV3-Large for 21 classes, with low features of 40 channels.

    Those of Keras are the last of that size: 240 channels.
    """
    model = lr_aspp("keras.applications.MobileNetV3Large", 21, SIZE)

    assert model.get_layer("low_classifier").input.shape[-1] == 240
    assert trainable(model) == 3_221_538 + (240 - 40) * 21


@pytest.mark.parametrize(("stride", "high", "low"), [(16, 4, 8), (8, 8, 16)])
def test_lr_aspp_reads_the_last_features_and_those_of_half_their_stride(stride, high, low):
    model = lr_aspp("mobilenet_v2", 5, SIZE, output_stride=stride)
    shapes = [model.get_layer(name).input.shape[1:] for name in ("lr_aspp_conv", "low_classifier")]

    assert [shape[0] for shape in shapes] == [high, low]
    channels = [shape[-1] for shape in shapes]
    expected = 2 * 128 * channels[0] + 256 + (channels[1] + 128) * 5 + 2 * 5
    assert trainable(model, body=False) == expected


@pytest.mark.parametrize("settings", FAST, ids=named)
def test_a_published_file_gives_the_backbone_what_it_gives_deeplabs(settings, tmp_path):
    model = network(settings, 3, SIZE)
    deeplab = deeplab_v3_plus(settings.backbone, 3, SIZE, width=settings.width)
    path = write_torch(tmp_path / "published.pth", random_state(model, NAMINGS[settings.backbone][0]))

    taken = [initialize(each, str(path), backbone=settings.backbone, width=settings.width) for each in (model, deeplab)]

    assert taken[0] == taken[1] > 20
    for layer in model.layers:
        if layer.weights and layer.name.startswith(("stem", "stage")):
            for own, other in zip(layer.get_weights(), deeplab.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        (
            {"architecture": "bisenet", "output_stride": 8},
            "`model.output_stride=8` is for deeplab_v3_plus and lr_aspp, the architecture is `bisenet`",
            "leave `model.output_stride` at 16, or choose model.architecture=deeplab_v3_plus",
        ),
        ({"architecture": "lr_aspp", "aspp": "separable"}, "`model.aspp=separable` is for deeplab_v3_plus", "at full"),
        ({"architecture": "shelfnet18", "decoder_width": 64}, "`model.decoder_width=64`", "at 256"),
        ({"architecture": "bisenet", "image_pooling": True}, "`model.image_pooling=true`", "at false"),
        ({"architecture": "lr_aspp", "upsampling": "transposed"}, "`model.upsampling=transposed`", "at bilinear"),
        (
            {"architecture": "shelfnet18", "backbone": "resnet50"},
            "`shelfnet18` has a backbone of its own, resnet18, got `model.backbone=resnet50`",
            "leave out `model.backbone`, or choose another model.architecture",
        ),
        ({"architecture": "segformer_b0", "backbone": "mobilenet_v2"}, "of its own, mit_b0, got", "leave out"),
        ({"architecture": "segformer_b0", "output_stride": 8}, "`model.output_stride=8`", "at 16"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else None,
)
def test_what_an_architecture_does_not_have_is_one_message(settings, message, hint):
    with pytest.raises(ConfigError) as caught:
        check_network(ModelConfig(**settings))
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_the_backbone_that_an_architecture_stands_on_may_be_named():
    named = ModelConfig(architecture="segformer_b0", backbone="mit_b0")
    check_network(named)
    assert named.network == ModelConfig(architecture="segformer_b0").network


def test_an_architecture_takes_the_settings_that_it_has():
    deeplab = ModelConfig(output_stride=8, aspp="separable", decoder="none", image_pooling=True)
    light = ModelConfig(architecture="lr_aspp", output_stride=8)

    assert [check_network(settings) for settings in (deeplab, light)] == [None, None]


@pytest.mark.parametrize("name", sorted(ARCHITECTURES.keys()))
def test_classes_and_shapes_that_no_network_has_are_refused(name):
    settings = ModelConfig(architecture=name, width=0.25)
    with pytest.raises(ConfigError, match="num_classes"):
        network(settings, 0, SIZE)
    with pytest.raises(ConfigError, match="32 pixels a side"):
        network(settings, 3, (31, 64, 3))
    with pytest.raises(ConfigError, match="must be above 0"):
        network(replace(settings, width=0), 3, SIZE)


def test_an_output_stride_that_lr_aspp_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="8 or 16, got 32"):
        lr_aspp("mobilenet_v2", 3, SIZE, output_stride=32)


def test_a_backbone_without_features_of_a_stride_is_named():
    with pytest.raises(ModelError, match="no features at 1/8"):
        Features({16: None}).at(8)


@pytest.mark.parametrize(("light", "heavy"), [("dubai_fast", "dubai_r18"), ("scenes_light", "scenes")])
def test_the_networks_of_light_recipes_have_a_fifth_of_the_operations_at_most(light, heavy):
    models = [load_config(CONFIGS / f"{name}.yaml").model for name in (light, heavy)]

    macs = [cost(network(settings, 6, (256, 256, 3))).macs for settings in models]

    assert macs[0] < macs[1] / 5


def test_tables_name_the_architecture_where_it_is_not_the_usual_one():
    assert ModelConfig().network == "resnet18"
    assert ModelConfig(architecture="shelfnet18").network == "shelfnet18"
    assert ModelConfig(architecture="segformer_b0").network == "segformer_b0"
    assert ModelConfig(architecture="bisenet").network == "bisenet-resnet18"
