"""What the written file really is: every op and type read back, and the delegate's own word on its partitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.errors import CheckFailedError
from rsseg_tf.number_formats import FORMATS
from rsseg_tf.quantization.int8.islands import ops_in_islands
from rsseg_tf.text import listed
from rsseg_tf.tflite.flatbuffer import Op, TFLiteModel, read_model
from rsseg_tf.tflite.guard import check_loads
from rsseg_tf.tflite.interpreter import delegate_partitions, open_interpreter
from rsseg_tf.tflite.layer_names import layers_by_op

_BANNED_OPS = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")


_SEAMS = ("QUANTIZE", "DEQUANTIZE")
_WITH_KERNEL = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_COUNTS = frozenset({"int32", "int64", "bool"})


@dataclass(frozen=True)
class Proof:
    """Facts about a TFLite file.

    Attributes:
        ops: op name → count.
        float_ops: Keras layer (or tensor) names of ops that work on floats.
        float_tensors: names of what they compute, those aside that only convert between floats and integers.
        float_inside: those of `float_tensors` that are floats since XNNPACK has nothing else → op name; see
            `rsseg_tf.quantization.int8.islands`. The next two leave them out.
        activations: type → layers of the ops that compute it.
        weights: type → layers of the ops that use it.
        largest_kernel: elements of the largest constant kernel of a convolution or dense layer, 0 without any.
        banned_ops: those of ops that only an unfrozen conversion leaves behind.
        partitions: sub-graphs that the delegate took.
        undelegated: op names that the delegate left to the interpreter.
        weight_bytes: bytes of all constants.
    """

    ops: dict[str, int]
    float_ops: tuple[str, ...]
    float_tensors: tuple[str, ...]
    float_inside: Mapping[str, str]
    activations: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, tuple[str, ...]]
    largest_kernel: int
    banned_ops: tuple[str, ...]
    partitions: int
    undelegated: tuple[str, ...]
    weight_bytes: int

    def faults(self, number_format: str, *, keep_float: Sequence[str] = ()) -> list[str]:
        """Return why the file is not what `number_format` promises; empty where it is.

        Args:
            number_format: a name in `FORMATS`.
            keep_float: tensors whose ops must work on floats in an int8 file, and no others.
        """
        promise, faults = FORMATS[number_format], []
        if self.banned_ops:
            faults.append(f"dilated convolutions were split in {_listed(self.banned_ops)}")
        if keep_float:
            return faults + self._float_faults(keep_float)
        for kind, layers in self.activations.items():
            if kind not in promise.activations | _COUNTS:
                faults.append(f"ops work on {_plural(kind)} in {_listed(layers)}")
        for kind, layers in self.weights.items():
            if kind not in promise.weights:
                faults.append(f"weights are {_plural(kind)} in {_listed(layers)}")
        missing = promise.must_hold - {*self.activations, *self.weights}
        if missing and self.largest_kernel >= promise.smallest_kernel:
            faults.append(f"nothing in it is {' or '.join(sorted(missing))}, as if it had been left as it was")
        if promise.one_partition and self.partitions != 1:
            rest = f", left out: {_listed(self.undelegated)}" if self.undelegated else ""
            faults.append(f"the delegate runs it in {self.partitions} partitions{rest}")
        return faults

    def _float_faults(self, keep_float: Sequence[str]) -> list[str]:
        by_choice = [name for name in self.float_tensors if name not in self.float_inside]
        others = [name for name in by_choice if not any(is_named(name, kept) for kept in keep_float)]
        absent = [kept for kept in keep_float if not any(is_named(name, kept) for name in self.float_tensors)]
        faults = []
        if others:
            faults.append(f"ops work on floats in {_listed(others)}")
        if absent:
            faults.append(f"ops were to stay float but do not in {_listed(absent)}")
        return faults

    def record(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return {
            "ops": self.ops,
            "float_ops": list(self.float_ops),
            "float_inside": dict(Counter(self.float_inside.values()).most_common()),
            "partitions": self.partitions,
            "undelegated": list(self.undelegated),
            "weight_bytes": self.weight_bytes,
        }


def prove(path: Path, *, layer_names: Sequence[str] = ()) -> Proof:
    """Return the facts about the TFLite file at `path`; ops are named by those of `layer_names` that made them."""
    model = read_model(path)
    layers = layers_by_op(model, layer_names)
    check_loads(path, path.read_bytes())
    partitions, undelegated = delegate_partitions(open_interpreter(path, threads=1))
    banned = [op for op in model.ops if op.name in _BANNED_OPS]
    inside = ops_in_islands(model)
    others = [op for op in model.ops if op.index not in inside]
    floats = [op for op in model.float_ops if op.name not in _SEAMS]
    return Proof(
        ops=model.op_counts,
        float_ops=tuple(layers[op.index] for op in model.float_ops),
        float_tensors=tuple(op.outputs[0].name for op in floats),
        float_inside={op.outputs[0].name: op.name for op in floats if op.index in inside},
        activations=_activation_types(others, layers),
        weights=_weight_types(others, layers),
        largest_kernel=_largest_kernel(model),
        banned_ops=tuple(layers[op.index] for op in banned),
        partitions=partitions,
        undelegated=tuple(undelegated),
        weight_bytes=model.weight_bytes,
    )


def require(proof: Proof, number_format: str, *, path: Path, keep_float: Sequence[str] = ()) -> None:
    """Check that the file keeps the promise of `number_format`; `keep_float` as in `Proof.faults`.

    Raises:
        CheckFailedError: if it does not; the message names the layers.
    """
    faults = proof.faults(number_format, keep_float=keep_float)
    if faults:
        raise CheckFailedError(
            f"`{path}` is not a proper {number_format} file: {'; '.join(faults)}", hint="see `rsseg-tf inspect`"
        )


def _activation_types(ops: Iterable[Op], layers: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for op in ops:
        for kind in {tensor.dtype for tensor in op.activations}:
            found.setdefault(kind, []).append(layers[op.index])
    return {kind: tuple(names) for kind, names in found.items()}


def _weight_types(ops: Iterable[Op], layers: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for op in ops:
        for kind in {tensor.dtype for tensor in op.inputs if tensor and tensor.is_weight}:
            found.setdefault(kind, []).append(layers[op.index])
    return {kind: tuple(names) for kind, names in found.items()}


def _largest_kernel(model: TFLiteModel) -> int:
    kernels = [op.inputs[1] for op in model.ops if op.name in _WITH_KERNEL]
    return max((kernel.elements for kernel in kernels if kernel and kernel.is_weight), default=0)


def is_named(tensor: str, wanted: str) -> bool:
    """Return whether `tensor` is the one called `wanted`; the converter counts up a name that is taken."""
    return tensor == wanted or (tensor.startswith(wanted) and tensor[len(wanted) :].isdigit())


def _plural(kind: str) -> str:
    return "floats" if kind.startswith("float") else kind


def _listed(names: Sequence[str], limit: int = 5) -> str:
    return listed([f"`{name}`" for name in dict.fromkeys(names)], most=limit)
