"""Whichever runtime a board has, a file is read alike."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import tflite

from rsseg_tf.tflite import flatbuffer, metadata, runtime
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.tflite.networks import METADATA, products_model, scratchless_model, tiny_model


def _comparable(attributes: dict) -> dict:
    """Without what newer schemas have beside, and with LiteRT's arrays as lists."""
    return {name: list(value) if hasattr(value, "__len__") else value for name, value in attributes.items()}


@pytest.mark.parametrize(
    "content", [tiny_model("int8"), tiny_model("float32", "classes"), scratchless_model("int8"), products_model()]
)
def test_the_other_schema_gives_the_same_graph(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = parse_model(content, name="litert")
    monkeypatch.setattr(flatbuffer, "schema", tflite)
    read = parse_model(content, name="tflite")

    assert (read.op_counts, read.macs, read.params) == (expected.op_counts, expected.macs, expected.params)
    for op, wanted in zip(read.ops, expected.ops, strict=True):
        common = op.attributes.keys() & wanted.attributes.keys()
        assert len(common) == len(op.attributes)
        assert _comparable(op.attributes) == {name: _comparable(wanted.attributes)[name] for name in common}


def test_the_other_schema_writes_and_reads_the_same_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = metadata.embed_metadata(tiny_model("int8"), METADATA)
    monkeypatch.setattr(metadata, "schema", tflite)
    assert metadata.embed_metadata(tiny_model("int8"), METADATA) == sealed
    assert metadata.read_metadata(sealed) == METADATA
    assert metadata.verify_seal(sealed)


def test_the_first_runtime_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    older = ModuleType("older_runtime")
    monkeypatch.setitem(sys.modules, "older_runtime", older)
    assert runtime.first_installed(["no_such_runtime.interpreter", "older_runtime"]) is older
    with pytest.raises(ModuleNotFoundError, match="no_such_runtime"):
        runtime.first_installed(["no_such_runtime.interpreter", "nor_this"])
