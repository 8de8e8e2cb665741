"""How much memory the activations of a graph need at once, planned as the runtimes plan it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rsseg_tf.tflite.graph import TFLiteModel


@dataclass(frozen=True)
class Planner:
    """How a runtime lays out the memory of activations: the largest first, each where those that live with it are not.

    Attributes:
        alignment: bytes that the size of every place is a multiple of.
        is_micro: whether it is TFLite Micro's. That plans what lives throughout like the rest, of equally large ones
            the last first, each into the first gap that holds it, and keeps inputs of the graph until their last
            reader; LiteRT's plans what lives throughout before the rest, each into the smallest gap, and keeps inputs
            to the end.
    """

    alignment: int
    is_micro: bool


LITERT = Planner(64, is_micro=False)
"""TensorFlow Lite's `ArenaPlanner` (Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net
Inference", greedy by size)."""

MICRO = Planner(16, is_micro=True)
"""TFLite Micro's `GreedyMemoryPlanner`."""


@dataclass(frozen=True)
class Life:
    """Between which operators an activation must be kept, and its bytes."""

    tensor: int
    first_op: int
    last_op: int
    nbytes: int


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


def arena_bytes(model: TFLiteModel, planner: Planner = LITERT) -> int:
    """Return the bytes of the arena that holds all activations.

    Scratch memory is not in it: the interpreter's own convolutions add a buffer of several times their input
    (im2col), which XNNPACK and TFLite Micro's reference kernels do without. Nor is what TFLite Micro keeps throughout
    behind its activations: 8 bytes for each output channel of a convolution and some 100 for each operator.
    """
    return planned_bytes(lifetimes(model, planner), planner)


def plan_arena(model: TFLiteModel, planner: Planner = LITERT) -> list[Placement]:
    """Return a place for every activation, none overlapping another that lives at the same time.

    Outputs of the graph are kept to the end. LiteRT lets some element-wise operators work in place, which is left out
    here.
    """
    return planned(lifetimes(model, planner), planner)


def planned_bytes(lives: Sequence[Life], planner: Planner) -> int:
    """Return the bytes of the arena for activations of these lives."""
    return max((placement.end for placement in planned(lives, planner)), default=0)


def planned(lives: Sequence[Life], planner: Planner) -> list[Placement]:
    """Return a place for each of these lives, in the order in which they were placed."""
    end = max((life.last_op for life in lives), default=0)
    placed: list[Placement] = []
    for life in sorted(lives, key=lambda each: _rank(each, planner, end)):
        neighbors = [other for other in placed if other.first_op <= life.last_op and life.first_op <= other.last_op]
        nbytes = aligned(life.nbytes, planner)
        offset = _gap_for(nbytes, neighbors, takes_first=planner.is_micro)
        placed.append(Placement(life.tensor, life.first_op, life.last_op, offset, nbytes))
    return placed


def lifetimes(model: TFLiteModel, planner: Planner) -> list[Life]:
    """Return the life of every activation."""
    end = len(model.ops)
    first = {tensor.index: 0 for tensor in model.inputs}
    last = dict.fromkeys(first, 0 if planner.is_micro else end)
    for op in model.ops:
        for tensor in op.activations:
            first.setdefault(tensor.index, op.index)
            last[tensor.index] = max(last.get(tensor.index, 0), op.index)
    last |= {tensor.index: end for tensor in model.outputs if tensor.index in first}
    return [Life(index, first[index], last[index], model.tensors[index].nbytes) for index in first]


def aligned(nbytes: int, planner: Planner) -> int:
    """Return the bytes that a place for `nbytes` takes."""
    return -(-nbytes // planner.alignment) * planner.alignment


def _rank(life: Life, planner: Planner, end: int) -> tuple[bool, int, int, int]:
    nbytes = aligned(life.nbytes, planner)
    if planner.is_micro:
        return False, -nbytes, -life.tensor, 0
    throughout = life.first_op == 0 and life.last_op == end
    return not throughout, 0 if throughout else -nbytes, life.first_op, life.tensor


def _gap_for(nbytes: int, neighbors: Iterable[Placement], *, takes_first: bool) -> int:
    best_offset, best_size, free_from = -1, -1, 0
    for other in sorted(neighbors, key=lambda placement: placement.offset):
        gap = other.offset - free_from
        if gap >= nbytes and (best_offset < 0 or gap < best_size):
            if takes_first:
                return free_from
            best_offset, best_size = free_from, gap
        free_from = max(free_from, other.end)
    return free_from if best_offset < 0 else best_offset
