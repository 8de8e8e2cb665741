from pathlib import Path

import keras
import numpy as np
import pytest

from rsseg_tf.config.training import Heads
from rsseg_tf.errors import CheckFailedError, ConfigError, ModelError
from rsseg_tf.graphs import live_taps
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.pruning.cost import cost
from rsseg_tf.pruning.wiring import trace
from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.convert import CONVERTERS, convert
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.layer_names import layers_of_ops, op_tensors

SIZE = (64, 96)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return deeplab_v3_plus("resnet18", 4, (*SIZE, 3))


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for _ in range(8)]


@pytest.fixture(scope="module")
def files(model, images, tmp_path_factory) -> dict[str, Path]:
    """One file a number format."""
    folder = tmp_path_factory.mktemp("files")
    paths = {name: folder / f"{name}.tflite" for name in CONVERTERS}
    for name, path in paths.items():
        path.write_bytes(convert(model, number_format=name, calibration=images))
    return paths


def logits(path: Path, image: np.ndarray) -> np.ndarray:
    return TFLiteRunner(path).logits(image)


def test_float_files_equal_the_model(files, model, images):
    expected = np.asarray(model(images[0][None].astype(np.float32)))[0]
    scale = np.abs(expected).max()

    assert np.abs(logits(files["float32"], images[0]) - expected).max() < 1e-4 * scale
    assert np.abs(logits(files["float16"], images[0]) - expected).max() < 2e-2 * scale


def test_int8_agrees_with_the_model(files, model, images):
    expected = np.asarray(model(images[0][None].astype(np.float32)))[0]
    quantized = logits(files["int8"], images[0])

    noise = ((quantized - expected) ** 2).mean() / expected.var()
    assert noise < 0.05


def test_int8_is_proven(files, model):
    facts = proof.prove(files["int8"], layer_names=[layer.name for layer in model.layers])

    assert facts.faults("int8") == []
    assert (facts.partitions, facts.float_ops) == (1, ())
    assert facts.undelegated == ("QUANTIZE",), "the step from uint8 to int8 at the input, which XNNPACK leaves out"
    assert "SPACE_TO_BATCH_ND" not in facts.ops
    assert facts.ops["CONV_2D"] == 29


@pytest.mark.parametrize("number_format", list(CONVERTERS))
def test_every_operator_maps_to_the_layers_it_came_from(files, model, number_format):
    graph = parse_model(files[number_format].read_bytes(), name=number_format)
    sources = layers_of_ops(op_tensors(graph), {name: layer.reads for name, layer in trace(model).layers.items()})
    stages = [f"stage{stage}_block{block}" for stage in (1, 2, 3, 4) for block in (1, 2)]

    found = {kind: [x for op, x in zip(graph.ops, sources, strict=True) if op.name == kind] for kind in graph.op_counts}

    assert all(sources)
    added = [(f"{name}_add", f"{name}_relu") for name in stages]
    if number_format == "int8":
        assert found["DEPTHWISE_CONV_2D"] == [("normalise",)]
        assert found["ADD"] == added
    else:
        assert found["ADD"] == [("normalise",), *added]
    assert found["CONCATENATION"] == [("aspp_concat",), ("decoder_concat",)]
    assert found["RESIZE_BILINEAR"] == [("decoder_upsample",), ("logits",)]
    layers = {layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)}
    assert layers <= {name for names in sources for name in names}


@pytest.mark.parametrize("number_format", ["int8", "float32"])
def test_every_convolution_holds_the_kernel_of_the_layer_that_it_maps_to(files, model, number_format):
    graph = parse_model(files[number_format].read_bytes(), name=number_format)
    sources = layers_of_ops(op_tensors(graph), dict.fromkeys((layer.name for layer in model.layers), ()))
    live = live_taps(model).layers  # at 4×6 the ASPP's rates leave the center alone
    kernels = {layer.name: layer.get_weights()[0] for layer in live if isinstance(layer, keras.layers.Conv2D)}

    mapped = [(op, names[0]) for op, names in zip(graph.ops, sources, strict=True) if op.name == "CONV_2D"]

    assert sorted(name for _, name in mapped) == sorted(kernels)
    for op, name in mapped:
        scales = op.inputs[1].scales if number_format == "int8" else np.ones(1)
        kernel = np.moveaxis(op.inputs[1].values() * scales.reshape(-1, 1, 1, 1), 0, -1)
        assert kernel.shape == kernels[name].shape
        assert np.abs(kernel - kernels[name]).max() < 0.01 * np.abs(kernels[name]).max(), name


@pytest.mark.parametrize("number_format", list(CONVERTERS))
def test_a_file_computes_no_tap_that_never_meets_the_picture(files, model, number_format):
    graph = parse_model(files[number_format].read_bytes(), name=number_format)

    convolutions = [op for op in graph.ops if op.name != "DEPTHWISE_CONV_2D"]  # which is the normalization of int8
    assert sum(op.macs for op in convolutions) == cost(live_taps(model)).macs < cost(model).macs


