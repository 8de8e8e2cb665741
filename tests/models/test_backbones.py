"""What every backbone must do: build, keep its features, prune exactly, export in one int8 partition."""

import sys

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from rsseg_tf import pruning
from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.graphs import all_operations, private
from rsseg_tf.models.backbones import BACKBONES, find_backbone, source_model, takes_bgr
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.models.inlined import inlined, layer_names
from rsseg_tf.models.weights.pretrained import copy_inlined, initialize
from rsseg_tf.pruning.loop.recalibrate import recalibrate
from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.convert import convert
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.pruning.law import check_law

SIZE = (64, 64, 3)
FAST = ("resnet18 × 0.5",)
OWN = tuple(BACKBONES)
OTHERS = tuple(
    f"keras.applications.{name}"
    for name in (
        *("DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "MobileNet", "MobileNetV2", "MobileNetV3Small"),
        *("NASNetMobile", "ResNet50", "ResNet50V2", "VGG16"),
    )
)
NARROW = ("resnet50 × 0.1", "mobilenet_v2 × 0.35", "efficientnet_lite0 × 1.3", "keras.applications.MobileNetV2 × 0.5")
SLOW = (*OWN, *OTHERS, *NARROW)
ALL = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
"""Names of backbones, some with a width."""


def pixels(count=1, size=SIZE):
    return np.random.default_rng(3).uniform(0, 255, (count, *size)).astype(np.float32)


def network(name, size=SIZE):
    backbone, _, width = name.partition(" × ")
    return deeplab_v3_plus(backbone, 3, size, width=float(width or 1))


def high_level(model):
    return keras.Model(model.input, model.get_layer("aspp_1x1_conv").input)


@pytest.mark.parametrize("name", ALL)
def test_the_graph_is_flat_named_and_prunes_exactly(name):
    model = network(name)

    assert model.output_shape == (None, *SIZE[:2], 3)
    assert model.get_layer("aspp_1x1_conv").input.shape[1:3] == (4, 4)
    assert model.get_layer("low_level_conv").input.shape[1:3] == (16, 16)
    assert not any(isinstance(layer, keras.Model | layers.Lambda) for layer in model.layers)
    assert [layer.name for layer in network(name).layers] == [layer.name for layer in model.layers]
    law = check_law(model)
    assert law.holds, law
    assert law.removed_params > 0.25


@pytest.mark.parametrize("name", ALL)
def test_it_exports_in_one_int8_partition(name, tmp_path):
    model = network(name)
    recalibrate(model, [(pixels(4), None)])  # XNNPACK adds only tensors of like ranges, which batch norms see to
    images = [image.astype(np.uint8) for image in pixels(2)]
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(model, calibration=images))

    facts = proof.prove(path, layer_names=[layer.name for layer in model.layers])

    assert facts.float_ops == ()
    assert "SPACE_TO_BATCH_ND" not in facts.ops
    assert facts.partitions == 1
    assert parse_model(path.read_bytes(), name=name).inputs[0].dtype == "uint8"


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV2",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("DenseNet121", "ResNet50", "ResNet50V2", "VGG16")),
    ],
)
def test_every_second_feature_is_the_librarys_own(name):
    name, size = f"keras.applications.{name}", (96, 96, 3)
    model, source = deeplab_v3_plus(name, 3, size), source_model(name, size)
    pruning.randomize(source)
    normalization = find_backbone(name).normalization
    image = pixels(size=size)
    normalized = image * np.float32(normalization.scale) + np.float32(normalization.offset)

    copy_inlined(model, source, bgr=takes_bgr(name))

    expected = np.asarray(source(normalized[..., ::-1] if takes_bgr(name) else normalized))
    ours = np.asarray(high_level(model)(image))[:, ::2, ::2]
    assert expected.std() > 1e-3
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ConvNeXtTiny", "InceptionV3", "Xception", "EfficientNetV2S"])
def test_other_architectures_build_and_prune_exactly(name):
    law = check_law(deeplab_v3_plus(f"keras.applications.{name}", 3, (96, 96, 3)))

    assert law.holds, law


