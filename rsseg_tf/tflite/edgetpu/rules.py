"""What keeps an operator from the Edge TPU: one generator a rule, each naming its source.

The compiler is a closed program. What is known of it is the table in Coral's page "TensorFlow models on the Edge
TPU" (as of compiler 16, runtime 14) and what its users and maintainers report at github.com/google-coral/edgetpu.
A limit from the table is taken for a fact, a size from a report for a risk.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from rsseg_tf.tflite.graph import Op, Tensor

CPU, RISK, NOTE = "cpu", "risk", "note"
CACHE_BYTES = 8 << 20
"""On-chip memory of an Edge TPU, most of which caches weights."""

CORAL = "coral.ai/docs/edgetpu/models-intro"
ISSUE = "google-coral/edgetpu#"
_DTYPES = ("int8", "uint8")
_MOST_SOFTMAX = 16_000
_MAPPED_RESIZE = (128, 128, 32)
_UNMAPPED_RESIZE = (512, 512, 32)
_UNMAPPED_RESIZE_PIXELS = 256 * 512
_REFUSED_CONCAT = (60, 152, 90)

SMALLER = "use a smaller data.input_size, or prune the layers around it"
"""What to do about an operator that is too large."""
_AXIS_INPUTS = {**dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), (1, 0)), "SPLIT": (0, 1)}


@dataclass(frozen=True)
class Limit:
    """Something about an operator that may keep it from the Edge TPU.

    Attributes:
        severity: `cpu` where it does not map, `risk` where reports say that it may not, `note` where it does and
            the result is worth a look.
        reason: what it is.
        fix: what to do about it.
        source: who says so.
    """

    severity: str
    reason: str
    fix: str
    source: str


Check: TypeAlias = Callable[[Op], Iterator[Limit]]


def eight_bits(op: Op) -> Iterator[Limit]:
    """Check that activations and weights are 8-bit integers, biases 32-bit."""
    found = {tensor.dtype for tensor in op.activations if tensor.dtype not in _DTYPES}
    found |= {tensor.dtype for tensor in op.inputs if tensor and tensor.is_weight} - {*_DTYPES, "int32"}
    if found:
        reason = f"it works on {', '.join(sorted(found))}, the Edge TPU on int8 and uint8 alone"
        yield Limit(CPU, reason, "export the model with export.type=int8", CORAL)


def static_shapes(op: Op) -> Iterator[Limit]:
    """Check that sizes are known, and only the three inner dimensions are above 1."""
    if any(tensor.open_axes for tensor in op.activations):
        yield Limit(CPU, "a size is left open", "export the model with a fixed size and batch 1", CORAL)
    for tensor in op.activations:
        if math.prod(tensor.shape[:-3]) > 1:
            what = f"it works on a batch of {tensor.shape[0]}" if len(tensor.shape) == 4 else f"{_size(tensor)} is"
            reason = f"{what}: more than the three inner dimensions are above 1"
            yield Limit(CPU, reason, "export the model with batch 1 and at most three dimensions", CORAL)
            return


def fits_on_chip(op: Op) -> Iterator[Limit]:
    """Check that what it reads and writes fits into the memory of the chip."""
    needed = sum(tensor.nbytes for tensor in op.activations)
    if needed > CACHE_BYTES:
        reason = f"its inputs and outputs take {needed / 1e6:.1f} MB, more than the {CACHE_BYTES >> 20} MiB on the chip"
        yield Limit(RISK, reason, SMALLER, f"{ISSUE}508, {ISSUE}439")


def not_constant(op: Op, positions: tuple[int, ...]) -> Iterator[Limit]:
    """Check that the inputs at `positions` are in the file."""
    tensors = (op.inputs[position] for position in positions if position < len(op.inputs))
    if any(tensor and tensor.elements and not tensor.is_constant for tensor in tensors):
        yield Limit(CPU, "a parameter of it is computed", "make weights, sizes and axes constants of the graph", CORAL)


def equal_dilation(op: Op) -> Iterator[Limit]:
    """Check that it dilates alike in both directions."""
    down, across = op.attributes.get("dilation_h_factor", 1), op.attributes.get("dilation_w_factor", 1)
    if down != across:
        reason = f"it dilates {down} times down and {across} times across"
        yield Limit(CPU, reason, "use the same dilation in both directions", CORAL)


def no_activation(op: Op) -> Iterator[Limit]:
    """Check that no activation function is fused into it."""
    fused = op.attributes.get("fused_activation_function", "NONE")
    if fused != "NONE":
        yield Limit(CPU, f"{fused} is fused into it", "put the activation before it", CORAL)


def zero_constants(op: Op) -> Iterator[Limit]:
    """Check that a constant is joined only as zeros beside one other input."""
    constants = [tensor for tensor in op.inputs if tensor and tensor.is_constant]
    if constants and (len(op.inputs) != 2 or not all(_is_zero(tensor) for tensor in constants)):
        reason = "a constant is joined that is not zeros beside one other input"
        yield Limit(CPU, reason, "join computed tensors alone", CORAL)


def _is_zero(tensor: Tensor) -> bool:
    zero_point = int(tensor.zero_points[0]) if tensor.zero_points.size else 0
    return bool((tensor.values() == zero_point).all())


def small_concatenation(op: Op) -> Iterator[Limit]:
    """Check that it is below what a maintainer called too large."""
    if op.outputs[0].elements >= math.prod(_REFUSED_CONCAT):
        reason = f"it joins into {_size(op.outputs[0])}; {_times(_REFUSED_CONCAT)} is reported to be refused"
        yield Limit(RISK, reason, SMALLER, f"{ISSUE}309")


def one_dimensional(op: Op) -> Iterator[Limit]:
    """Check that its output has one dimension."""
    result = op.outputs[0]
    if result.elements != result.shape[-1]:
        yield Limit(CPU, f"its output {_size(result)} has more than one dimension", "use a 1×1 convolution", CORAL)


def default_weights(op: Op) -> Iterator[Limit]:
    """Check that its weights are stored in the default order."""
    if op.attributes.get("weights_format", 0):
        yield Limit(CPU, "its weights are stored shuffled", "convert it again with the default format", CORAL)


def short_softmax(op: Op) -> Iterator[Limit]:
    """Check that it runs over one dimension of at most 16,000."""
    scores = op.outputs[0]
    if scores.elements != scores.shape[-1] or scores.elements > _MOST_SOFTMAX:
        reason = f"it runs on {_size(scores)}, which is more than one dimension of {_MOST_SOFTMAX:,}"
        yield Limit(CPU, reason, "output the logits: the largest is the same", CORAL)


def not_the_batch(op: Op) -> Iterator[Limit]:
    """Check that it leaves the batch dimension alone."""
    if 0 in _axes(op):
        yield Limit(CPU, "it works along the batch", "leave the batch dimension as it is", CORAL)


def depth_of_four(op: Op) -> Iterator[Limit]:
    """Check that, where it averages channels, they are a multiple of 4."""
    source = op.inputs[0]
    if source and len(source.shape) - 1 in _axes(op) and source.shape[-1] % 4:
        reason = f"it averages {source.shape[-1]} channels, not a multiple of 4"
        yield Limit(CPU, reason, "use a multiple of 4 channels", CORAL)


def _axes(op: Op) -> set[int]:
    """Return the dimensions along which an operator works, counted from the front."""
    axis_input, operand = _AXIS_INPUTS.get(op.name, (None, 0))
    rank = len(op.outputs[0].shape) if axis_input is None else len(_shape(op, operand))
    if axis_input is None:
        found = [int(op.attributes.get("axis", 0))]
    else:
        values = _constant(op, axis_input)
        found = [] if values is None else [int(value) for value in values.ravel()]
    return {axis % rank for axis in found} if rank > 1 else set()


def unpadded_batch(op: Op) -> Iterator[Limit]:
    """Check that it pads the three inner dimensions alone."""
    paddings = _constant(op, 1)
    if paddings is not None and len(paddings) > 3 and paddings[:-3].any():
        yield Limit(CPU, "it pads the batch", "pad rows, columns and channels alone", CORAL)


def plain_strides(op: Op) -> Iterator[Limit]:
    """Check that it takes a plain window: strides of 1, no ellipsis, no new axis."""
    strides = _constant(op, 3)
    masks = [name for name in ("ellipsis_mask", "new_axis_mask") if op.attributes.get(name, 0)]
    if masks or (strides is not None and (strides != 1).any()):
        reason = f"it has {' and '.join(masks)}" if masks else "it takes every second or third value"
        yield Limit(CPU, reason, "slice with begin and end alone; a strided pooling thins out", CORAL)


def flat_alpha(op: Op) -> Iterator[Limit]:
    """Check that it has one slope per channel."""
    shape = _shape(op, 1)
    if math.prod(shape[:-1]) > 1:
        reason = f"its slopes {_times(shape)} differ from place to place"
        yield Limit(CPU, reason, "share them: PReLU(shared_axes=[1, 2])", CORAL)


def large_reshape(op: Op) -> Iterator[Limit]:
    """Check that it is not larger than what is reported to map."""
    if op.outputs[0].elements > math.prod(_MAPPED_RESIZE):
        reason = f"it reshapes {op.outputs[0].elements:,} numbers, and large ones are reported to be left out"
        yield Limit(RISK, reason, SMALLER, f"{CORAL}, {ISSUE}512")


def strided_transpose(op: Op) -> Iterator[Limit]:
    """Check that it keeps the size."""
    if max(op.attributes.get("stride_h", 1), op.attributes.get("stride_w", 1)) > 1:
        reason = "enlarging transposed convolutions are reported to be left out"
        yield Limit(RISK, reason, "train with model.upsampling=bilinear", f"{ISSUE}509, {ISSUE}686")


def small_resize(op: Op) -> Iterator[Limit]:
    """Check that its output is not larger than what is reported to map."""
    result = op.outputs[0]
    pixels = math.prod(result.shape[-3:-1])
    if pixels >= _UNMAPPED_RESIZE_PIXELS or result.elements >= math.prod(_UNMAPPED_RESIZE):
        reason = f"it enlarges to {_size(result)}; {_times(_UNMAPPED_RESIZE)} and 256×512 are reported to be left out"
        yield Limit(CPU, reason, SMALLER, f"{ISSUE}31, {ISSUE}377")
    elif pixels > math.prod(_MAPPED_RESIZE[:2]) or result.elements > math.prod(_MAPPED_RESIZE):
        reason = f"it enlarges to {_size(result)}; the largest that is reported to map is {_times(_MAPPED_RESIZE)}"
        yield Limit(RISK, reason, SMALLER, f"{ISSUE}31, {ISSUE}187")


def pixel_centers(op: Op) -> Iterator[Limit]:
    """Check that it does not depend on where a pixel's center is."""
    if op.attributes.get("half_pixel_centers"):
        reason = "it has half_pixel_centers, which compilers before 16 refuse or shift"
        fix = "compile with edgetpu_compiler 16 and compare the board's class maps with the CPU's"
        yield Limit(NOTE, reason, fix, f"{ISSUE}187, {ISSUE}63, {ISSUE}377")


def _shape(op: Op, position: int) -> tuple[int, ...]:
    tensor = op.inputs[position] if position < len(op.inputs) else None
    return tensor.shape if tensor else ()


def _constant(op: Op, position: int) -> NDArray[Any] | None:
    tensor = op.inputs[position] if position < len(op.inputs) else None
    return tensor.values() if tensor and tensor.is_constant else None


def _size(tensor: Tensor) -> str:
    """Return its sides as text, without the ones in front."""
    return _times(tuple(itertools.dropwhile(lambda side: side == 1, tensor.shape)) or (1,))


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
