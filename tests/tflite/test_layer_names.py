"""Every operator is named after the Keras layers that it came from."""

from __future__ import annotations

import keras
import pytest

from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.layer_names import OpTensors, layers_of_ops, op_tensors
from tests.tflite.networks import converted


def op(output: str, *inputs: str, constants: tuple[str, ...] = ()) -> OpTensors:
    return OpTensors(output, inputs, constants)


CHAIN = {"image": (), "conv": ("image",), "bn": ("conv",), "relu": ("bn",), "up": ("relu",)}
NAMES = dict.fromkeys(CHAIN, ())


def test_a_fused_operator_has_several_layers_in_their_order() -> None:
    fused = op("net_1/relu_1/Relu;net_1/bn_1/batchnorm/add_1;net_1/conv_1/convolution", "image")
    assert layers_of_ops([fused], NAMES) == (("conv", "bn", "relu"),)


def test_scopes_that_were_counted_up_are_not_taken_for_the_next_layer() -> None:
    layers = {"conv2d": (), "conv2d_1": (), "conv2d_2": ()}
    ops = [op(f"net_1/{scope}/convolution") for scope in ("conv2d_1", "conv2d_1_2", "conv2d_2_1")]
    assert layers_of_ops(ops, layers) == (("conv2d",), ("conv2d_1",), ("conv2d_2",))


def test_scopes_that_were_not_counted_up_are_the_layers() -> None:
    layers = {"conv2d": (), "conv2d_1": (), "conv2d_2": ()}
    assert layers_of_ops([op(f"net/{name}/Conv2D") for name in layers], layers) == (
        ("conv2d",),
        ("conv2d_1",),
        ("conv2d_2",),
    )


def test_an_operation_within_a_layer_is_not_the_layer_of_that_name() -> None:
    layers = {"conv": (), "bn": (), "add": (), "resize": ()}
    ops = [op("net_1/bn_1/batchnorm/add_1;net_1/conv_1/convolution"), op("net_1/up/resize/ResizeBilinear")]
    assert layers_of_ops(ops, layers)[0] == ("conv", "bn")


def test_a_nameless_operator_is_known_by_constants_that_only_it_has() -> None:
    ops = [
        op("net_1/conv_1/convolution", "image"),
        op("Identity", "net_1/conv_1/convolution", constants=("net_1/up_1/resize/size",)),
    ]
    assert layers_of_ops(ops, NAMES)[1] == ("up",)


def test_a_constant_that_is_shared_does_not_name_its_second_reader() -> None:
    layers = {"first": (), "second": ("first",)}
    shared = ("net_1/first_1/resize/size",)
    ops = [op("net_1/first_1/ResizeBilinear", "image", constants=shared)]
    ops.append(op("Identity", ops[0].output, constants=shared))
    assert layers_of_ops(ops, layers) == (("first",), ("second",))


def test_the_nameless_output_is_the_models_last_layer() -> None:
    layers = {"image": (), "left": ("image",), "right": ("image",), "norm": ("right",), "join": ("left", "norm")}
    left, right = op("net_1/left_1/convolution", "image"), op("net_1/right_1/convolution", "image")
    ops = [left, right, op("Identity", left.output, right.output)]
    assert layers_of_ops(ops, layers) == (("left",), ("right", "norm"), ("join",))


def test_a_layer_that_left_no_name_was_folded_into_the_one_before() -> None:
    ops = [op("net_1/relu_1/Relu;net_1/conv_1/convolution", "image")]
    assert layers_of_ops(ops, CHAIN) == (("conv", "bn", "relu"),)


def test_the_converters_own_operators_count_to_what_they_read() -> None:
    conv = op("net_1/relu_1/Relu;net_1/conv_1/convolution", "tfl.quantize", constants=("tfl.dequantize",))
    ops = [op("tfl.quantize", "image"), conv, op("ArgMax", conv.output), op("Identity", "ArgMax")]
    assert layers_of_ops(ops, NAMES) == (("image",), ("conv", "relu"), ("relu",), ("relu",))


def test_operators_that_prepare_constants_count_to_their_readers() -> None:
    ops = [
        op("tfl.dequantize", constants=("arith.constant",)),
        op("net_1/conv_1/convolution", "image", "tfl.dequantize"),
    ]
    assert layers_of_ops(ops, NAMES) == (("conv",), ("conv",))


def test_what_nothing_tells_is_empty() -> None:
    assert layers_of_ops([op("StatefulPartitionedCall", "serving_default")], NAMES) == ((),)


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_a_converted_network_of_default_names_is_named_right(kind: str) -> None:
    keras.backend.clear_session()
    layers = keras.layers
    x = inputs = keras.Input((8, 8, 3), batch_size=1, name="image")
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x)))
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x))
    shared = layers.Conv2D(4, 1, activation="relu")
    x = shared(shared(layers.ReLU()(layers.Add()([x, y]))))
    x = layers.GlobalAveragePooling2D()(layers.Concatenate()([x, y]))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Dense(5)(x)))
    reads = {
        "image": (),
        "conv2d": ("image",),
        "batch_normalization": ("conv2d",),
        "re_lu": ("batch_normalization",),
        "conv2d_1": ("re_lu",),
        "batch_normalization_1": ("conv2d_1",),
        "add": ("re_lu", "batch_normalization_1"),
        "re_lu_1": ("add",),
        "conv2d_2": ("re_lu_1", "conv2d_2"),
        "concatenate": ("conv2d_2", "batch_normalization_1"),
        "global_average_pooling2d": ("concatenate",),
        "dense_1": ("global_average_pooling2d",),
        "dense": ("dense_1",),
    }
    assert set(reads) == {layer.name for layer in model.layers}
    graph = parse_model(converted(model, kind=kind), name=kind)
    found = layers_of_ops(op_tensors(graph), reads)
    named = [(each.name, *names) for each, names in zip(graph.ops, found, strict=True)]
    assert named[kind == "int8" :] == [
        ("CONV_2D", "conv2d", "batch_normalization", "re_lu"),
        ("CONV_2D", "conv2d_1", "batch_normalization_1"),
        ("ADD", "add", "re_lu_1"),
        ("CONV_2D", "conv2d_2"),
        ("CONV_2D", "conv2d_2"),
        ("CONCATENATION", "concatenate"),
        ("MEAN", "global_average_pooling2d"),
        ("FULLY_CONNECTED", "dense_1"),
        ("FULLY_CONNECTED", "dense"),
        ("SOFTMAX", "dense"),
    ]