@pytest.mark.slow
@pytest.mark.parametrize("name", ["EfficientNetB0", "EfficientNetV2B0", "MobileNetV3Small"])
def test_features_before_any_dilation_are_the_librarys_own(name):
    """Squeeze-and-excite averages over more positions where strides are turned."""
    name, size = f"keras.applications.{name}", (96, 96, 3)
    model, source = deeplab_v3_plus(name, 3, size), source_model(name, size)
    pruning.randomize(source)
    normalization = find_backbone(name).normalization
    normalized = pixels(size=size) * np.float32(normalization.scale) + np.float32(normalization.offset)
    copy_inlined(model, source)

    ours = model.get_layer("low_level_conv").input
    names = {ours_: theirs for theirs, ours_ in _own_names(source).items()}
    theirs = source.get_layer(names[private.maker(ours).name]).output

    expected = np.asarray(keras.Model(source.input, theirs)(normalized))
    found = np.asarray(keras.Model(model.input, ours)(pixels(size=size)))
    assert expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_efficientnets_see_what_keras_gives_them_with_published_weights(tmp_path, monkeypatch):
    """Keras adds a layer to them, x / sqrt(std), if it fetches the weights, and none if it does not."""
    name, size = "keras.applications.EfficientNetB0", (64, 64, 3)
    plain = source_model(name, size)
    norm = next(layer for layer in plain.layers if isinstance(layer, layers.Normalization))
    norm.set_weights([np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225]), np.int32(0)])
    plain.save_weights(tmp_path / "published.weights.h5")
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(tmp_path / "published.weights.h5"))
    theirs = source_model(name, size, imagenet=True)
    assert sum(isinstance(layer, layers.Rescaling) for layer in theirs.layers) == 2
    ours = deeplab_v3_plus(name, 3, size)
    initialize(ours, "imagenet", backbone=name)

    stems = [
        np.asarray(keras.Model(model.input, model.get_layer(layer).output)(pixels(size=size)))
        for model, layer in ((ours, "backbone_stem_activation"), (theirs, "stem_activation"))
    ]
    np.testing.assert_allclose(stems[0], stems[1], atol=1e-4 * np.abs(stems[1]).max())


def _own_names(source):
    names = layer_names(source)
    return {operation.name: names[id(operation)] for operation in all_operations(source)}


def body(model):
    return [layer for layer in model.layers if layer.name.startswith(("stem", "stage"))]


def trainable(layers_):
    return sum(int(np.prod(variable.shape)) for layer in layers_ for variable in layer.trainable_variables)


@pytest.mark.parametrize("width", [0.1, 0.35, 0.5, 1.4])
def test_mobilenet_v2_has_the_channels_of_keras_own_at_every_width(width):
    source = keras.applications.MobileNetV2(alpha=width, include_top=False, weights=None, input_shape=SIZE)
    theirs = [layer for layer in source.layers if not layer.name.startswith("Conv_1")]

    assert trainable(body(deeplab_v3_plus("mobilenet_v2", 3, SIZE, width=width))) == trainable(theirs)


