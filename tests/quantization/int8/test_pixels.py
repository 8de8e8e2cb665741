"""Laws of the pixels' normalization: where the input's step says it, the file has the same outputs to the byte."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers

from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.quantization.convert import calibrated_model, convert
from rsseg_tf.quantization.int8 import calibrated as stage
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.networks import randomize

SIZE = 12
SAID = {
    "of Lite0": (1 / 128, -127 / 128, 127),
    "to 0 … 1": (1 / 255, 0.0, 0),
    "none": (1.0, 0.0, 0),
    "with a far zero": (1 / 64, -1.0, 64),
    "that turns light into dark": (-1 / 128, 128 / 128, None),
    "whose zero lies between two pixels": (1 / 127.5, -1.0, None),
    "by band": ((1 / 64, 1 / 60, 1 / 64), -1.0, None),
    "with a zero that is no pixel": (1 / 64, 1.0, None),
}


def network(scale, offset, first="convolution"):
    inputs = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(scale, offset, name="normalise")(inputs)
    if first == "padding":
        x = layers.ZeroPadding2D(1)(x)
    if first == "two readers":
        x = layers.Add()([layers.Conv2D(4, side, padding="same")(x) for side in (3, 1)])
    x = layers.Conv2D(4, 3, padding="same", strides=2, activation="relu", name="stem")(x)
    return randomize(keras.Model(inputs, layers.Conv2D(3, 1, name="classifier")(x)))


def images(count=4):
    """Return images without the darkest and the lightest pixels."""
    return list(np.random.default_rng(5).integers(20, 200, (count, SIZE, SIZE, 3), dtype=np.uint8))


def both_files(model, monkeypatch, tmp_path):
    """Return the file, and the one that computes the normalization."""
    ranged = calibrated_model(model, head="logits", calibration=images())
    said, computed = tmp_path / "said.tflite", tmp_path / "computed.tflite"
    said.write_bytes(stage.quantize(ranged))
    monkeypatch.setattr(stage, "without_idle_normalization", lambda file: file)
    computed.write_bytes(stage.quantize(ranged))
    return said, computed


def outputs_of(path, pixels, kernels):
    """Return what some kernels make of images."""
    native = Interpreter(str(path), experimental_op_resolver_type=getattr(OpResolverType, kernels))
    native.allocate_tensors()
    found = []
    for image in pixels:
        native.set_tensor(native.get_input_details()[0]["index"], image[None])
        native.invoke()
        found.append(native.get_tensor(native.get_output_details()[0]["index"]))
    return np.concatenate(found)


@pytest.mark.parametrize("name", SAID)
def test_an_even_normalization_is_said_where_its_zero_is_a_pixel(name):
    scale, offset, zero_point = SAID[name]
    graph = parse_model(convert(network(scale, offset), calibration=images()), name="the file")
    is_said = zero_point is not None
    assert ("DEPTHWISE_CONV_2D" in [op.name for op in graph.ops]) != is_said
    assert graph.inputs[0].dtype == "uint8"
    assert graph.inputs[0].scales.item() == np.float32(scale if is_said else 1.0)
    assert graph.inputs[0].zero_points.item() == (zero_point if is_said else 0)
    assert all(any(tensor in (*op.inputs, *op.outputs) for op in graph.ops) for tensor in graph.tensors)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("of Lite0", "convolution"),
        ("of Lite0", "padding"),
        ("of Lite0", "two readers"),
        ("to 0 … 1", "padding"),
        ("with a far zero", "two readers"),
    ],
)
def test_its_outputs_are_those_of_the_file_that_computes_it(name, first, monkeypatch, tmp_path):
    said, computed = both_files(network(*SAID[name][:2], first), monkeypatch, tmp_path)
    assert said.stat().st_size < computed.stat().st_size
    pixels = np.random.default_rng(7).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    pixels[0, :2] = np.arange(2 * SIZE * 3).reshape(2, SIZE, 3) % 2 * 255
    for kernels in ("BUILTIN", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF"):
        np.testing.assert_array_equal(*(outputs_of(path, pixels, kernels) for path in (said, computed)))


def test_a_file_that_describes_itself_takes_pixels_as_they_are(monkeypatch, tmp_path):
    said, computed = both_files(network(*SAID["of Lite0"][:2]), monkeypatch, tmp_path)
    image = images(1)[0]
    found = [TFLiteRunner(path).logits(image) for path in (said, computed)]
    np.testing.assert_array_equal(*found)
