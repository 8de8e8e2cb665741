"""One graph a limit of the Edge TPU, and its neighbor that keeps to it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.tflite.edgetpu.lint import lint
from rsseg_tf.tflite.edgetpu.ops import SUPPORTED
from rsseg_tf.tflite.graph import TFLiteModel
from tests.tflite.graphs import KERNEL, PIXELS, from_pixels, numbers, operator, tensor

PAGE = Path(__file__).parents[3] / "docs" / "edgetpu.md"
MAP = (1, 8, 8, 8)


def reasons(model: TFLiteModel, severity: str) -> list[str]:
    return [finding.reason for finding in lint(model).findings if finding.severity == severity]


NOT_MAPPED = {
    "floats": (operator("ADD", PIXELS, PIXELS, out=tensor(MAP, dtype="float32")), "works on float32"),
    "16 bits": (operator("RELU", tensor(MAP, dtype="int16"), out=PIXELS), "works on int16"),
    "float weights": (
        operator("CONV_2D", PIXELS, tensor((8, 3, 3, 8), dtype="float16", data=1), out=PIXELS),
        "float16",
    ),
    "not in the table": (from_pixels("LEAKY_RELU", *MAP), "no such operator"),
    "a custom operator": (from_pixels("TFLite_Detection_PostProcess", *MAP), "no such operator"),
    "a batch": (operator("RELU", tensor((2, 8, 8, 8)), out=tensor((2, 8, 8, 8))), "batch of 2"),
    "four dimensions": (from_pixels("RESHAPE", 1, 2, 4, 8, 8), "three inner dimensions"),
    "an open size": (operator("RELU", dataclasses.replace(PIXELS, open_axes=(1, 2)), out=PIXELS), "left open"),
    "a computed kernel": (operator("CONV_2D", PIXELS, tensor((8, 3, 3, 8)), out=PIXELS), "is computed"),
    "computed axes": (operator("MEAN", PIXELS, tensor((1,)), out=tensor((1, 8))), "is computed"),
    "unequal dilation": (
        operator("DEPTHWISE_CONV_2D", PIXELS, KERNEL, out=PIXELS, dilation_h_factor=1, dilation_w_factor=2),
        "dilates 1 times down and 2 times across",
    ),
    "a fused activation": (from_pixels("AVERAGE_POOL_2D", 1, 4, 4, 8, fused_activation_function="RELU"), "RELU"),
    "a constant that is joined": (
        operator("CONCATENATION", PIXELS, tensor(MAP, data=3), out=tensor((1, 8, 8, 16))),
        "constant is joined",
    ),
    "zeros joined with two others": (
        operator("CONCATENATION", PIXELS, PIXELS, tensor(MAP, data=0), out=tensor((1, 8, 8, 24))),
        "constant is joined",
    ),
    "a dense layer on a map": (
        operator("FULLY_CONNECTED", PIXELS, tensor((4, 8), data=1), out=tensor((1, 8, 8, 4))),
        "more than one dimension",
    ),
    "shuffled weights": (
        operator("FULLY_CONNECTED", tensor((1, 8)), tensor((4, 8), data=1), out=tensor((1, 4)), weights_format=1),
        "stored shuffled",
    ),
    "a softmax of every pixel": (from_pixels("SOFTMAX", *MAP), "runs on 8×8×8"),
    "a long softmax": (from_pixels("SOFTMAX", 1, 16_001), "runs on 16001"),
    "a mean over the batch": (operator("MEAN", PIXELS, numbers(0), out=PIXELS), "along the batch"),
    "a mean over three channels": (
        operator("MEAN", tensor((1, 8, 8, 3)), numbers(-1), out=tensor((1, 8, 8))),
        "averages 3 channels",
    ),
    "a maximum over the batch": (operator("REDUCE_MAX", PIXELS, numbers(-4), out=PIXELS), "along the batch"),
    "packing along the batch": (operator("PACK", PIXELS, out=tensor((1, 1, 8, 8, 8)), axis=0), "along the batch"),
    "splitting the batch": (operator("SPLIT", numbers(0), PIXELS, out=PIXELS), "along the batch"),
    "padding the batch": (
        operator("PAD", PIXELS, numbers([1, 0], [0, 0], [0, 0], [0, 0]), out=PIXELS),
        "pads the batch",
    ),
    "a strided slice": (
        operator("STRIDED_SLICE", PIXELS, numbers(0), numbers(8), numbers(1, 2, 2, 1), out=tensor((1, 4, 4, 8))),
        "every second",
    ),
    "a new axis": (
        operator("STRIDED_SLICE", PIXELS, numbers(0), numbers(8), numbers(1), out=PIXELS, new_axis_mask=1),
        "new_axis_mask",
    ),
    "a slope at every place": (operator("PRELU", PIXELS, tensor((8, 8, 8), data=1), out=PIXELS), "differ from place"),
    "a very large enlargement": (from_pixels("RESIZE_BILINEAR", 1, 512, 512, 32), "enlarges to 512×512×32"),
    "BiSeNet's last enlargement": (from_pixels("RESIZE_BILINEAR", 1, 256, 512, 19), "enlarges to 256×512×19"),
}
"""Limit → a graph that runs into it, and words of the reason."""

MAPPED = {
    "uint8 to int8": operator("QUANTIZE", tensor(MAP, dtype="uint8"), out=PIXELS),
    "leading ones": operator("RESHAPE", PIXELS, out=tensor((1, 1, 8, 8, 8))),
    "equal dilation": operator("CONV_2D", PIXELS, KERNEL, out=PIXELS, dilation_h_factor=18, dilation_w_factor=18),
    "an activation of a convolution": operator("CONV_2D", PIXELS, KERNEL, out=PIXELS, fused_activation_function="RELU"),
    "zeros joined with one other": operator(
        "CONCATENATION", PIXELS, tensor(MAP, data=0), out=tensor((1, 8, 8, 16)), fused_activation_function="NONE"
    ),
    "a dense layer": operator("FULLY_CONNECTED", tensor((1, 8)), tensor((4, 8), data=1), out=tensor((1, 4))),
    "a short softmax": from_pixels("SOFTMAX", 1, 16_000),
    "a global average": operator("MEAN", tensor((1, 8, 8, 3)), numbers(1, 2), out=tensor((1, 1, 1, 3))),
    "a mean over eight channels": operator("MEAN", PIXELS, numbers(-1), out=tensor((1, 8, 8))),
    "packing inside": operator("PACK", tensor((1, 8, 8)), out=tensor((1, 8, 8, 1)), axis=-1),
    "splitting channels": operator("SPLIT", numbers(3), PIXELS, out=tensor((1, 8, 8, 4))),
    "padding rows and columns": operator(
        "PAD", PIXELS, numbers([0, 0], [1, 1], [1, 1], [0, 0]), out=tensor((1, 10, 10, 8))
    ),
    "cropping": operator("STRIDED_SLICE", PIXELS, numbers(0), numbers(4), numbers(1), out=tensor((1, 4, 4, 8))),
    "a slope a channel": operator("PRELU", PIXELS, tensor((1, 1, 8), data=1), out=PIXELS),
    "an enlargement that is reported to map": from_pixels("RESIZE_BILINEAR", 1, 128, 128, 32),
}

AT_RISK = {
    "an enlargement of more pixels": (from_pixels("RESIZE_BILINEAR", 1, 256, 256, 5), "256×256×5"),
    "an enlargement of more channels": (from_pixels("RESIZE_NEAREST_NEIGHBOR", 1, 64, 64, 256), "64×64×256"),
    "a concatenation of refused size": (from_pixels("CONCATENATION", 1, 60, 152, 90), "60×152×90"),
    "a large reshape": (from_pixels("RESHAPE", 1, 48, 48, 255), "587,520"),
    "an enlarging transposed convolution": (
        operator("TRANSPOSE_CONV", numbers(1, 16, 16, 8), KERNEL, PIXELS, out=tensor((1, 16, 16, 8)), stride_h=2),
        "transposed",
    ),
    "more than fits on the chip": (
        operator("RELU", tensor((1, 512, 512, 32)), out=tensor((1, 512, 512, 32))),
        "16.8 MB",
    ),
}


@pytest.mark.parametrize("limit", NOT_MAPPED)
def test_a_limit_keeps_an_operator_from_the_edge_tpu(limit: str) -> None:
    model, words = NOT_MAPPED[limit]
    assert any(words in reason for reason in reasons(model, "cpu"))
    assert not lint(model).maps_fully


@pytest.mark.parametrize("case", MAPPED)
def test_what_keeps_to_the_limits_maps_without_a_word(case: str) -> None:
    report = lint(MAPPED[case])
    assert report.maps_fully
    assert report.findings == ()


@pytest.mark.parametrize("case", AT_RISK)
def test_a_size_from_a_report_is_a_risk(case: str) -> None:
    model, words = AT_RISK[case]
    (reason,) = reasons(model, "risk")
    assert words in reason
    assert lint(model).maps_fully


def test_half_pixel_centers_are_a_note() -> None:
    (reason,) = reasons(from_pixels("RESIZE_BILINEAR", 1, 16, 16, 8, half_pixel_centers=True), "note")
    assert "half_pixel_centers" in reason


@given(st.integers(1, 1024), st.integers(1, 1024), st.integers(1, 64), st.integers(1, 4))
def test_a_larger_enlargement_never_maps_better(height: int, width: int, channels: int, times: int) -> None:
    ranks = ["", "risk", "cpu"]

    def rank(*shape: int) -> int:
        found = [finding.severity for finding in lint(from_pixels("RESIZE_BILINEAR", 1, *shape)).findings]
        return max((ranks.index(severity) for severity in found), default=0)

    assert rank(height, width, channels) <= rank(times * height, times * width, channels)


def test_every_finding_says_what_to_do_and_who_says_so() -> None:
    cases = [*NOT_MAPPED.values(), *AT_RISK.values()]
    findings = [finding for model, _ in cases for finding in lint(model).findings]
    assert all(finding.fix and finding.source and finding.layer.startswith("scope/t") for finding in findings)


@pytest.mark.parametrize("name", SUPPORTED)
def test_the_page_has_every_row_of_the_table(name: str) -> None:
    row = SUPPORTED[name]
    assert f"| {name} | {row.limitation or '–'} | {row.source} |" in PAGE.read_text(encoding="utf-8")