@pytest.mark.parametrize("name", ["resnet18", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_a_resnet_of_half_width_has_half_the_channels_in_and_out(name):
    whole, half = (body(deeplab_v3_plus(name, 3, SIZE, width=width)) for width in (1.0, 0.5))

    assert [layer.name for layer in half] == [layer.name for layer in whole]
    for wide, narrow in zip(whole, half, strict=True):
        for full, halved in zip(wide.weights, narrow.weights, strict=True):
            channels = [size if size == 3 else size // 2 for size in full.shape[-2:]]
            assert tuple(halved.shape) == (*full.shape[:-2], *channels)


@pytest.mark.parametrize("width", [0.1, 0.33])
@pytest.mark.parametrize("name", [name for name in BACKBONES if name not in ("resnet34", "resnet101")])
def test_our_own_come_in_any_width_of_multiples_of_8(name, width):
    model = deeplab_v3_plus(name, 3, SIZE, width=width)

    widths = {layer.output.shape[-1] for layer in body(model) if isinstance(layer, layers.Conv2D)}
    assert all(channels % 8 == 0 for channels in widths)
    assert model.get_layer("aspp_1x1_conv").input.shape[1:3] == (4, 4)


def test_those_of_keras_applications_that_have_widths_take_theirs():
    name = "keras.applications.MobileNetV2"
    model, source = deeplab_v3_plus(name, 3, SIZE, width=0.5), source_model(name, SIZE, width=0.5)

    assert copy_inlined(model, source) > 50
    assert source.get_layer("block_16_project").filters == 160


@pytest.mark.parametrize(
    ("name", "width", "message", "hint"),
    [
        ("keras.applications.ResNet50", 0.5, "comes in one width, got `model.width` 0.5", "applications.MobileNetV2"),
        ("keras_cv.resnet18", 2, "`keras_cv.resnet18` comes in one width, got `model.width` 2", "resnet18, resnet34"),
        ("resnet18", 0, "must be above 0, got 0", None),
    ],
)
def test_a_width_that_a_backbone_does_not_have_is_one_message(name, width, message, hint):
    with pytest.raises(ConfigError, match=message) as caught:
        deeplab_v3_plus(name, 3, SIZE, width=width)
    assert hint is None or hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18", "ImageNet weights of resnet18 come at full width, got `model.width` 0.5"),
        ("keras.applications.MobileNetV2", "cannot be built for 64×64 pixels: .*alpha"),
    ],
)
def test_imagenet_weights_that_are_not_published_at_a_width_are_one_message(name, message):
    width = 0.5 if name == "resnet18" else 0.6
    model = deeplab_v3_plus(name, 3, SIZE, width=width)

    with pytest.raises((ConfigError, ModelError), match=message):
        initialize(model, "imagenet", backbone=name, width=width)


def test_weights_of_another_width_are_refused(tmp_path):
    deeplab_v3_plus("resnet18", 3, SIZE).save(tmp_path / "whole.keras")
    model = deeplab_v3_plus("resnet18", 3, SIZE, width=0.5)

    with pytest.raises(ModelError, match="fits only") as caught:
        initialize(model, str(tmp_path / "whole.keras"), backbone="resnet18", width=0.5)
    assert "width" in caught.value.hint


def test_output_stride_8_dilates_two_stages():
    model = deeplab_v3_plus("keras.applications.MobileNetV2", 3, SIZE, output_stride=8)

    rates = {layer.dilation_rate for layer in model.layers if isinstance(layer, layers.DepthwiseConv2D)}
    assert high_level(model).output_shape[1:3] == (8, 8)
    assert rates == {(1, 1), (2, 2), (4, 4)}


@pytest.mark.slow
def test_the_librarys_own_weights_file_fits(tmp_path):
    name = "keras.applications.MobileNetV2"
    source, model = source_model(name, SIZE), deeplab_v3_plus(name, 3, SIZE)
    source.save_weights(tmp_path / "a.weights.h5")

    initialize(model, str(tmp_path / "a.weights.h5"), backbone=name)

    np.testing.assert_array_equal(
        model.get_layer("backbone_block_5_depthwise").get_weights()[0],
        source.get_layer("block_5_depthwise").get_weights()[0],
    )


def test_a_file_as_keras_applications_publishes_fits(tmp_path):
    name, path = "keras.applications.MobileNetV2", tmp_path / "a.h5"
    source, model = source_model(name, SIZE), deeplab_v3_plus(name, 3, SIZE)
    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, source)

    initialize(model, str(path), backbone=name)

    np.testing.assert_array_equal(
        model.get_layer("backbone_block_5_depthwise").get_weights()[0],
        source.get_layer("block_5_depthwise").get_weights()[0],
    )


def test_the_librarys_weights_of_another_model_are_one_message(tmp_path):
    name = "keras.applications.MobileNetV2"
    model = deeplab_v3_plus(name, 3, SIZE)
    source_model("keras.applications.MobileNet", SIZE).save_weights(tmp_path / "a.weights.h5")
    (tmp_path / "a.pth").touch()

    with pytest.raises(ModelError, match=r"(?m)`.*a\.weights\.h5` does not fit `.*V2`: .*\w$") as caught:
        initialize(model, str(tmp_path / "a.weights.h5"), backbone=name)
    assert "notop" in caught.value.hint
    with pytest.raises(ModelError, match=r"a\.pth` does not fit") as caught:
        initialize(model, str(tmp_path / "a.pth"), backbone=name)
    assert ".h5" in caught.value.hint


@pytest.mark.slow
def test_the_librarys_weights_that_are_not_finite_are_refused(tmp_path):
    name = "keras.applications.MobileNetV2"
    source, model = source_model(name, SIZE), deeplab_v3_plus(name, 3, SIZE)
    source.get_layer("bn_Conv1").gamma.assign(np.full(32, np.nan))
    source.save_weights(tmp_path / "a.weights.h5")

    with pytest.raises(ModelError, match=r"a\.weights\.h5` .* not finite.*bn_Conv1/gamma"):
        initialize(model, str(tmp_path / "a.weights.h5"), backbone=name)


def test_what_a_library_prints_while_it_fetches_is_no_result(monkeypatch, capsys):
    monkeypatch.setattr(keras.applications, "MobileNetV2", lambda **_arguments: sys.stdout.write("Downloading data\n"))

    source_model("keras.applications.MobileNetV2", SIZE, imagenet=True)

    assert capsys.readouterr() == ("", "Downloading data\n")


