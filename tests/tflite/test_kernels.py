"""A file by XNNPACK's, the built-in and the reference kernels: what differs, and at which operator."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.errors import CheckFailedError, ModelError
from rsseg_tf.quantization.convert import convert
from rsseg_tf.tflite.kernels import compare_kernels, format_agreement, is_quantized, require_same
from tests.quantization.networks import randomize

SIDE = 99


def images(count=2):
    coarse = np.random.default_rng(0).integers(0, 256, (count, 11, 11, 3), dtype=np.uint8)
    return list(coarse.repeat(9, axis=1).repeat(9, axis=2))


def file(enlarge, *, number_format="int8", head="logits"):
    x = inputs = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1, name="normalise")(x)
    x = layers.Conv2D(4, 3, strides=3, activation="relu", name="stem")(x)
    x = enlarge(layers.Conv2D(3, 1, name="classifier")(x))
    model = randomize(keras.Model(inputs, x))
    content = convert(model, number_format=number_format, calibration=images(), head=head)
    return content, [layer.name for layer in model.layers]


@pytest.fixture(scope="module")
def by_two():
    return file(lambda x: layers.UpSampling2D(2, interpolation="bilinear", name="logits")(x))


@pytest.fixture(scope="module")
def by_many():
    return file(lambda x: layers.Resizing(11 * SIDE, 11 * SIDE, name="logits")(x))


def test_powers_of_two_differ_by_rounding(by_two):
    content, names = by_two
    found = compare_kernels(content, images(), name="model", layer_names=names)
    require_same(found, most_steps=2, setting="export.kernel_steps")
    assert found.samples == 2
    assert [each.kernels for each in found.differences] == ["built-in", "reference"]
    assert all(each.steps <= 2 and each.classes < 0.05 for each in found.differences)


def test_an_enlargement_that_a_kernel_rounds_is_named(by_many):
    content, names = by_many
    found = compare_kernels(content, images(), name="model", layer_names=names)
    assert (found.parting.type, found.parting.layer) == ("RESIZE_BILINEAR", "logits")
    assert found.parting.steps > 2
    with pytest.raises(CheckFailedError, match="RESIZE_BILINEAR of `logits` differs by"):
        require_same(found, most_steps=2, setting="export.kernel_steps")
    require_same(found, most_steps=255, setting="export.kernel_steps")


def test_the_same_file_differs_from_itself_in_nothing_twice(by_two):
    content, names = by_two
    assert compare_kernels(content, images(), name="a", layer_names=names) == compare_kernels(
        content, images(), name="a", layer_names=names
    )


def test_text_names_each_set_of_kernels(by_many):
    content, names = by_many
    text = format_agreement(compare_kernels(content, images(1), name="model", layer_names=names).record())
    assert [line.split(" kernels")[0] for line in text.splitlines()[:2]] == ["built-in", "reference"]
    assert "RESIZE_BILINEAR of logits" in text


def test_floats_are_not_compared(by_two):
    content, _ = by_two
    assert is_quantized(content, name="int8")
    for head in ("logits", "classes"):  # class numbers are integers that are made of floats
        floats, _ = file(lambda x: x, number_format="float32", head=head)
        assert not is_quantized(floats, name="float32")


def test_a_damaged_file_is_an_error():
    with pytest.raises(ModelError, match="not a TFLite model"):
        compare_kernels(b"no model", images(), name="damaged")
