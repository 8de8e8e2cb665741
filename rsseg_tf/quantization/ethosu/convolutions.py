"""Convolutions of an int8 file in forms that take fewer cycles on Arm's Ethos-U: the same numbers, to the byte.

**Dilated ones.** The hardware knows a dilation of 2; a larger one is computed as a larger kernel with zeros in between:
13×13 taps for a 3×3 at rate 12. Two forms take fewer, and the one that costs least by its multiply-accumulates, its
copies and its weights, which come from flash at a byte a cycle, takes the convolution's place:

* *Rows side by side.* The rows that the taps meet become channels, zeros where they are outside, and only the columns
  are left to the dilated kernel: 3×13 taps of the same sums.
* *In blocks*, on a map of at most twice the rate. A pixel of the middle meets itself alone, and one near an edge that
  of the other edge too: so the two edges, put together, are a map that is dilated by no more than their own width, and
  the middle is a 1×1. Of 16 rows at rate 12 the outer eight have a dilation of 4, along both axes 2.25 taps a pixel. In
  return the file holds taps more than once: 16 for 9.

**Those of a picture.** Three channels cost as much as eight. Two columns side by side are six, for nothing, since they
lie so in memory, and at a stride of 2 half of the columns of taps are left: 7×4 for 7×7.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.quantization.ethosu.costs import (
    Block,
    block_pairs,
    cycles,
    cycles_in_blocks,
    cycles_in_rows,
    input_of,
    joint_rates,
    size_and_rate,
    windows_of,
)
from rsseg_tf.quantization.rewriting import Rewriting
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.graph import Op

_CHANNELS = 8
"""That a tap costs at least."""

_ROW, _COLUMN = 1, 2
"""Axes of a map."""


def with_cheap_convolutions(content: bytes, *, name: str) -> bytes:
    """Return an int8 file with the outputs of another whose convolutions cost an Ethos-U less.

    Args:
        content: the bytes of an int8 file.
        name: what errors call it.
    """
    found = {op: form for op in parse_model(content, name=name).ops if (form := _form_of(op)) is not None}
    if not found:
        return content
    rewriting = Rewriting(content)
    return rewriting.finished({op.index: form(_Site(rewriting, op)) for op, form in found.items()})


Form = Callable[["_Site"], list[Any]]


def _form_of(op: Op) -> Form | None:
    """Return what makes the cheapest form of a convolution, None where that is its own."""
    if op.name != "CONV_2D" or any(
        tensor is None or tensor.dtype != "int8" for tensor in (*op.inputs[:2], *op.outputs)
    ):
        return None
    source, kernel = input_of(op, 0), input_of(op, 1)
    if not kernel.is_constant or kernel.shape[-1] != source.shape[-1]:
        return None
    if _is_of_picture(op):
        return _in_pairs
    if windows_of(op)[0].padding != "same" or max(each.stride for each in windows_of(op)) != 1:
        return None
    costs: dict[Form | None, float] = {
        None: cycles(op),
        _in_rows: cycles_in_rows(op),
        _in_blocks: cycles_in_blocks(op),
    }
    return min(costs, key=lambda form: costs[form])


def _is_of_picture(op: Op) -> bool:
    """Return whether two columns fit side by side into the channels that a tap costs, and every second is left out."""
    source, columns = input_of(op, 0), windows_of(op)[1]
    narrow = 2 * source.shape[-1] <= _CHANNELS and source.shape[_COLUMN] % 2 == 0
    return narrow and (columns.stride, columns.dilation) == (2, 1) and columns.size > 1


class _Site:
    """A convolution in the file that is rewritten, and the operators that take its place.

    Attributes:
        rewriting: of the file.
        op: the convolution.
        source, kernel, result: numbers of its tensors.
        added: the operators, in order.
    """

    def __init__(self, rewriting: Rewriting, op: Op) -> None:
        self.rewriting, self.op = rewriting, op
        self.source, self.kernel, self.result = input_of(op, 0).index, input_of(op, 1).index, op.outputs[0].index
        self.added: list[Any] = []

    def shape(self, index: int) -> list[int]:
        """Return the shape of a tensor."""
        return [int(side) for side in self.rewriting.graph.tensors[index].shape]

    def weights(self) -> NDArray[np.int8]:
        """Return the kernel, (channels computed, rows, columns, channels read)."""
        return input_of(self.op, 1).values()

    def cut(self, index: int, axis: int, start: int, stop: int) -> int:
        """Return a part of a tensor along an axis; itself where that is all of it."""
        shape = self.shape(index)
        if (start, stop) == (0, shape[axis]):
            return index
        begin = [start if each == axis else 0 for each in range(len(shape))]
        shape[axis] = stop - start
        result = self._named(index, shape)
        self.added.append(self.rewriting.operator("SLICE", [index, self._numbers(begin), self._numbers(shape)], result))
        return result

    def joined(self, parts: Sequence[int], axis: int, *, result: int | None = None) -> int:
        """Return tensors put together along an axis, as a new tensor where no `result` is given."""
        if len(parts) == 1 and result is None:
            return parts[0]
        if result is None:
            shape = self.shape(parts[0])
            shape[axis] = sum(self.shape(part)[axis] for part in parts)
            result = self._named(parts[0], shape)
        self.added.append(self.rewriting.operator("CONCATENATION", parts, result, axis=axis))
        return result

    def reshaped(self, index: int, shape: Sequence[int]) -> int:
        """Return the numbers of a tensor in another shape."""
        result = self._named(index, shape)
        inputs = [index, self._numbers(shape)]
        self.added.append(self.rewriting.operator("RESHAPE", inputs, result, newShape=list(shape)))
        return result

    def zeros(self, shape: Sequence[int]) -> int:
        """Return a constant that stands for zeros of the map that is read."""
        zero = int(input_of(self.op, 0).zero_points[0])
        return self._named(self.source, shape, values=np.full(shape, zero, np.int8))

    def convolved(self, source: int, kernel: NDArray[np.int8], *, result: int | None = None, **options: Any) -> int:
        """Return the convolution of another tensor with another kernel: the same bias, steps and activation."""
        operator = copy.deepcopy(self.rewriting.graph.operators[self.op.index])
        for name, value in options.items():
            setattr(operator.builtinOptions, name, value)
        if result is None:
            result = self._named(self.result, [*self.shape(source)[:3], kernel.shape[0]])
        new = self._named(self.kernel, kernel.shape, values=kernel)
        operator.inputs = [source, new, *(int(index) for index in operator.inputs[2:])]
        operator.outputs = [result]
        self.added.append(operator)
        return result

    def _numbers(self, values: Sequence[int]) -> int:
        name = f"{self.op.outputs[0].name}/number{len(self.rewriting.graph.tensors)}"
        return self.rewriting.numbers(values, name)

    def _named(self, like: int, shape: Sequence[int], *, values: NDArray[np.int8] | None = None) -> int:
        """Return a new tensor with the steps of another, named after what the convolution computes."""
        name = f"{self.op.outputs[0].name}/part{len(self.rewriting.graph.tensors)}"
        return self.rewriting.tensor(like, shape, name.encode(), values=values)


def _in_rows(site: _Site) -> list[Any]:
    rows, columns = windows_of(site.op)
    height = site.shape(site.source)[_ROW]
    first = (tap * rows.dilation - rows.before(height) for tap in range(rows.size))
    x = site.joined([_rows(site, each) for each in first], 3)
    kernel = site.weights()
    wide = kernel.transpose(0, 2, 1, 3).reshape(kernel.shape[0], 1, columns.size, -1)
    site.convolved(x, wide, result=site.result, dilationHFactor=1)
    return site.added


def _rows(site: _Site, first: int) -> int:
    """Return as many rows as the map has, from row `first` on, which may lie outside; zeros there."""
    shape = site.shape(site.source)
    height = shape[_ROW]
    outside = site.zeros([1, min(abs(first), height), *shape[2:]]) if first else site.source
    if first == 0 or abs(first) >= height:
        return outside
    kept = site.cut(site.source, _ROW, max(first, 0), height + min(first, 0))
    return site.joined([outside, kept] if first < 0 else [kept, outside], _ROW)


def _in_blocks(site: _Site) -> list[Any]:
    strips: dict[Block, dict[int, int]] = {}
    for rows, columns in block_pairs(site.op):
        x = site.joined([site.cut(site.source, _ROW, *piece) for piece in rows.pieces], _ROW)
        x = site.joined([site.cut(x, _COLUMN, *piece) for piece in columns.pieces], _COLUMN)
        (height, rate_h), (width, rate_w) = map(size_and_rate, (rows, columns))
        rates = joint_rates((height, width), (rate_h, rate_w))
        kernel = site.weights()[:, slice(*rows.taps), slice(*columns.taps)]
        y = site.convolved(x, kernel, dilationHFactor=rates[0], dilationWFactor=rates[1])
        strips.setdefault(rows, {}).update(_pieces(site, y, columns, _COLUMN))
    bands: dict[int, int] = {}
    for rows, parts in strips.items():
        bands |= _pieces(site, site.joined(_in_order(parts), _COLUMN), rows, _ROW)
    site.joined(_in_order(bands), _ROW, result=site.result)
    return site.added


def _pieces(site: _Site, index: int, block: Block, axis: int) -> dict[int, int]:
    """Return where each piece of a block begins → the piece."""
    ends = list(itertools.accumulate(stop - start for start, stop in block.pieces))
    starts = [0, *ends[:-1]]
    places = zip(block.pieces, starts, ends, strict=True)
    return {piece[0]: site.cut(index, axis, start, stop) for piece, start, stop in places}


def _in_order(parts: dict[int, int]) -> list[int]:
    return [parts[start] for start in sorted(parts)]


def _in_pairs(site: _Site) -> list[Any]:
    _, height, width, channels = site.shape(site.source)
    columns = windows_of(site.op)[1]
    before = columns.before(width)
    pairs_before = -(-before // 2)
    lead = 2 * pairs_before - before
    taps = -(-(columns.size + lead) // 2)
    kernel = site.weights()
    pairs = np.zeros((*kernel.shape[:2], 2 * taps, channels), np.int8)
    pairs[:, :, lead : lead + columns.size] = kernel
    x = site.reshaped(site.source, [1, height, width // 2, 2 * channels])
    site.convolved(x, pairs.reshape(*kernel.shape[:2], taps, 2 * channels), result=site.result, strideW=1)
    return site.added