def test_an_image_that_is_too_small_for_a_backbone_is_no_matter_of_the_network():
    with pytest.raises(ModelError, match="at least 71x71") as caught:
        source_model("keras.applications.Xception", SIZE)
    assert "data.input_size" in caught.value.hint


def test_a_folder_without_a_preset_is_asked_for_its_files(tmp_path):
    with pytest.raises(ModelError) as caught:
        source_model(f"keras_cv.{tmp_path}", SIZE, imagenet=True)
    assert "config.json and model.weights.h5" in caught.value.hint


def test_published_weights_that_cannot_be_fetched_say_what_to_do(monkeypatch):
    def closed(**_arguments):
        raise OSError("URL fetch failure")

    monkeypatch.setattr(keras.applications, "MobileNetV2", closed)
    with pytest.raises(ModelError, match="URL fetch failure") as caught:
        source_model("keras.applications.MobileNetV2", SIZE, imagenet=True)
    assert "model.weights=PATH" in caught.value.hint


@pytest.mark.slow
def test_a_keras_cv_preset_in_a_folder_becomes_a_backbone(tmp_path):
    import keras_cv
    from keras_cv.src.utils.preset_utils import save_to_preset

    source = keras_cv.models.ResNetBackbone(
        stackwise_filters=[64, 128, 256, 512],
        stackwise_blocks=[1, 1, 1, 1],
        stackwise_strides=[1, 2, 2, 2],
        include_rescaling=True,
        block_type="basic_block",
    )
    pruning.randomize(source, x=pixels())
    save_to_preset(source, str(tmp_path / "preset"))
    name = f"keras_cv.{tmp_path / 'preset'}"
    model = deeplab_v3_plus(name, 3, SIZE)

    initialize(model, "imagenet", backbone=name)

    expected = np.asarray(source(pixels()))
    ours = np.asarray(high_level(model)(pixels()))[:, ::2, ::2]
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())
    assert check_law(model).holds


def test_a_keras_cv_preset_is_asked_for_by_its_handle(monkeypatch):
    import keras_cv

    asked = []

    def from_preset(preset, **options):
        asked.append((preset, options["load_weights"]))
        return keras.Sequential([keras.Input(SIZE), layers.Conv2D(3, 3, strides=16)])

    monkeypatch.setattr(keras_cv.models.Backbone, "from_preset", from_preset)
    for imagenet in (False, True):
        source_model("keras_cv.resnet50_imagenet", SIZE, imagenet=imagenet)

    assert [load for _, load in asked] == [False, True]
    assert all(preset.startswith("kaggle://keras/resnetv1/") for preset, _ in asked)


def test_an_unknown_keras_cv_preset_is_named_with_those_there_are():
    with pytest.raises(ConfigError, match="no backbone preset `resnet51`") as caught:
        source_model("keras_cv.resnet51", SIZE)
    assert "did you mean `keras_cv.resnet50`?" in caught.value.hint
    assert "efficientnetv2_b0, " in caught.value.hint


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ResNet18", "resnet18"),
        ("resnet_50", "resnet50"),
        ("keras.applications.resnet50", "keras.applications.ResNet50"),
        ("Keras.Applications.MobilNetV2", "keras.applications.MobileNetV2"),
        ("Xception", "keras.applications.Xception"),
    ],
)
def test_a_near_miss_says_which_backbone_was_meant(name, meant):
    with pytest.raises(ConfigError, match="unknown backbone") as caught:
        find_backbone(name)
    assert f"did you mean `{meant}`?" in caught.value.hint


@pytest.mark.parametrize("name", ["resnet19", "keras.applications.ResNet19", "keras.applications.preprocess", "timm.x"])
def test_an_unknown_backbone_is_named(name):
    with pytest.raises(ConfigError, match="unknown backbone") as caught:
        find_backbone(name)
    assert "efficientnet_lite0" in caught.value.hint


def test_a_layer_made_of_layers_is_named():
    class Block(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.inner = layers.Conv2D(3, 3, strides=4, padding="same")

        def call(self, x):
            return self.inner(x)

    image = keras.Input(SIZE)
    source = keras.Model(image, Block(name="fused")(image))
    with pytest.raises(ModelError, match="`fused`"):
        inlined(keras.Input(SIZE), source, output_stride=16)


def test_a_network_that_never_is_at_the_wanted_size_is_refused():
    image = keras.Input(SIZE)
    source = keras.Model(image, layers.Conv2D(3, 3, strides=4, padding="same")(image), name="shallow")
    with pytest.raises(ModelError, match="shallow"):
        inlined(keras.Input(SIZE), source, output_stride=16)
