"""The pieces of a model, run one after the other, compute what the model computes."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsseg_tf.errors import ModelError
from rsseg_tf.tflite.cutting import Piece, cut
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.runtime import load_runtime
from tests.tflite.networks import products_model, scratchless_model, tiny_model, with_float16_weights

MODELS = {
    "int8": lambda: tiny_model("int8"),
    "float32": lambda: tiny_model("float32"),
    "classes": lambda: tiny_model("int8", "classes"),
    "branching int8": lambda: scratchless_model("int8"),
    "branching float32": lambda: scratchless_model("float32"),
    "products": products_model,
    "float16": lambda: with_float16_weights(),
}


def opened(content: bytes) -> Any:
    native = load_runtime().Interpreter(model_content=content, num_threads=1)
    native.allocate_tensors()
    return native


def address(array: np.ndarray) -> int:
    start: int = array.__array_interface__["data"][0]
    return start


def run(content: bytes, values: list[np.ndarray]) -> list[np.ndarray]:
    native = opened(content)
    for detail, value in zip(native.get_input_details(), values, strict=True):
        native.set_tensor(detail["index"], value)
    native.invoke()
    return [native.get_tensor(detail["index"]) for detail in native.get_output_details()]


def run_one_by_one(pieces: list[Piece], known: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    for piece in pieces:
        known.update(zip(piece.outputs, run(piece.content, [known[index] for index in piece.inputs]), strict=True))
    return known


@pytest.mark.parametrize("name", list(MODELS))
def test_pieces_in_sequence_compute_exactly_what_the_model_does(name: str) -> None:
    content = MODELS[name]()
    model = parse_model(content, name=name)
    rng = np.random.default_rng(0)
    (source,), (result,) = model.inputs, model.outputs
    frame = rng.integers(0, 256, source.shape).astype(source.dtype)

    computed = run_one_by_one(cut(content, name=name), {source.index: frame})

    (expected,) = run(content, [frame])
    assert expected.std() > 0
    np.testing.assert_array_equal(computed[result.index], expected)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_piece_holds_its_operator_as_it_is_in_the_model(name: str) -> None:
    for piece in cut(MODELS[name](), name=name):
        alone = parse_model(piece.content, name=name).ops[-1]
        assert (alone.name, alone.attributes, alone.macs) == (piece.op.name, piece.op.attributes, piece.op.macs)
        for before, after in zip(piece.op.inputs, alone.inputs, strict=True):
            if before is None or after is None:
                assert before is after, "an optional tensor that is left out"
                continue
            assert (before.name, before.shape, before.dtype) == (after.name, after.shape, after.dtype)
            np.testing.assert_array_equal(before.scales, after.scales)
            np.testing.assert_array_equal(before.zero_points, after.zero_points)
            assert before.axis == after.axis
            assert before.is_constant == after.is_constant
            if before.is_constant:
                np.testing.assert_array_equal(before.values(), after.values())


def test_every_operator_is_in_one_piece() -> None:
    content = tiny_model("int8")
    assert [piece.op.index for piece in cut(content, name="m")] == list(range(len(parse_model(content, name="m").ops)))


def test_operators_that_unpack_weights_go_with_the_operator_that_reads_them() -> None:
    pieces = cut(with_float16_weights(), name="m")
    assert [[op.name for op in parse_model(piece.content, name="m").ops] for piece in pieces] == [
        ["DEQUANTIZE", "DEQUANTIZE", "CONV_2D"],
        ["DEQUANTIZE", "DEQUANTIZE", "CONV_2D"],
    ]


def test_the_weights_of_a_piece_are_aligned() -> None:
    for piece in cut(tiny_model("int8"), name="m"):
        for tensor in parse_model(piece.content, name="m").tensors:
            if tensor.data is not None:
                assert (address(tensor.data) - address(np.frombuffer(piece.content, np.uint8))) % 16 == 0


def test_control_flow_is_refused_by_name() -> None:
    import tensorflow as tf

    def halved(x: Any) -> Any:
        return tf.while_loop(lambda y: tf.reduce_max(y) > 1, lambda y: (y / 2,), (x,))[0]

    function = tf.function(halved).get_concrete_function(tf.TensorSpec((1, 4), tf.float32))
    content = tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()
    with pytest.raises(ModelError, match="WHILE runs graphs of its own"):
        cut(content, name="m")


@settings(max_examples=100)
@given(st.integers(0, len(tiny_model()) - 1), st.integers(0, 7))
def test_a_flipped_bit_gives_pieces_or_an_error(place: int, bit: int) -> None:
    damaged = bytearray(tiny_model())
    damaged[place] ^= 1 << bit
    with contextlib.suppress(ModelError):
        assert all(piece.content[4:8] == b"TFL3" for piece in cut(bytes(damaged), name="damaged"))
