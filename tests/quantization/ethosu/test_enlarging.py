"""What Ethos-U maps, in place of what it does not: the same values, by operators that it has."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.convert import convert
from rsseg_tf.quantization.ethosu.enlarging import suited_to_ethosu
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.networks import randomize


def enlarging(factor, **settings):
    inputs = keras.Input((10, 14, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    settings = {"interpolation": "bilinear", **settings}
    return randomize(keras.Model(inputs, layers.UpSampling2D(factor, name="logits", **settings)(x)))


def images(count=4):
    return np.random.default_rng(0).integers(0, 256, (count, 10, 14, 3), dtype=np.uint8)


def assert_same(changed, model):
    assert changed is not model
    assert [layer.name for layer in changed.layers] == [layer.name for layer in model.layers]
    for image in images():  # one at a time, as files take them
        expected = np.asarray(model(image[None]))
        np.testing.assert_allclose(changed(image[None]), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def exported(model, folder):
    content = convert(model, calibration=list(images()))
    (folder / "model.tflite").write_bytes(content)
    names = [layer.name for layer in model.layers]
    assert proof.prove(folder / "model.tflite", layer_names=names).faults("int8") == []
    return parse_model(content, name="model").ops


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_an_enlargement_has_the_values_of_one_step(factor):
    model = enlarging(factor)
    assert_same(suited_to_ethosu(model, "ethos-u55"), model)


@pytest.mark.parametrize("factor", [4, 8])
def test_resizes_are_doublings_with_corner_aligned_positions(factor, tmp_path):
    ops = exported(suited_to_ethosu(enlarging(factor), "ethos-u65"), tmp_path)
    resizes = [op for op in ops if op.name == "RESIZE_BILINEAR"]
    assert {op.attributes["half_pixel_centers"] for op in resizes} == {False}
    assert {op.outputs[0].shape[1] / op.inputs[0].shape[1] for op in resizes} == {2}


@pytest.mark.parametrize(
    "settings", [{"factor": 3}, {"factor": (4, 2)}, {"factor": 4, "interpolation": "nearest"}], ids=str
)
def test_other_enlargements_stay(settings):
    model = enlarging(**settings)
    assert suited_to_ethosu(model, "ethos-u55") is model


def test_u85_enlarges_by_itself():
    model = enlarging(4)
    assert suited_to_ethosu(model, "ethos-u85") is model
