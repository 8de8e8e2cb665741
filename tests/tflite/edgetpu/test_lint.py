"""The Edge TPU lint of whole files: what maps, in which order, and how it is told."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.errors import CheckFailedError
from rsseg_tf.tflite.edgetpu.lint import format_report, lint, require_mapped
from rsseg_tf.tflite.edgetpu.rules import CACHE_BYTES
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.graph import TFLiteModel
from tests.tflite.graphs import PIXELS, chain, operator, tensor
from tests.tflite.networks import converted, tiny_model

GOLDEN = Path(__file__).parents[2] / "golden" / "deeplab_edgetpu.txt"


def network(build: Callable[[Any, Any], Any], *, kind: str = "int8", shape: tuple[int, ...] = (8, 8, 8)) -> TFLiteModel:
    """What the converter makes of the layers that `build` puts on an input."""
    import keras

    keras.utils.set_random_seed(0)
    pixels = keras.Input(shape, batch_size=1)
    return parse_model(converted(keras.Model(pixels, build(keras.layers, pixels)), kind=kind), name="network")


def unmapped(model: TFLiteModel) -> dict[str, str]:
    """Operator → reason, of what does not map."""
    return {finding.type: finding.reason for finding in lint(model).findings if finding.severity == "cpu"}


def test_everything_after_the_first_unmapped_operator_counts_as_cpu() -> None:
    report = lint(chain("CONV_2D", "RELU", "LEAKY_RELU", "CONV_2D", "CONV_2D", "CONV_2D"))
    assert (report.ops_mapped, report.ops_total) == (2, 6)
    assert report.mac_share == 0.25
    assert [finding.op for finding in report.findings] == [2]


@given(st.lists(st.sampled_from(["CONV_2D", "RELU", "LEAKY_RELU"]), min_size=1, max_size=8))
def test_the_mapped_operators_are_those_before_the_first_unmapped(names: list[str]) -> None:
    report = lint(chain(*names))
    before = names[: names.index("LEAKY_RELU")] if "LEAKY_RELU" in names else names
    assert report.ops_mapped == len(before)
    assert report.maps_fully == ("LEAKY_RELU" not in names)
    if "CONV_2D" in names:
        assert report.mac_share == before.count("CONV_2D") / names.count("CONV_2D")
    assert 0 <= report.mac_share_at_worst <= report.mac_share <= 1


def test_an_operator_at_risk_counts_only_at_worst() -> None:
    model = chain("CONV_2D", "PAD", "ADD", "CONV_2D")
    report = lint(model)
    assert (report.mac_share, report.mac_share_at_worst) == (1.0, 0.5)
    assert [(finding.severity, finding.source) for finding in report.findings] == [("risk", "google-coral/edgetpu#690")]


def test_quantizing_a_float_input_stays_in_front_and_ends_nothing() -> None:
    model = network(lambda layers, x: layers.Conv2D(4, 1)(x), kind="int8")
    assert lint(model).maps_fully
    floats = dataclasses.replace(model.inputs[0], dtype="float32")
    first = dataclasses.replace(model.ops[0], inputs=(floats,))
    report = lint(dataclasses.replace(model, ops=(first, *model.ops[1:]), inputs=(floats,)))
    assert first.name == "QUANTIZE"
    assert (report.ops_mapped, report.mac_share, report.maps_fully) == (report.ops_total - 1, 1.0, False)


def test_weights_beyond_the_chip_are_streamed() -> None:
    kernel = tensor((2048, 1, 1, 5000), data=1)
    report = lint(operator("CONV_2D", tensor((1, 1, 1, 5000)), kernel, out=tensor((1, 1, 1, 2048))))
    assert (report.weight_bytes, report.cache_bytes) == (2048 * 5000, CACHE_BYTES)
    assert report.streamed_bytes == 2048 * 5000 - CACHE_BYTES
    (finding,) = report.findings
    assert (finding.severity, finding.op) == ("note", None)
    assert report.maps_fully


def test_a_weight_that_two_operators_share_is_counted_once() -> None:
    model = chain("CONV_2D", "CONV_2D")
    kernel = model.ops[0].inputs[1]
    again = dataclasses.replace(model.ops[1], inputs=(model.ops[1].inputs[0], kernel))
    assert lint(dataclasses.replace(model, ops=(model.ops[0], again))).weight_bytes == kernel.nbytes


@pytest.mark.parametrize(
    ("build", "operator_name", "words"),
    [
        (lambda layers, x: layers.LeakyReLU()(x), "LEAKY_RELU", "no such operator"),
        (lambda layers, x: layers.Softmax()(x), "SOFTMAX", "runs on 8×8×8"),
        (lambda layers, x: layers.Activation("gelu")(x), "GELU", "no such operator"),
        (lambda _layers, x: x[:, ::2, ::2], "STRIDED_SLICE", "every second"),
        (lambda layers, x: layers.UpSampling2D(64, interpolation="bilinear")(x), "RESIZE_BILINEAR", "512×512×8"),
        (lambda layers, x: layers.ReLU()(layers.MaxPooling2D()(x)), "MAX_POOL_2D", "RELU is fused"),
    ],
    ids=["leaky ReLU", "softmax", "GELU", "strided slice", "resize", "activation after a pooling"],
)
def test_layers_that_the_converter_turns_into_what_does_not_map(
    build: Callable[[Any, Any], Any], operator_name: str, words: str
) -> None:
    assert words in unmapped(network(build))[operator_name]


def test_a_float_file_maps_nothing_and_says_what_to_do() -> None:
    report = lint(parse_model(tiny_model("float32"), name="float32"))
    assert (report.ops_mapped, report.mac_share, report.weight_bytes) == (0, 0.0, 0)
    assert all("float32" in finding.reason and "int8" in finding.fix for finding in report.findings)


def test_the_last_enlargement_is_left_to_the_host() -> None:
    last = lint(network(lambda layers, x: layers.UpSampling2D(64, interpolation="bilinear")(x)))
    inner = lint(
        network(
            lambda layers, x: layers.ReLU()(layers.Conv2D(2, 1)(layers.UpSampling2D(64, interpolation="bilinear")(x)))
        )
    )
    assert "--for edgetpu" in last.findings[0].fix
    assert "data.input_size" in inner.findings[0].fix


def test_the_largest_logit_is_left_to_the_host() -> None:
    report = lint(parse_model(tiny_model(head="classes"), name="classes"))
    assert [finding.type for finding in report.findings if finding.severity == "cpu"] == ["ARG_MAX", "CAST"]
    assert "logits-low" in report.findings[-1].fix
    assert report.mac_share == 1.0


def test_a_batch_that_is_left_open_is_found() -> None:
    import keras
    import tensorflow as tf

    pixels = keras.Input((8, 8, 3))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(pixels, keras.layers.ReLU()(pixels)))
    model = parse_model(converter.convert(), name="open")
    assert model.inputs[0].open_axes == (0,)
    assert any("left open" in finding.reason for finding in lint(model).findings)


def test_findings_name_the_last_of_the_joined_scopes() -> None:
    assert lint(operator("GELU", PIXELS, out=PIXELS)).findings[0].layer == "scope/t1"


def test_findings_name_the_keras_layer_where_the_layers_are_known() -> None:
    report = lint(operator("GELU", PIXELS, out=PIXELS), layer_names=("other", "scope"))
    assert report.findings[0].layer == "scope"


def test_the_record_is_json_with_stable_keys() -> None:
    record = json.loads(json.dumps(lint(chain("CONV_2D", "GELU")).record(), allow_nan=False))
    assert list(record) == [
        *("maps_fully", "ops_mapped", "ops_total", "mac_share", "mac_share_at_worst", "weight_bytes", "cache_bytes"),
        *("streamed_bytes", "findings"),
    ]
    assert list(record["findings"][0]) == ["severity", "op", "type", "layer", "reason", "fix", "source"]


def test_the_text_says_the_same_of_many_operators_once() -> None:
    text = format_report(lint(chain(*["GELU"] * 5)).record())
    assert text.count("no such operator") == 1
    assert "t1, t2, t3 and 2 more" in text


def test_a_file_that_does_not_map_fails_the_check_and_names_the_layer(tmp_path: Path) -> None:
    path = tmp_path / "classes.tflite"
    path.write_bytes(tiny_model(head="classes"))
    with pytest.raises(CheckFailedError, match="ARG_MAX") as caught:
        require_mapped(path, out=Path("final.tflite"))
    assert caught.value.exit_code == 3
    assert "final.tflite" in caught.value.message


def test_our_network_as_golden_text() -> None:
    import keras

    from rsseg_tf.models.deeplab import deeplab_v3_plus
    from rsseg_tf.quantization.convert import convert

    keras.utils.set_random_seed(0)
    network = deeplab_v3_plus("resnet18", 4, (64, 64, 3), image_pooling=True)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = convert(network, head="logits-low", calibration=[image])
    text = format_report(lint(parse_model(content, name="deeplab")).record())
    assert text + "\n" == GOLDEN.read_text(encoding="utf-8")
