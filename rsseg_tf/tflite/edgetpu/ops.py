"""The table of operators that the Edge TPU compiler maps, each with its limits and who published them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rsseg_tf.tflite.edgetpu import rules
from rsseg_tf.tflite.edgetpu.rules import CORAL, CPU, ISSUE, Check, Limit
from rsseg_tf.tflite.graph import Op


@dataclass(frozen=True)
class Supported:
    """A row of the table.

    Attributes:
        limitation: what is published, empty where nothing is.
        source: where.
        checks: which tell whether an operator keeps to it.
        constants: which inputs must be in the file.
    """

    limitation: str = ""
    source: str = CORAL
    checks: tuple[Check, ...] = ()
    constants: tuple[int, ...] = ()


def limits_of(op: Op) -> list[Limit]:
    """Return the limits that `op` by itself runs into."""
    row = SUPPORTED.get(op.name)
    if row is None:
        fix = _ALTERNATIVES.get(op.name, "use operators of the table in docs/edgetpu.md")
        return [Limit(CPU, "the Edge TPU has no such operator", fix, CORAL)]
    general = [*rules.not_constant(op, row.constants), *(limit for check in _GENERAL for limit in check(op))]
    kept_out = [limit for limit in general if limit.severity == CPU]
    if kept_out:
        return kept_out
    return [*general, *(limit for check in row.checks for limit in check(op))]


_GENERAL: tuple[Check, ...] = (rules.eight_bits, rules.static_shapes, rules.fits_on_chip)

_ALTERNATIVES = {
    "ARG_MAX": "export the head `logits-low`: the host takes the largest",
    "CAST": "export the head `logits-low`: the host takes the largest",
    "DEPTH_TO_SPACE": "enlarge with a bilinear upsampling",
    "DEQUANTIZE": "export with export.type=int8, which leaves the output int8",
    "HARD_SWISH": "use ReLU or ReLU6",
    "LEAKY_RELU": "use ReLU, or PReLU(shared_axes=[1, 2])",
    "SPACE_TO_BATCH_ND": "export with export-tflite, which keeps the dilation inside the convolution",
    "BATCH_TO_SPACE_ND": "export with export-tflite, which keeps the dilation inside the convolution",
}
"""Operators that are not in the table → what to use in their place."""

_RESIZE = Supported(
    "Large outputs are left to the CPU, to avoid a loss of precision; no figure is published.",
    f"{CORAL}; {ISSUE}31, {ISSUE}63, {ISSUE}187, {ISSUE}377",
    (rules.small_resize, rules.pixel_centers),
    (1,),
)
_POOL = Supported("No fused activation.", checks=(rules.no_activation,))
_CONVOLUTION = Supported("The same dilation in both directions.", checks=(rules.equal_dilation,), constants=(1, 2))
_REDUCTION = Supported("Not along the batch.", checks=(rules.not_the_batch,), constants=(1,))

SUPPORTED: Mapping[str, Supported] = {
    "ADD": Supported("Directly after PAD it is reported to be left out.", f"{CORAL}; {ISSUE}690"),
    "AVERAGE_POOL_2D": _POOL,
    "CONCATENATION": Supported(
        "No fused activation; a constant only as zeros beside one other input. Large ones are reported to be refused.",
        f"{CORAL}; {ISSUE}309",
        (rules.no_activation, rules.zero_constants, rules.small_concatenation),
    ),
    "CONV_2D": _CONVOLUTION,
    "DEPTHWISE_CONV_2D": _CONVOLUTION,
    "EXPAND_DIMS": Supported(),
    "FULLY_CONNECTED": Supported(
        "Weights in the default format; an output of one dimension.",
        checks=(rules.default_weights, rules.one_dimensional),
        constants=(1, 2),
    ),
    "L2_NORMALIZATION": Supported(),
    "LOGISTIC": Supported(),
    "MAXIMUM": Supported(),
    "MAX_POOL_2D": _POOL,
    "MEAN": Supported(
        "Not along the batch; along the channels only where they are a multiple of 4.",
        checks=(rules.not_the_batch, rules.depth_of_four),
        constants=(1,),
    ),
    "MINIMUM": Supported(),
    "MUL": Supported(),
    "PACK": Supported("Not along the batch.", checks=(rules.not_the_batch,)),
    "PAD": Supported("Not the batch.", checks=(rules.unpadded_batch,), constants=(1,)),
    "PRELU": Supported("One slope a channel.", checks=(rules.flat_alpha,), constants=(1,)),
    "QUANTIZE": Supported(),
    "REDUCE_MAX": _REDUCTION,
    "REDUCE_MIN": _REDUCTION,
    "RELU": Supported(),
    "RELU6": Supported(),
    "RELU_N1_TO_1": Supported(),
    "RESHAPE": Supported(
        "Large ones may be left out; no figure is published.", f"{CORAL}; {ISSUE}512", (rules.large_reshape,)
    ),
    "RESIZE_BILINEAR": _RESIZE,
    "RESIZE_NEAREST_NEIGHBOR": _RESIZE,
    "RSQRT": Supported(),
    "SLICE": Supported(constants=(1, 2)),
    "SOFTMAX": Supported("One dimension of at most 16,000.", checks=(rules.short_softmax,)),
    "SPACE_TO_DEPTH": Supported(),
    "SPLIT": Supported("Not along the batch.", checks=(rules.not_the_batch,), constants=(0,)),
    "SQUARED_DIFFERENCE": Supported(),
    "SQUEEZE": Supported(),
    "STRIDED_SLICE": Supported(
        "All strides 1, no ellipsis, no new axis.", checks=(rules.plain_strides,), constants=(1, 2, 3)
    ),
    "SUB": Supported(),
    "SUM": _REDUCTION,
    "TANH": Supported(),
    "TRANSPOSE": Supported(constants=(1,)),
    "TRANSPOSE_CONV": Supported(
        "With strides above 1 it is reported to be left out.",
        f"{CORAL}; {ISSUE}509, {ISSUE}686",
        (rules.strided_transpose,),
        (0, 1),
    ),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Supported("Not the bidirectional one."),
}
"""Operator → what is published about it: the table of compiler 16."""
