"""What the written file really is: every op and type read back, and the delegate's own word on its partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.edge.flatbuffer import Op, read_model
from rsseg_tf.edge.layer_names import layers_of_ops, op_tensors
from rsseg_tf.edge.runner import TFLiteRunner
from rsseg_tf.errors import CheckFailedError

_BANNED_OPS = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")


@dataclass(frozen=True)
class Proof:
    """Facts about a TFLite file.

    Attributes:
        ops: op name → count.
        float_ops: Keras layer (or tensor) names of ops that work on floats.
        banned_ops: those of ops that only an unfrozen conversion leaves behind.
        partitions: sub-graphs that the delegate took.
        undelegated: op names that the delegate left to the interpreter.
        weight_bytes: bytes of all constants.
    """

    ops: dict[str, int]
    float_ops: tuple[str, ...]
    banned_ops: tuple[str, ...]
    partitions: int
    undelegated: tuple[str, ...]
    weight_bytes: int

    def faults(self, number_format: str) -> list[str]:
        """Why the file is not what `number_format` promises; empty where it is."""
        faults = []
        if self.banned_ops:
            faults.append(f"dilated convolutions were split in {_listed(self.banned_ops)}")
        if number_format == "int8" and self.float_ops:
            faults.append(f"ops work on floats in {_listed(self.float_ops)}")
        if number_format == "int8" and self.partitions != 1:
            rest = f", left out: {_listed(self.undelegated)}" if self.undelegated else ""
            faults.append(f"the delegate runs it in {self.partitions} partitions{rest}")
        return faults

    def record(self) -> dict[str, Any]:
        """The facts as JSON values."""
        return {
            "ops": self.ops,
            "float_ops": list(self.float_ops),
            "partitions": self.partitions,
            "undelegated": list(self.undelegated),
            "weight_bytes": self.weight_bytes,
        }


def prove(path: Path, *, layer_names: Sequence[str] = ()) -> Proof:
    """The facts about the TFLite file at `path`; ops are named by those of `layer_names` that made them."""
    model = read_model(path)
    layers = layers_of_ops(op_tensors(model), dict.fromkeys(layer_names, ()))
    partitions, undelegated = TFLiteRunner(path).partitions()
    banned = [op for op in model.ops if op.name in _BANNED_OPS]
    return Proof(
        ops=model.op_counts,
        float_ops=tuple(_layer_of(op, layers) for op in model.float_ops),
        banned_ops=tuple(_layer_of(op, layers) for op in banned),
        partitions=partitions,
        undelegated=tuple(undelegated),
        weight_bytes=model.weight_bytes,
    )


def require(proof: Proof, number_format: str, *, path: Path) -> None:
    """Nothing, if the file keeps the promise of `number_format`.

    Raises:
        CheckFailedError: it does not; the message names the layers.
    """
    faults = proof.faults(number_format)
    if faults:
        raise CheckFailedError(
            f"`{path}` is not a proper {number_format} file: {'; '.join(faults)}", hint="see `rsseg-tf inspect`"
        )


def _layer_of(op: Op, layers: Sequence[Sequence[str]]) -> str:
    """The last of the Keras layers that an op came from, else its output tensor's name."""
    return layers[op.index][-1] if layers[op.index] else op.outputs[0].name


def _listed(names: Sequence[str], limit: int = 5) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - limit} more" if len(unique) > limit else ""
    return ", ".join(f"`{name}`" for name in unique[:limit]) + more
