"""The number formats of a TFLite file: one table with all that is to be known of each.

`export.type` takes its names, `rsseg_tf.quantization.convert.CONVERTERS` says how each is made, and everything else
that depends on a format (calibration, proof, recovery, targets, report, help) asks its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

FormatName = Literal["int8", "int8-qat", "int16x8", "float32", "float16", "dynamic"]
Head = Literal["logits", "logits-low", "classes"]
CalibrationMethod = Literal["min-max", "percentile", "moving-average", "mse"]

HEADS: tuple[Head, ...] = get_args(Head)
"""Full-size logits; the logits before the last upsampling; the class map, uint8."""

_FLOAT = frozenset({"float32", "uint8"})


@dataclass(frozen=True)
class NumberFormat:
    """What is known of a number format.

    Attributes:
        title: what it is, for people.
        activations: types that computed tensors may have, beside integers that count and point; uint8 are pixels and
            class maps.
        weights: types that learned constants may have; int32 and int64 are biases.
        weight_bytes: of one weight.
        heads: what its files can end in.
        calibration: methods that can choose the ranges of its activations; none if it needs no calibration images.
        one_partition: whether the delegate must run it in one piece; formats other than int8 promise numbers, not
            speed, and XNNPACK has no int16 kernels at all.
        can_be_repaired: whether its layers can be measured one by one, and the worst of them corrected or left float.
        trained_from: the format that it is after quantization-aware training; None if no training makes it.
    """

    title: str
    activations: frozenset[str]
    weights: frozenset[str]
    weight_bytes: int
    heads: tuple[Head, ...] = HEADS
    calibration: tuple[CalibrationMethod, ...] = ()
    one_partition: bool = False
    can_be_repaired: bool = False
    trained_from: FormatName | None = None

    @property
    def is_integer(self) -> bool:
        """Whether it computes on integers alone."""
        return "float32" not in self.activations

    @property
    def is_int8(self) -> bool:
        """Whether it computes on 8-bit integers alone, as an Edge TPU does."""
        return "int8" in self.activations


_INT8 = NumberFormat(
    "8-bit integers throughout",
    activations=frozenset({"uint8", "int8"}),
    weights=frozenset({"int8", "int32"}),
    weight_bytes=1,
    calibration=get_args(CalibrationMethod),
    one_partition=True,
    can_be_repaired=True,
)

FORMATS: Mapping[str, NumberFormat] = {
    "int8": _INT8,
    "int8-qat": replace(
        _INT8,
        title="int8 after quantization-aware training",
        calibration=("min-max",),
        can_be_repaired=False,
        trained_from="int8",
    ),
    "int16x8": NumberFormat(
        "16-bit activations, 8-bit weights",
        activations=frozenset({"uint8", "int16"}),
        weights=frozenset({"int8", "int16", "int32", "int64"}),
        weight_bytes=1,
        heads=("logits", "logits-low"),  # TFLite has no ARG_MAX on int16
        calibration=("min-max",),  # 65,536 steps are fine enough for the whole range
    ),
    "float32": NumberFormat("32-bit floats", activations=_FLOAT, weights=frozenset({"float32"}), weight_bytes=4),
    "float16": NumberFormat(
        "16-bit weights, computed in 32-bit floats", activations=_FLOAT, weights=frozenset({"float16"}), weight_bytes=2
    ),
    "dynamic": NumberFormat(
        "8-bit weights, float activations", activations=_FLOAT, weights=frozenset({"int8", "float32"}), weight_bytes=1
    ),
}
"""Name, as in `export.type` → what is known of it."""
