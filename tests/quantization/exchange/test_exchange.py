"""ONNX files: the same network, in the operators and with the words that other programs read."""

import json

import keras
import numpy as np
import pytest
from keras import layers

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("tf2onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from rsseg_tf.errors import ConfigError, ModelError  # noqa: E402 - behind what skips
from rsseg_tf.quantization.delegable import normalized_in_one  # noqa: E402
from rsseg_tf.quantization.exchange.description import checked, deepness_values, describe, not_for_deepness  # noqa: E402
from rsseg_tf.quantization.exchange.graph import onnx_model  # noqa: E402
from rsseg_tf.quantization.exchange.rounding import in_half, in_int8  # noqa: E402
from rsseg_tf.quantization.int8.clipping import METHODS  # noqa: E402
from rsseg_tf.tflite.metadata import ModelMetadata, metadata_of  # noqa: E402
from tests.quantization.networks import randomize  # noqa: E402

COLORS = ((0, 0, 0), (255, 0, 0), (0, 255, 0))
METADATA = ModelMetadata(
    ("ground", "road", "house"), COLORS, (32, 32), overlap=8, ground_sampling_distance_m=0.25, layers=("a", "b")
)


def network():
    x = inputs = keras.Input((32, 32, 3), name="image")
    x = layers.Rescaling([0.017, 0.018, 0.019], [-2.1, -2.0, -1.8], name="normalise")(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="bn")(x))
    wide = layers.Conv2D(8, 3, padding="same", dilation_rate=4, activation="relu", name="wide")(x)
    x = layers.Concatenate(name="join")([layers.Add(name="add")([x, wide]), x])
    x = layers.Conv2D(3, 1, name="classifier")(x)
    return randomize(keras.Model(inputs, layers.UpSampling2D(2, interpolation="bilinear", name="logits")(x)))


def images(count=4):
    return list(np.random.default_rng(3).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def exported(model):
    return onnx_model(model)


def probabilities(exported, image):
    session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = np.moveaxis(image, -1, 0)[None].astype(np.float32) / np.float32(255)
    (found,) = session.run(["probabilities"], {"image": pixels})
    return found


def expected(model, image):
    softmax = keras.ops.softmax(model(image[None].astype(np.float32), training=False))
    return np.moveaxis(keras.ops.convert_to_numpy(softmax), -1, 1)


def test_probabilities_are_those_of_keras(model, exported):
    for image in images():
        np.testing.assert_allclose(probabilities(checked(exported), image), expected(model, image), atol=1e-4)


def test_nothing_is_transposed_and_dilation_and_batch_norms_are_in_the_convolutions(exported):
    kinds = {node.op_type for node in exported.graph.node}
    assert kinds == {"Add", "Concat", "Conv", "Mul", "Relu", "Resize", "Softmax"}
    assert [tuple(side.dim_value for side in port.type.tensor_type.shape.dim) for port in exported.graph.input] == [
        (1, 3, 32, 32)
    ]


def test_half_precision_halves_the_weights_and_keeps_the_ports(model, exported):
    half = checked(in_half(exported))
    types = {tensor.data_type for tensor in half.graph.initializer if len(tensor.dims) == 4}
    assert types == {onnx.TensorProto.FLOAT16}
    for image in images():
        found = probabilities(half, image)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected(model, image), atol=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_int8_has_int8_kernels_and_says_nearly_the_same(model, method):
    rounded = checked(in_int8(onnx_model(normalized_in_one(model)), images(), method=method))
    kernels = {tensor.data_type for tensor in rounded.graph.initializer if len(tensor.dims) == 4}
    same = [(probabilities(rounded, image).argmax(1) == expected(model, image).argmax(1)).mean() for image in images()]
    assert kernels == {onnx.TensorProto.INT8}
    assert np.mean(same) > 0.9


def test_the_scale_of_pixels_is_exactly_a_255th(exported):
    rounded = in_int8(exported, images())
    first = next(node for node in rounded.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "image")
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in rounded.graph.initializer}
    assert values[first.input[1]] == np.float32(1 / 255)
    assert values[first.input[2]] == 0


def test_the_given_graph_stays_as_it_is(exported):
    before = exported.SerializeToString()
    in_int8(exported, images())
    in_half(exported)
    assert exported.SerializeToString() == before


@pytest.mark.parametrize(("images", "method"), [([], "min-max"), ([np.zeros((32, 32, 3), np.uint8)], "max-min")])
def test_int8_without_images_or_method_is_an_error(exported, images, method):
    with pytest.raises(ConfigError, match="int8 needs images and one of the methods"):
        in_int8(exported, images, method=method)


def test_what_deepness_asks_for_is_json(exported):
    describe(exported, METADATA)
    kept = {entry.key: json.loads(entry.value) for entry in exported.metadata_props}
    assert kept["model_type"] == "Segmentor"
    assert kept["class_names"] == {"0": "ground", "1": "road", "2": "house"}
    assert (kept["resolution"], kept["tiles_size"], kept["tiles_overlap"]) == (25.0, 32, 25)
    assert metadata_of(kept["rsseg_tf"]) == METADATA


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"input_size": (32, 48)}, "square"),
        ({"input_size": (32, 32), "fitting": "resize"}, "whole images"),
        ({"input_size": (32, 32), "scale": (0.0, 3000.0)}, "8-bit"),
    ],
)
def test_what_deepness_cannot_run_is_said_and_not_offered_to_it(values, reason):
    metadata = ModelMetadata(("ground", "road", "house"), COLORS, **values)
    assert reason in not_for_deepness(metadata)
    assert deepness_values(metadata) == {}


def test_an_invalid_graph_is_an_error(exported):
    broken = onnx.ModelProto()
    broken.CopyFrom(exported)
    broken.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ModelError, match="the ONNX graph is not valid"):
        checked(broken)


def test_an_open_size_is_an_error():
    inputs = keras.Input((None, None, 3))
    with pytest.raises(ModelError, match="no fixed size"):
        onnx_model(keras.Model(inputs, layers.Conv2D(2, 1)(inputs)))
