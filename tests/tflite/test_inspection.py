from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from rsseg_tf.errors import ModelError
from rsseg_tf.runs import file_hash
from rsseg_tf.tflite.flatbuffer import read_model
from rsseg_tf.tflite.inspection import format_inspection, inspect_tflite
from rsseg_tf.tflite.metadata import embed_metadata
from tests.tflite.networks import METADATA, products_model, tiny_model


def test_layers_add_up_to_the_file(models: Path) -> None:
    facts = inspect_tflite(models / "int8.tflite")
    for key in ("macs", "params"):
        assert sum(layer[key] for layer in facts["layers"]) == facts[key]
    assert sum(layer["bytes"] for layer in facts["layers"]) == facts["weight_bytes"]


def test_facts_are_those_of_the_flatbuffer_and_the_interpreter(models: Path) -> None:
    path = models / "sealed.tflite"
    facts, model = inspect_tflite(path), read_model(path)
    assert facts["ops"] == model.op_counts
    assert facts["partitions"] == 1
    assert facts["undelegated"] == ["QUANTIZE"]
    assert facts["float_ops"] == []
    assert facts["sha256"] == file_hash(path)
    assert facts["inputs"][0]["scale"] == 1.0


def test_facts_are_json(models: Path) -> None:
    facts = inspect_tflite(models / "sealed.tflite")
    read_back = json.loads(json.dumps(facts, allow_nan=False))
    assert read_back["metadata"]["class_names"] == list(METADATA.class_names)
    assert set(read_back["metadata"]) == {field.name for field in dataclasses.fields(METADATA)}


def test_float_operators_are_named(models: Path) -> None:
    facts = inspect_tflite(models / "float32.tflite")
    assert len(facts["float_ops"]) == len(facts["layers"])
    assert any("depthwise" in name for name in facts["float_ops"])


def test_operators_are_named_after_the_keras_layers_that_the_file_lists(tmp_path: Path) -> None:
    layers = ("pixels", "scaled", "stem", "depthwise", "classifier", "enlarged")
    path = tmp_path / "named.tflite"
    path.write_bytes(embed_metadata(tiny_model("int8"), dataclasses.replace(METADATA, layers=layers)))
    facts = inspect_tflite(path, edgetpu=True)
    named = {layer["type"]: layer["name"] for layer in facts["layers"]}
    assert named["DEPTHWISE_CONV_2D"] == "depthwise"
    assert named["RESIZE_BILINEAR"] == "enlarged"
    assert {finding["layer"] for finding in facts["edgetpu"]["findings"]} <= {*layers, "tfl.quantize", ""}


def test_networks_of_another_kind_can_be_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "products.tflite"
    path.write_bytes(products_model())
    assert inspect_tflite(path)["ops"]["TRANSPOSE_CONV"] == 1


def test_the_text_has_a_line_a_layer(models: Path) -> None:
    facts = inspect_tflite(models / "sealed.tflite")
    head, _, table = format_inspection(facts).partition("\n\n")
    assert len(table.splitlines()) == 1 + len(facts["layers"])
    assert "road, roof, tree, car" in head


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.tflite"):
        inspect_tflite(tmp_path / "none.tflite")
