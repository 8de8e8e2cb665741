"""A piece with fewer channels computes what the whole piece does on those channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rsseg_tf.tflite.cutting import Piece, cut
from rsseg_tf.tflite.narrowing import channels, narrowed
from rsseg_tf.tflite.runtime import load_runtime
from tests.tflite.networks import products_model, scratchless_model, tiny_model, with_float16_weights


def _run(content: bytes, values: list[np.ndarray]) -> list[np.ndarray]:
    native: Any = load_runtime().Interpreter(model_content=content, num_threads=1)
    native.allocate_tensors()
    for detail, value in zip(native.get_input_details(), values, strict=True):
        native.set_tensor(detail["index"], value)
    native.invoke()
    return [native.get_tensor(detail["index"]) for detail in native.get_output_details()]


def _shapes(content: bytes) -> list[tuple[tuple[int, ...], Any]]:
    native: Any = load_runtime().Interpreter(model_content=content, num_threads=1)
    return [(tuple(detail["shape"]), detail["dtype"]) for detail in native.get_input_details()]


def _values(shapes: list[tuple[tuple[int, ...], Any]]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 100, shape).astype(dtype) for shape, dtype in shapes]


MODELS = {
    "int8": lambda: tiny_model("int8"),
    "float32": lambda: tiny_model("float32"),
    "branches": lambda: scratchless_model("int8"),
    "branches, float": lambda: scratchless_model("float32"),
}


def _pieces() -> list[tuple[str, Piece]]:
    return [(name, piece) for name, make in MODELS.items() for piece in cut(make(), name=name)]


def test_fewer_outputs_are_the_first_of_all_outputs() -> None:
    seen = set()
    for name, piece in _pieces():
        found = channels(piece)
        if found is None or found[1] < 2 or piece.op.name == "CONCATENATION":
            continue
        inputs, outputs = found
        part = narrowed(piece, inputs, outputs // 2)
        assert part is not None, (name, piece.op.name)
        whole = _values(_shapes(piece.content))
        fed = [value[..., : shape[-1]] for value, (shape, _) in zip(whole, _shapes(part.content), strict=True)]
        expected = _run(piece.content, whole)[0][..., : outputs // 2]
        np.testing.assert_allclose(_run(part.content, fed)[0], expected, rtol=1e-5, atol=1e-5)
        assert part.outputs == outputs // 2
        seen.add(piece.op.name)
    assert seen >= {"CONV_2D", "DEPTHWISE_CONV_2D", "RESIZE_BILINEAR", "ADD", "MAX_POOL_2D", "QUANTIZE"}


def test_fewer_inputs_are_as_if_the_others_were_zero() -> None:
    products = [piece for name, piece in _pieces() if piece.op.name == "CONV_2D" and "float" in name]
    assert products
    for piece in products:
        inputs, outputs = channels(piece) or (0, 0)
        part = narrowed(piece, inputs - 1, outputs)
        assert part is not None
        assert (part.inputs, part.outputs) == (inputs - 1, outputs)
        image = _values(_shapes(piece.content))[0]
        image[..., -1] = 0
        np.testing.assert_allclose(_run(part.content, [image[..., :-1]]), _run(piece.content, [image]), rtol=1e-5)


def test_a_concatenation_has_a_share_of_each() -> None:
    piece = next(piece for _, piece in _pieces() if piece.op.name == "CONCATENATION")
    widths = [shape[-1] for shape, _ in _shapes(piece.content)]
    part = narrowed(piece, sum(widths) // 2, sum(widths) // 2)
    assert part is not None
    assert [shape[-1] for shape, _ in _shapes(part.content)] == [width // 2 for width in widths]
    assert _run(part.content, _values(_shapes(part.content)))[0].shape[-1] == part.outputs == sum(widths) // 2


def test_weights_of_16_bits_are_narrowed_where_they_are_unpacked() -> None:
    piece = cut(with_float16_weights(), name="m")[0]
    inputs, outputs = channels(piece) or (0, 0)
    part = narrowed(piece, inputs, outputs - 1)
    assert part is not None
    values = _values(_shapes(piece.content))
    np.testing.assert_allclose(_run(part.content, values)[0], _run(piece.content, values)[0][..., :-1], rtol=1e-5)


def test_more_channels_than_there_are_cannot_be_had() -> None:
    piece = next(piece for _, piece in _pieces() if piece.op.name == "CONV_2D")
    inputs, outputs = channels(piece) or (0, 0)
    assert narrowed(piece, inputs, outputs + 1) is None


@pytest.mark.parametrize("name", ["TRANSPOSE_CONV", "RESHAPE"])
def test_what_is_not_known_is_left_alone(name: str) -> None:
    pieces = [piece for piece in cut(products_model(), name="m") if piece.op.name == name]
    assert all(channels(piece) is None and narrowed(piece, 1, 1) is None for piece in pieces)