def test_the_input_is_the_cameras_uint8(files):
    (tensor,) = parse_model(files["int8"].read_bytes(), name="int8").inputs

    assert (tensor.dtype, tensor.scales.tolist(), tensor.zero_points.tolist()) == ("uint8", [1.0], [0])


def test_int8_is_about_a_quarter_of_float32(files):
    assert files["int8"].stat().st_size <= 0.27 * files["float32"].stat().st_size


def test_a_float_file_is_not_passed_for_int8(files, model):
    facts = proof.prove(files["float32"], layer_names=[layer.name for layer in model.layers])

    assert {"stem_relu", "aspp_rate6_relu", "decoder_concat"} <= set(facts.float_ops)
    with pytest.raises(CheckFailedError, match="normalise") as caught:
        proof.require(facts, "int8", path=files["float32"])
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("head", ["logits-low", "classes"])
def test_other_heads_stay_in_one_piece_and_say_the_same(head, model, images, files, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(model, head=head, calibration=images))
    facts = proof.prove(path)

    agreement = (TFLiteRunner(path).classes(images[0]) == TFLiteRunner(files["int8"]).classes(images[0])).mean()

    assert agreement > 0.95
    assert facts.faults("int8") == []


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param({"image_pooling": True}, marks=pytest.mark.slow),
        pytest.param({"upsampling": "transposed"}, marks=pytest.mark.slow),
        pytest.param({"output_stride": 8}, marks=pytest.mark.slow),
        pytest.param({"output_stride": 32}, marks=pytest.mark.slow),
        pytest.param({"input_shape": (72, 50, 3)}, marks=pytest.mark.slow),
        {"heads": Heads("separable", "separable")},
        pytest.param(
            {"heads": Heads(decoder="none", aspp_width=64), "input_shape": (72, 50, 3)}, marks=pytest.mark.slow
        ),
    ],
    ids=str,
)
def test_every_variant_of_the_network_becomes_one_int8_partition(variant, tmp_path):
    model = deeplab_v3_plus("resnet18", 3, **{"input_shape": (64, 64, 3), **variant})
    image = np.random.default_rng(0).integers(0, 256, model.input_shape[1:], dtype=np.uint8)
    (tmp_path / "model.tflite").write_bytes(convert(model, calibration=[image]))

    assert proof.prove(tmp_path / "model.tflite").faults("int8") == []


def test_a_weight_that_is_not_a_number_is_named(images):
    image = keras.layers.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 1, name="poisoned")(image))
    kernel, bias = model.get_layer("poisoned").get_weights()
    model.get_layer("poisoned").set_weights([kernel * np.nan, bias])

    with pytest.raises(ModelError, match="poisoned"):
        convert(model, calibration=images)


def test_a_size_that_is_not_fixed_is_an_error(images):
    image = keras.layers.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 1)(image), name="elastic")

    with pytest.raises(ModelError, match="no fixed size"):
        convert(model, calibration=images)


def test_several_outputs_are_named_with_how_to_keep_one(images):
    image = keras.layers.Input((8, 8, 3))
    maps = [keras.layers.Conv2D(classes, 1, name=f"map{classes}")(image) for classes in (2, 5)]

    with pytest.raises(ModelError, match="2 outputs") as caught:
        convert(keras.Model(image, maps), calibration=images)
    assert "model.outputs[NUMBER]" in caught.value.hint
    assert "0: `map2` 8×8×2, 1: `map5` 8×8×5" in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"number_format": "int4"}, "int4"),
        ({"head": "probabilities"}, "probabilities"),
        ({"calibration": []}, "calibration"),
    ],
)
def test_wrong_arguments_are_named(model, images, arguments, message):
    with pytest.raises(ConfigError, match=message):
        convert(model, **{"calibration": images, **arguments})


def test_a_model_without_a_last_upsampling_has_no_low_head(images):
    image = keras.layers.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 1)(image), name="plain")

    with pytest.raises(ConfigError, match="logits-low"):
        convert(model, head="logits-low", calibration=images)


SOFTMAXES = {
    "layer": lambda x: keras.layers.Softmax(name="end")(keras.layers.Conv2D(3, 1)(x)),
    "activation": lambda x: keras.layers.Activation("softmax", name="end")(keras.layers.Conv2D(3, 1)(x)),
    "of the last layer": lambda x: keras.layers.Conv2D(3, 1, activation="softmax", name="end")(x),
}


@pytest.mark.parametrize("end", SOFTMAXES)
def test_a_softmax_before_the_classes_is_left_out(end, images, tmp_path):
    keras.utils.set_random_seed(0)
    image = keras.layers.Input(images[0].shape, name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, SOFTMAXES[end](x))
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(model, head="classes", calibration=images))
    assert "SOFTMAX" not in {op.name for op in parse_model(path.read_bytes(), name="model").ops}
    assert proof.prove(path).partitions == 1
    agreement = TFLiteRunner(path).classes(images[0]) == np.argmax(model(images[0][None])[0], axis=-1)
    assert agreement.mean() > 0.95
