"""Enlargements in steps that Ethos-U55 maps: the same values, by operators of the factors that it takes."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.convert import convert
from rsseg_tf.quantization.ethosu import enlarging_in_steps
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.networks import randomize


def network(factor, **settings):
    inputs = keras.Input((10, 14, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    settings = {"interpolation": "bilinear", **settings}
    return randomize(keras.Model(inputs, layers.UpSampling2D(factor, name="logits", **settings)(x)))


def images(count=4):
    return np.random.default_rng(0).integers(0, 256, (count, 10, 14, 3), dtype=np.uint8)


@pytest.mark.parametrize("factor", [4, 8, 16])
def test_outputs_are_those_of_one_step(factor):
    model = network(factor)
    changed = enlarging_in_steps(model)
    assert changed is not model
    assert [layer.name for layer in changed.layers] == [layer.name for layer in model.layers]
    np.testing.assert_allclose(changed(images()), model(images()), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("factor", [4, 8, 16])
def test_resizes_are_half_pixel_ones_by_two_and_corner_aligned_ones_up_to_eight(factor, tmp_path):
    content = convert(enlarging_in_steps(network(factor)), calibration=list(images()))
    resizes = [op for op in parse_model(content, name="x").ops if op.name == "RESIZE_BILINEAR"]
    factors = [(op.attributes["half_pixel_centers"], op.outputs[0].shape[1] // op.inputs[0].shape[1]) for op in resizes]
    assert factors == [(False, factor // 2), (True, 2)]
    (tmp_path / "model.tflite").write_bytes(content)
    assert proof.prove(tmp_path / "model.tflite", layer_names=["image", "conv", "logits"]).faults("int8") == []


@pytest.mark.parametrize(
    "settings", [{"factor": 2}, {"factor": 3}, {"factor": (4, 2)}, {"factor": 4, "interpolation": "nearest"}]
)
def test_other_enlargements_stay(settings):
    model = network(**settings)
    assert enlarging_in_steps(model) is model
