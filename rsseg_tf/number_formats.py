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
        must_hold: types that must be among those of its activations and weights; a file without is of another format.
        weight_bytes: of one weight.
        smallest_kernel: elements from which on the kernel of a layer has the type that the format gives it; a network
            whose kernels are all smaller may lack what `must_hold` names.
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
    must_hold: frozenset[str]
    weight_bytes: int
    smallest_kernel: int = 1
    heads: tuple[Head, ...] = HEADS
    calibration: tuple[CalibrationMethod, ...] = ()
    one_partition: bool = False
    can_be_repaired: bool = False
    trained_from: FormatName | None = None

    @property
    def is_int8(self) -> bool:
        """Whether it computes on 8-bit integers, as an Edge TPU does; what a CPU has in float alone may stay float."""
        return self.activations <= {"uint8", "int8"}

    @property
    def is_quantized(self) -> bool:
        """Whether its weights have 8 bits, as the paper's quantized models have."""
        return self.weight_bytes == 1


_INT8 = NumberFormat(
    "8-bit integers, but for what a CPU has in float alone",
    activations=frozenset({"uint8", "int8"}),
    weights=frozenset({"int8", "int32"}),
    must_hold=frozenset({"int8"}),
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
        must_hold=frozenset({"int8", "int16"}),
        weight_bytes=1,
        heads=("logits", "logits-low"),  # TFLite has no ARG_MAX on int16
        calibration=("min-max",),  # 65,536 steps are fine enough for the whole range
    ),
    "float32": NumberFormat(
        "32-bit floats",
        activations=_FLOAT,
        weights=frozenset({"float32"}),
        must_hold=frozenset({"float32"}),
        weight_bytes=4,
    ),
    "float16": NumberFormat(
        "16-bit weights, computed in 32-bit floats",
        activations=_FLOAT,
        weights=frozenset({"float16"}),
        must_hold=frozenset({"float16"}),
        weight_bytes=2,
    ),
    "dynamic": NumberFormat(
        "8-bit weights where a kernel has 1024 or more, float activations",
        activations=_FLOAT,
        weights=frozenset({"int8", "float32"}),
        must_hold=frozenset({"int8"}),
        weight_bytes=1,
        smallest_kernel=1024,  # TFLite leaves smaller ones float
    ),
}
"""Name, as in `export.type` → what is known of it."""

RECOVERY: Mapping[str, str] = {known.trained_from: name for name, known in FORMATS.items() if known.trained_from}
"""Number format → the one that the same file has after quantization-aware training."""

ACCELERATORS = (
    *(f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)),
    *(f"ethos-u65-{macs}" for macs in (256, 512)),
    *(f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)),
)
"""Arm's NPUs as their compiler Vela calls them; the number is that of 8-bit multiply-accumulates a cycle."""
