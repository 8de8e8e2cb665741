"""Operators that stay float inside an int8 file, since XNNPACK has them in float alone.

Left to TFLite's own int8 kernels, each cuts the delegate's piece in two, and most of them are slow: the layer
normalizations and attentions of SegFormer-B0 made 85 pieces. Between a DEQUANTIZE and a QUANTIZE the delegate runs them
in one piece with all the others, three times as fast (docs/results.md), and what lies between two of them is never
rounded. An NPU computes on integers alone, so a file for one has no islands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet

from rsseg_tf.tflite.graph import Op, Tensor, TFLiteModel

FLOAT_ALONE = frozenset(
    (
        *("BATCH_MATMUL", "SOFTMAX", "GELU", "HARD_SWISH", "RSQRT", "SQRT", "SQUARED_DIFFERENCE", "SQUARE", "DIV"),
        *("EXP", "ABS", "NEG", "ELU", "PRELU", "MAXIMUM", "MINIMUM", "SIN", "COS", "FLOOR", "CEIL", "ROUND"),
        *("RELU", "RELU6", "RELU_N1_TO_1", "AVERAGE_POOL_2D"),
    )
)
"""Operators that XNNPACK's delegate takes on floats and, where they stand alone, not on 8 bits."""

_ARITHMETIC = frozenset(("ADD", "SUB", "MUL", "MEAN", "SUM"))
_MOVES = frozenset(("RESHAPE", "TRANSPOSE"))
_SEAMS = frozenset(("DEQUANTIZE", "QUANTIZE"))


def islands(model: TFLiteModel) -> tuple[str, ...]:
    """Return the tensors whose operators are to stay float, in the order of execution.

    Besides those in `FLOAT_ALONE` they are the sums, products and means between two of them, and those that read
    nothing but what is there in float already. What ends the graph stays int8: it cuts nothing.

    Args:
        model: a float file, from `rsseg_tf.quantization.convert.calibrated_model`.
    """
    graph = _Graph(model.ops)
    ends = {tensor.index for tensor in model.outputs}
    chosen = {op.index for op in model.ops if op.name in FLOAT_ALONE and op.outputs[0].index not in ends}
    chosen |= _between(graph, chosen)
    chosen |= _beside(graph, chosen)
    return tuple(op.outputs[0].name for op in model.ops if op.index in chosen)


def ops_in_islands(model: TFLiteModel) -> frozenset[int]:
    """Return the places of the operators of an int8 file that work on floats as `islands` has them do.

    Those that turn integers into floats before an island, and back behind it, are among them.
    """
    floats = {op.index for op in model.float_ops}
    graph = _Graph(op for op in model.ops if op.index in floats)
    seams = graph.named(_SEAMS)
    if not any(_computed_inputs(graph.ops[index]) for index in seams):
        return frozenset()  # a file of floats, some of them stored in fewer bits
    alone = graph.named(FLOAT_ALONE)
    parts = _parts(graph, alone | graph.named(_ARITHMETIC | _MOVES))
    inside = {index for part in parts if part & alone for index in part}
    beside = {index: {*graph.before(index), *graph.after(index)} for index in seams}
    return frozenset(inside | {index for index, others in beside.items() if others and others <= inside})


class _Graph:
    """Operators by their place, and which of them feed which."""

    def __init__(self, ops: Iterable[Op]) -> None:
        self.ops = {op.index: op for op in ops}
        self._makers = {tensor.index: op.index for op in self.ops.values() for tensor in op.outputs}
        self._readers: dict[int, list[int]] = {}
        for op in self.ops.values():
            for tensor in _computed_inputs(op):
                self._readers.setdefault(tensor.index, []).append(op.index)

    def before(self, index: int) -> Iterator[int]:
        """Yield the operators that make what one reads."""
        inputs = _computed_inputs(self.ops[index])
        yield from (self._makers[tensor.index] for tensor in inputs if tensor.index in self._makers)

    def after(self, index: int) -> Iterator[int]:
        """Yield the operators that read what one makes."""
        yield from (reader for tensor in self.ops[index].outputs for reader in self._readers.get(tensor.index, ()))

    def made(self, places: AbstractSet[int]) -> set[int]:
        """Return the numbers of the tensors that operators make."""
        return {tensor.index for index in places for tensor in self.ops[index].outputs}

    def read(self, places: AbstractSet[int]) -> set[int]:
        """Return the numbers of the computed tensors that operators read."""
        return {tensor.index for index in places for tensor in _computed_inputs(self.ops[index])}

    def named(self, names: AbstractSet[str]) -> set[int]:
        """Return the places of the operators of some types."""
        return {index for index, op in self.ops.items() if op.name in names}


def _computed_inputs(op: Op) -> list[Tensor]:
    return [tensor for tensor in op.inputs if tensor and not tensor.is_constant]


def _between(graph: _Graph, chosen: AbstractSet[int]) -> set[int]:
    """Return the operators on the ways from one of the chosen to another that read nothing from elsewhere."""
    passing = graph.named(_ARITHMETIC | _MOVES)
    found = _reached(graph.after, chosen, passing) & _reached(graph.before, chosen, passing)
    there = graph.read(chosen)
    while True:
        there_now = there | graph.made(chosen | found)
        strangers = {index for index in found if not graph.read({index}) <= there_now}
        if not strangers:
            return found
        found -= strangers


def _beside(graph: _Graph, chosen: AbstractSet[int]) -> set[int]:
    """Return the sums, products and means of what an island reads or makes, as long as an island is beside them."""
    found: set[int] = set()
    candidates = graph.named(_ARITHMETIC)
    while True:
        island = chosen | found
        made, read = graph.made(island), graph.read(island)
        new = {
            index
            for index in candidates - island
            if graph.read({index}) <= made | read and (graph.read({index}) & made or graph.made({index}) & read)
        }
        if not new:
            return found
        found |= new


def _reached(step: Callable[[int], Iterable[int]], start: AbstractSet[int], through: AbstractSet[int]) -> set[int]:
    """Return the operators that are reached from some by steps through allowed ones."""
    found: set[int] = set()
    waiting = [*start]
    while waiting:
        new = {index for index in step(waiting.pop()) if index in through and index not in found}
        found |= new
        waiting += new
    return found


def _parts(graph: _Graph, places: AbstractSet[int]) -> Iterator[set[int]]:
    """Yield the parts in which operators hang together."""
    rest = set(places)
    while rest:
        start = rest.pop()
        part = {start, *_reached(lambda index: (*graph.before(index), *graph.after(index)), {start}, rest)}
        rest -= part
        yield part
