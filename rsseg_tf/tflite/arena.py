"""How much memory the activations of a graph need at once, planned as the interpreter plans it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rsseg_tf.tflite.graph import TFLiteModel

_ALIGNMENT = 64


@dataclass(frozen=True)
class Placement:
    """Where an activation lies in the arena, and between which operators it must be kept."""

    tensor: int
    first_op: int
    last_op: int
    offset: int
    nbytes: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.nbytes


def arena_bytes(model: TFLiteModel) -> int:
    """Return the bytes of the arena that holds all activations.

    Scratch memory is not in it: the interpreter's own convolutions add a buffer of several times their input
    (im2col), which XNNPACK does without.
    """
    return max((placement.end for placement in plan_arena(model)), default=0)


def plan_arena(model: TFLiteModel) -> list[Placement]:
    """Return a place for every activation, none overlapping another that lives at the same time.

    What lives throughout comes first, then the largest, each into the smallest gap that holds it: TensorFlow
    Lite's `ArenaPlanner` (Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net Inference",
    greedy by size). Inputs and outputs of the graph are kept to the end, as the interpreter keeps them. It
    lets some element-wise operators work in place, which is left out here.
    """
    placed: list[Placement] = []
    for tensor, first, last, nbytes in sorted(_lifetimes(model), key=lambda life: _rank(life, len(model.ops))):
        neighbors = [other for other in placed if other.first_op <= last and first <= other.last_op]
        placed.append(Placement(tensor, first, last, _gap_for(nbytes, neighbors), nbytes))
    return placed


def _lifetimes(model: TFLiteModel) -> list[tuple[int, int, int, int]]:
    """Return (tensor, first operator, last operator, aligned bytes) of every activation."""
    end = len(model.ops)
    first = {tensor.index: 0 for tensor in model.inputs}
    last = {tensor.index: end for tensor in (*model.inputs, *model.outputs)}
    for op in model.ops:
        for tensor in op.activations:
            first.setdefault(tensor.index, op.index)
            last[tensor.index] = max(last.get(tensor.index, 0), op.index)
    return [(index, first[index], last[index], _aligned(model.tensors[index].nbytes)) for index in first]


def _rank(life: tuple[int, int, int, int], end: int) -> tuple[bool, int, int, int]:
    tensor, first, last, nbytes = life
    throughout = first == 0 and last == end
    return not throughout, 0 if throughout else -nbytes, first, tensor


def _gap_for(nbytes: int, neighbors: Iterable[Placement]) -> int:
    best_offset, best_size, free_from = -1, -1, 0
    for other in sorted(neighbors, key=lambda placement: placement.offset):
        gap = other.offset - free_from
        if gap >= nbytes and (best_offset < 0 or gap < best_size):
            best_offset, best_size = free_from, gap
        free_from = max(free_from, other.end)
    return free_from if best_offset < 0 else best_offset


def _aligned(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT
