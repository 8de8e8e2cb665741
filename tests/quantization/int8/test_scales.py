"""Sums and products of numbers whose steps are far apart: XNNPACK takes them, and the file says what it did."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.convert import calibrated_model, convert
from rsseg_tf.quantization.int8.calibrated import PIXELS, recorded_ranges
from rsseg_tf.quantization.int8.scales import with_fitting_ranges
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.networks import randomize

SIZE = 12


def faint_batch_norm(x):
    return layers.BatchNormalization(name="faint")(layers.MaxPooling2D(2, 1, padding="same")(x))


def faint_branch(x):
    return layers.Add()([x, layers.Conv2D(4, 1, name="faint")(x)])


def faint_subtraction(x):
    return layers.Subtract()([layers.Conv2D(4, 1, name="faint")(x), x])


def cancelled(x):
    return layers.Subtract()([layers.Conv2D(4, 1, use_bias=False, name="same")(x), x])


def faint_product(x):
    return x * layers.Conv2D(4, 1, name="faint")(x)


def switched_off(x):
    """A swish of numbers that are all far below 0: next to nothing is left of them."""
    off = layers.Conv2D(4, 1, name="off")(x)
    return layers.Add()([x, layers.Conv2D(4, 1)(off * layers.Activation("sigmoid")(off))])


MIDDLES = {
    "small offsets of a batch norm": faint_batch_norm,
    "a branch that adds little": faint_branch,
    "a branch from which much is taken": faint_subtraction,
    "a sum of two that cancel": cancelled,
    "a product of small numbers": faint_product,
    "a product with a sigmoid of nothing": switched_off,
}


def network(middle):
    inputs = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(1 / 64, offset=-1, name="normalise")(inputs)
    x = layers.Conv2D(4, 3, padding="same", name="stem")(x)
    model = randomize(keras.Model(inputs, layers.Conv2D(3, 1, name="classifier")(middle(x))))
    for layer in model.layers:
        if layer.name == "faint":
            faint = layer.beta if isinstance(layer, layers.BatchNormalization) else layer.kernel
            faint.assign(faint * 1e-6)
            if hasattr(layer, "moving_mean"):
                layer.moving_mean.assign(layer.moving_mean * 1e-6)
            else:
                layer.bias.assign(layer.bias * 1e-6)
        if layer.name == "off":
            layer.bias.assign(layer.bias * 0 - 1000)
        if layer.name == "same":
            layer.kernel.assign(np.eye(4)[None, None] * 0.9999)
    return model


def images(count=4):
    return list(np.random.default_rng(5).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", MIDDLES)
def test_the_file_is_one_piece_of_int8(name, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(network(MIDDLES[name]), calibration=images()))
    facts = proof.prove(path)
    assert facts.faults("int8") == []
    assert facts.undelegated == ("QUANTIZE",)
    assert facts.float_ops == ()


@pytest.mark.parametrize("name", MIDDLES)
def test_it_says_what_the_network_says(name, tmp_path):
    model = network(MIDDLES[name])
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(model, calibration=images()))
    runner = TFLiteRunner(path)
    expected = np.asarray(model(np.float32(images()), training=False))
    noise = np.stack([runner.logits(image) for image in images()]) - expected
    assert np.sqrt((noise**2).mean()) < 0.03 * expected.std()


def test_ranges_only_grow_and_those_of_pixels_stay():
    ranged = calibrated_model(network(faint_branch), head="logits", calibration=images())
    assert with_fitting_ranges(ranged) == ranged
    assert recorded_ranges(ranged)[parse_model(ranged, name="").inputs[0].index] == PIXELS


def test_a_network_of_like_steps_keeps_its_ranges():
    model = network(lambda x: layers.Add()([x, layers.Conv2D(4, 1)(x)]))
    ranged = calibrated_model(model, head="logits", calibration=images())
    assert with_fitting_ranges(ranged) == ranged
