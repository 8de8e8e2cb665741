from __future__ import annotations

import dataclasses
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsseg_tf.errors import ModelError
from rsseg_tf.tflite.arena import arena_bytes
from rsseg_tf.tflite.flatbuffer import Op, TFLiteModel, parse_model, read_model
from rsseg_tf.tflite.runtime import schema
from tests.tflite.graphs import tensor
from tests.tflite.networks import CLASSES, SIZE, products_model, tiny_model

HALF = SIZE // 2
MACS = {
    "CONV_2D": [HALF * HALF * 8 * 3 * 3 * 3, HALF * HALF * CLASSES * 8],
    "DEPTHWISE_CONV_2D": [HALF * HALF * 8 * 3 * 3],
}


def ops_named(model: TFLiteModel, name: str) -> list[Op]:
    return [op for op in model.ops if op.name == name]


@pytest.fixture
def int8() -> TFLiteModel:
    return parse_model(tiny_model("int8"), name="int8")


@pytest.mark.parametrize("kind", ["int8", "float32"])
@pytest.mark.parametrize("name", list(MACS))
def test_macs_of_convolutions_are_those_counted_by_hand(kind: str, name: str) -> None:
    model = parse_model(tiny_model(kind), name=kind)
    assert [op.macs for op in ops_named(model, name)] == MACS[name]


def test_macs_of_the_graph_are_those_of_its_operators(int8: TFLiteModel) -> None:
    assert int8.macs == sum(sum(counts) for counts in MACS.values())


def test_macs_of_transposed_convolution_and_dense_layer_are_those_counted_by_hand() -> None:
    model = parse_model(products_model(), name="products")
    assert [op.macs for op in ops_named(model, "TRANSPOSE_CONV")] == [8 * 8 * 3 * 5 * 3 * 3]
    assert [op.macs for op in ops_named(model, "FULLY_CONNECTED")] == [16 * 16 * 5 * 7]


def test_operators_are_counted_by_name(int8: TFLiteModel) -> None:
    assert int8.op_counts["CONV_2D"] == 2
    assert int8.op_counts["RESIZE_BILINEAR"] == 1
    assert sum(int8.op_counts.values()) == len(int8.ops)


def test_attributes_have_names_and_words(int8: TFLiteModel) -> None:
    first = ops_named(int8, "CONV_2D")[0].attributes
    assert (first["stride_h"], first["stride_w"]) == (2, 2)
    assert first["padding"] == "SAME"
    assert first["fused_activation_function"] == "RELU"
    dilated = ops_named(int8, "DEPTHWISE_CONV_2D")[0].attributes
    assert (dilated["dilation_h_factor"], dilated["dilation_w_factor"]) == (2, 2)


def test_an_int8_graph_has_no_float_operators(int8: TFLiteModel) -> None:
    assert int8.float_ops == ()


def test_every_operator_of_a_float_graph_is_one() -> None:
    model = parse_model(tiny_model("float32"), name="float32")
    assert model.float_ops == model.ops


def test_the_calibrated_input_needs_no_arithmetic(int8: TFLiteModel) -> None:
    (pixels,) = int8.inputs
    assert (pixels.dtype, pixels.shape) == ("uint8", (1, SIZE, SIZE, 3))
    assert pixels.scales.tolist() == [1.0]
    assert pixels.zero_points.tolist() == [0]


def test_convolution_weights_have_a_scale_a_channel(int8: TFLiteModel) -> None:
    weights = ops_named(int8, "CONV_2D")[0].inputs[1]
    assert weights is not None
    assert weights.scales.shape == (8,)
    assert weights.axis == 0
    assert weights.values().shape == (8, 3, 3, 3)
    assert weights.values().dtype == np.int8


def test_learned_numbers_are_weights_and_not_shapes(int8: TFLiteModel) -> None:
    kernels = 8 * 3 * 3 * 3 + 3 * 3 * 8 + 8 * CLASSES
    biases = 8 + 8 + CLASSES
    rescaling = 2
    assert int8.params == kernels + biases + rescaling
    assert int8.weight_bytes == kernels + 4 * biases + rescaling


def test_computed_tensors_have_no_values(int8: TFLiteModel) -> None:
    with pytest.raises(ModelError, match="is computed"):
        int8.inputs[0].values()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing\.tflite"):
        read_model(tmp_path / "missing.tflite")


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "picture.tflite"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(ModelError, match=r"picture\.tflite. is not a TFLite model"):
        read_model(path)


@given(st.integers(0, len(tiny_model()) - 16))
def test_a_truncated_file_is_an_error(length: int) -> None:
    with pytest.raises(ModelError, match="cut"):
        parse_model(tiny_model()[:length], name="cut")


@settings(max_examples=300)
@given(st.integers(0, len(tiny_model()) - 1), st.integers(0, 7))
def test_a_flipped_bit_gives_a_graph_or_an_error(place: int, bit: int) -> None:
    damaged = bytearray(tiny_model())
    damaged[place] ^= 1 << bit
    assert _parsed_or_refused(bytes(damaged)) in ("a graph", "an error")


@given(st.binary(max_size=400))
def test_noise_behind_a_right_identifier_is_an_error(noise: bytes) -> None:
    with pytest.raises(ModelError):
        parse_model(noise[:4].ljust(4, b"\1") + b"TFL3" + noise[4:], name="noise")


def _parsed_or_refused(content: bytes) -> str:
    try:
        model = parse_model(content, name="damaged")
    except ModelError:
        return "an error"
    return "a graph" if min(model.macs, model.params, model.weight_bytes, arena_bytes(model)) >= 0 else "nonsense"


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_an_operator_that_reads_or_gives_nothing_is_damage(side: str) -> None:
    whole = schema.ModelT.InitFromPackedBuf(tiny_model("int8"), 0)
    setattr(whole.subgraphs[0].operators[-1], side, np.zeros(0, np.int32))
    builder = flatbuffers.Builder(1024)
    builder.Finish(whole.Pack(builder), file_identifier=b"TFL3")

    with pytest.raises(ModelError, match=f"RESIZE_BILINEAR has no {side}"):
        parse_model(bytes(builder.Output()), name="m")


def test_outputs_are_called_as_the_signature_has_them_and_in_its_order():
    first, second = (dataclasses.replace(tensor((1, 2, 2, 3)), index=number, name=f"t{number}") for number in (4, 7))
    model = TFLiteModel((), (), (), (second, first), {4: "output_0", 7: "output_1"})
    assert model.named_outputs == {"output_0": first, "output_1": second}
    assert list(model.named_outputs) == ["output_0", "output_1"]
    for unfit in ({}, {4: "output_0"}, {4: "same", 7: "same"}, {4: "a", 7: "b", 9: "c"}):
        assert dataclasses.replace(model, signature=unfit).named_outputs == {"t7": second, "t4": first}
