"""Our int8 files on TFLite Micro: the bytes of the reference kernels, in the memory that is planned for them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from rsseg_tf.tflite.arena import MICRO, arena_bytes
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.tflite.networks import frame, scratchless_model, tiny_model

runtime = pytest.importorskip(
    "tflite_micro.python.tflite_micro.runtime",
    reason="tflite-micro is not installed: it has wheels for Linux on x86-64",
)

ROOM = 4_000_000
FILES = {
    "logits": lambda: tiny_model(),
    "logits-low": lambda: tiny_model(head="logits-low"),
    "branching": lambda: scratchless_model("int8"),
}


@pytest.fixture(params=list(FILES))
def content(request: pytest.FixtureRequest) -> bytes:
    return FILES[request.param]()


def micro(content: bytes) -> Any:
    return runtime.Interpreter.from_bytes(content, arena_size=ROOM)


def test_the_arena_is_as_large_as_micro_s_own(content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    native = micro(content)
    capfd.readouterr()
    native.print_allocations()
    own = re.search(r"Arena allocation head (\d+) bytes", capfd.readouterr().err)
    assert own is not None
    assert int(own[1]) == arena_bytes(parse_model(content, name="tiny"), MICRO)


def test_outputs_are_those_of_the_reference_kernels(content: bytes) -> None:
    native = Interpreter(model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    native.allocate_tensors()
    native.set_tensor(native.get_input_details()[0]["index"], frame()[None])
    native.invoke()
    ours = micro(content)
    ours.set_input(frame()[None], 0)
    ours.invoke()
    np.testing.assert_array_equal(ours.get_output(0), native.get_tensor(native.get_output_details()[0]["index"]))
