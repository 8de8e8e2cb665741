"""What XNNPACK has in float alone: it stays float inside an int8 file, and the file stays one piece."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.convert import calibrated_model, convert
from rsseg_tf.quantization.int8.calibrated import quantize
from rsseg_tf.quantization.int8.islands import islands, ops_in_islands
from rsseg_tf.quantization.repair import int8_file
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.networks import randomize

SIZE = 16


def attention(x):
    x = layers.Reshape((SIZE * SIZE, 8))(x)
    return layers.Reshape((SIZE, SIZE, 8))(layers.MultiHeadAttention(2, 4)(x, x))


MIDDLES = {
    "layer normalization": layers.LayerNormalization(),
    "GELU": layers.Activation("gelu"),
    "ELU": layers.ELU(),
    "PReLU": layers.PReLU(shared_axes=[1, 2]),
    "softmax": layers.Softmax(),
    "attention": attention,
    "a transformer's block": lambda x: layers.Add()([x, attention(layers.LayerNormalization()(x))]),
    "the largest of two": lambda x: layers.Maximum()([x, layers.Conv2D(8, 1)(x)]),
    "root mean square": lambda x: x / keras.ops.sqrt(keras.ops.mean(keras.ops.square(x), axis=-1, keepdims=True) + 1.0),
}


def network(middle):
    inputs = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(1 / 64, offset=-2, name="normalise")(inputs)
    x = layers.Conv2D(8, 3, padding="same", name="stem")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="behind")(middle(x))
    model = keras.Model(inputs, layers.Conv2D(3, 1, name="classifier")(x))
    return randomize(model)


def images(count=4):
    return list(np.random.default_rng(5).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8))


def written(folder, content):
    path = folder / "model.tflite"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", MIDDLES)
def test_the_file_is_a_proper_one_of_one_piece(name, tmp_path):
    model = network(MIDDLES[name])
    facts = proof.prove(written(tmp_path, convert(model, calibration=images())))
    assert facts.faults("int8") == []
    assert facts.undelegated == ("QUANTIZE",)
    assert facts.float_inside
    assert set(facts.float_inside) == set(facts.float_tensors)


@pytest.mark.parametrize("name", MIDDLES)
def test_it_says_what_the_network_says(name, tmp_path):
    model = network(MIDDLES[name])
    runner = TFLiteRunner(written(tmp_path, convert(model, calibration=images())))
    expected = np.asarray(model(np.float32(images()), training=False))
    noise = np.stack([runner.logits(image) for image in images()]) - expected
    assert 10 * np.log10(expected.var() / (noise**2).mean()) > 20


@pytest.mark.parametrize("name", ["softmax", "GELU", "layer normalization"])
def test_a_file_for_an_npu_has_no_island_where_tflite_can_do_without(name, tmp_path):
    ranged = calibrated_model(network(MIDDLES[name]), head="logits", calibration=images())
    facts = proof.prove(written(tmp_path, quantize(ranged, throughout=True)))
    assert not {"SOFTMAX", "GELU", "RSQRT"} & set(facts.float_inside.values())


def test_a_layer_normalization_is_an_island_as_a_whole():
    ranged = parse_model(
        calibrated_model(network(MIDDLES["layer normalization"]), head="logits", calibration=images()), name="m"
    )
    convolutions = [op.outputs[0].name for op in ranged.ops if "CONV" in op.name]
    assert {*islands(ranged), *convolutions} == {op.outputs[0].name for op in ranged.ops}


def test_convolutions_between_two_islands_stay_int8(tmp_path):
    model = network(lambda x: layers.Activation("gelu")(layers.Conv2D(8, 1)(layers.Activation("gelu")(x))))
    facts = proof.prove(written(tmp_path, convert(model, calibration=images())))
    assert facts.record()["float_inside"] == {"GELU": 2}
    assert facts.ops["CONV_2D"] == 4
    assert facts.faults("int8") == []


def test_what_ends_the_network_stays_int8(tmp_path):
    inputs = keras.Input((SIZE, SIZE, 3), name="image")
    model = randomize(keras.Model(inputs, layers.Softmax()(layers.Conv2D(3, 1)(inputs))))
    facts = proof.prove(written(tmp_path, convert(model, calibration=images())))
    assert facts.float_inside == {}
    assert facts.undelegated == ("QUANTIZE", "SOFTMAX")
    assert facts.faults("int8") == []


@pytest.mark.parametrize("name", ["a transformer's block", "GELU"])
def test_the_layers_beside_an_island_can_be_measured_and_repaired(name, tmp_path):
    ranged = calibrated_model(network(MIDDLES[name]), head="logits", calibration=images())
    made = int8_file(ranged, images=images(), keep_float=2, correct_on=images())
    facts = proof.prove(written(tmp_path, made.content))
    assert made.float_layers
    assert facts.faults("int8", keep_float=made.keep_float) == []


@pytest.mark.parametrize("throughout", [True, False])
def test_errors_are_of_the_file_that_is_made(throughout):
    """An operator that is int8 in it has an error of its own, one that is float has none."""
    calibrated = calibrated_model(network(MIDDLES["softmax"]), head="logits", calibration=images())
    errors = int8_file(calibrated, images=images(), throughout=throughout).errors
    (found,) = [error.local_db for error in errors if error.op == "SOFTMAX"]
    assert (found is not None) == throughout


@pytest.mark.parametrize("number_format", ["float32", "float16", "dynamic"])
def test_a_file_of_floats_has_no_islands(number_format):
    file = convert(network(MIDDLES["attention"]), number_format=number_format)
    assert ops_in_islands(parse_model(file, name="m")) == frozenset()


def test_a_convolution_left_float_is_still_a_fault(tmp_path):
    ranged = calibrated_model(network(MIDDLES["GELU"]), head="logits", calibration=images())
    float_convolution = next(op.outputs[0].name for op in parse_model(ranged, name="m").ops if op.name == "CONV_2D")
    facts = proof.prove(written(tmp_path, quantize(ranged, keep_float=[float_convolution])))
    assert facts.faults("int8")
    assert facts.faults("int8", keep_float=[float_convolution]) == []
