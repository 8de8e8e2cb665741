"""Convolutions in forms that cost an Ethos-U less: the same numbers, to the byte."""

import importlib.util

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.convert import convert
from rsseg_tf.quantization.ethosu.convolutions import with_cheap_convolutions
from rsseg_tf.tflite.ethosu.vela import estimate
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.networks import randomize
from tests.quantization.outputs import output


def dilated(rate, *, size=3, filters=96, **settings):
    x = inputs = keras.Input((10, 14, 3), name="image")
    x = layers.Conv2D(filters, size, padding="same", dilation_rate=rate, name="wide", **settings)(x)
    return randomize(keras.Model(inputs, layers.Conv2D(2, 1, name="logits")(x)))


def stem(size=7, *, shape=(10, 14, 3), strides=2, padding="same", **settings):
    x = inputs = keras.Input(shape, name="image")
    x = layers.Conv2D(6, size, strides=strides, padding=padding, name="stem", **settings)(x)
    return randomize(keras.Model(inputs, layers.Conv2D(2, 1, name="logits")(x)))


def images(shape, count=3):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def changed(model, folder):
    """The operators of the file that takes less, which is proven to have the outputs of the usual one."""
    shape = model.input_shape[1:]
    usual = convert(model, calibration=list(images(shape)))
    cheap = with_cheap_convolutions(usual, name="net")
    for image in images(shape):
        expected = output(usual, image, folder / "usual.tflite")
        np.testing.assert_array_equal(output(cheap, image, folder / "cheap.tflite"), expected)
    names = [layer.name for layer in model.layers]
    assert proof.prove(folder / "cheap.tflite", layer_names=names).faults("int8") == []
    return parse_model(cheap, name="net").ops if cheap != usual else None


def kernels(ops):
    return [op.inputs[1].shape[1:] for op in ops if op.name == "CONV_2D"][:-1]


FORMS = {
    "rows": (dilated(5, filters=320), [(1, 3, 9)]),
    "rows of other rates": (dilated((4, 6)), [(1, 3, 9)]),
    "rows of an even kernel": (dilated(4, size=(2, 3), filters=320), [(1, 3, 6)]),
    "rows of many taps": (dilated(3, size=5, filters=320), [(1, 5, 15)]),
    "blocks": (dilated(8, activation="relu"), [(3, 3, 3), (3, 1, 3), (1, 3, 3), (1, 1, 3)]),
    "blocks along one axis": (dilated(7, size=(3, 1), use_bias=False), [(3, 1, 3), (1, 1, 3)]),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_dilated_convolution_computes_the_same_numbers(form, tmp_path):
    model, expected = FORMS[form]
    assert kernels(changed(model, tmp_path)) == expected


STEMS = {
    "same": (stem(), (7, 4, 6)),
    "same, rows of stride 1": (stem(3, strides=(1, 2)), (3, 2, 6)),
    "same, of an even kernel": (stem(4, activation="relu6"), (4, 3, 6)),
    "valid": (stem(5, padding="valid"), (5, 3, 6)),
    "four bands": (stem(3, shape=(9, 16, 4)), (3, 2, 8)),
}


@pytest.mark.parametrize("name", STEMS)
def test_a_stem_reads_its_columns_in_pairs(name, tmp_path):
    model, kernel = STEMS[name]
    ops = changed(model, tmp_path)
    assert kernels(ops) == [kernel]
    assert "RESHAPE" in {op.name for op in ops}


@pytest.mark.parametrize(
    "model",
    [
        dilated(1),
        dilated(2),
        dilated(4, filters=8),
        dilated(6, size=(1, 3)),
        dilated(8, groups=3),
        stem(shape=(10, 15, 3)),
        stem(shape=(10, 14, 5)),
        stem(strides=1),
        stem(strides=(2, 1)),
        stem(1),
    ],
    ids=str,
)
def test_convolutions_that_would_cost_no_less_stay(model, tmp_path):
    assert changed(model, tmp_path) is None


def test_what_no_operator_reads_any_more_is_not_in_the_file():
    model = stem()
    usual = convert(model, calibration=list(images((10, 14, 3))))
    cheap = parse_model(with_cheap_convolutions(usual, name="net"), name="net")
    read = {tensor.index for op in cheap.ops for tensor in (*op.inputs, *op.outputs) if tensor}
    assert len(cheap.tensors) == len(read)


def far_reaching(rate):
    """A stem, and a convolution as an ASPP's on a map of 16×16."""
    x = inputs = keras.Input((64, 64, 3), name="image")
    for number, width in enumerate((32, 128)):
        x = layers.Conv2D(width, 7, strides=2, padding="same", activation="relu", name=f"stem{number}")(x)
    x = layers.Conv2D(64, 3, padding="same", dilation_rate=rate, name="wide")(x)
    return randomize(keras.Model(inputs, layers.Conv2D(2, 1, name="logits")(x)))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ethosu") is None, reason="the extra ethosu is not installed")
@pytest.mark.parametrize("accelerator", ["ethos-u55-256", "ethos-u65-512", "ethos-u85-256"])
@pytest.mark.parametrize("rate", [6, 12])
def test_they_take_fewer_cycles_by_vela(rate, accelerator, tmp_path):
    usual = convert(far_reaching(rate), calibration=list(images((64, 64, 3))))
    files = {"usual": usual, "cheap": with_cheap_convolutions(usual, name="net")}
    for name, content in files.items():
        (tmp_path / f"{name}.tflite").write_bytes(content)
    found = {name: estimate(tmp_path / f"{name}.tflite", accelerator) for name in files}
    assert found["cheap"].on_cpu == ()
    assert found["cheap"].cycles < 0.9 * found["usual"].cycles
