"""What a convolution of stride 1 costs an Ethos-U in each of the forms of `rsseg_tf.quantization.ethosu.convolutions`.

Roughly: the longer of its multiply-accumulates, 256 a cycle, and its weights, a byte a cycle, and some cycles for what
is copied. All figures are cycles for each channel that is read.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from rsseg_tf.graphs import Window
from rsseg_tf.tflite.graph import Op, Tensor

_OWN_DILATION = 2
"""The rate up to which the hardware leaves out what lies between two taps."""

_MACS_A_CYCLE = 256

_ROWS, _BLOCKS = 3.5, 1.0
"""Cycles that the copies of a form take for each number of the map that is read, by Vela's estimates of 3×3 kernels."""


def _pixels(op: Op) -> int:
    return math.prod(input_of(op, 0).shape[1:3])


def input_of(op: Op, index: int) -> Tensor:
    """Return an input that an operator has."""
    return cast(Tensor, op.inputs[index])


def windows_of(op: Op) -> tuple[Window, Window]:
    """Return how a convolution moves along rows and columns."""
    sizes = input_of(op, 1).shape[1:3]
    padding = str(op.attributes["padding"]).lower()
    rows, columns = (
        Window(size, op.attributes[f"stride_{axis}"], op.attributes[f"dilation_{axis}_factor"], padding)
        for axis, size in zip("hw", sizes, strict=True)
    )
    return rows, columns


@dataclass(frozen=True)
class Block:
    """Pixels along an axis that are computed together.

    Attributes:
        pieces: where they lie, as (start, stop).
        taps: of the kernel, that meet any of them, as (start, stop).
        rate: between two taps once the pieces are put together.
    """

    pieces: tuple[tuple[int, int], ...]
    taps: tuple[int, int]
    rate: int

    @property
    def pixels(self) -> int:
        """How many they are."""
        return sum(stop - start for start, stop in self.pieces)


def _blocks(window: Window, length: int) -> list[Block]:
    """Return the blocks of an axis: edges and middle, or all of it."""
    edge = length - window.dilation
    if window.size != 3 or not 0 < edge <= window.dilation:
        return [Block(((0, length),), (0, window.size), window.dilation)]
    edges = Block(((0, edge), (window.dilation, length)), (0, window.size), edge)
    middle = Block(((edge, window.dilation),), (1, 2), 1)
    return [edges, middle] if middle.pixels else [edges]


def block_pairs(op: Op) -> list[tuple[Block, Block]]:
    """Return what is computed together, as (rows, columns)."""
    rows, columns = (
        _blocks(window, length) for window, length in zip(windows_of(op), input_of(op, 0).shape[1:3], strict=True)
    )
    return list(itertools.product(rows, columns))


def joint_rates(sizes: Sequence[int], rates: Sequence[int]) -> tuple[int, int]:
    """Return dilations along two axes: an axis with one tap has that of the other, for which there may be hardware."""
    rows, columns = (rate if size > 1 else 1 for size, rate in zip(sizes, rates, strict=True))
    return (rows if sizes[0] > 1 else columns), (columns if sizes[1] > 1 else rows)


def _spans(sizes: Sequence[int], rates: Sequence[int]) -> int:
    """Return the taps that the hardware computes, those between included."""
    rates = joint_rates(sizes, rates)
    own = _OWN_DILATION if all(rate % _OWN_DILATION == 0 for rate in rates) else 1
    return math.prod((size - 1) * rate // own + 1 for size, rate in zip(sizes, rates, strict=True))


def cycles(op: Op) -> float:
    """Return about what a convolution takes, for each channel that it reads."""
    windows = windows_of(op)
    return _of_kernel(op, _pixels(op), [each.size for each in windows], [each.dilation for each in windows])


def cycles_in_rows(op: Op) -> float:
    """Return the same with its rows side by side."""
    rows, columns = windows_of(op)
    taps = rows.size * _spans((1, columns.size), (1, columns.dilation))
    return _of_taps(op, _pixels(op), taps, weights=rows.size * columns.size) + _ROWS * _pixels(op)


def cycles_in_blocks(op: Op) -> float:
    """Return the same in blocks; infinite where there is but one."""
    pairs = block_pairs(op)
    if len(pairs) == 1:
        return math.inf
    return _BLOCKS * _pixels(op) + sum(
        _of_kernel(op, rows.pixels * columns.pixels, *zip(*map(size_and_rate, (rows, columns)), strict=True))
        for rows, columns in pairs
    )


def size_and_rate(block: Block) -> tuple[int, int]:
    """Return how many taps meet a block, and how far apart they are."""
    return block.taps[1] - block.taps[0], block.rate


def _of_kernel(op: Op, pixels: int, sizes: Sequence[int], rates: Sequence[int]) -> float:
    return _of_taps(op, pixels, _spans(sizes, rates), weights=math.prod(sizes))


def _of_taps(op: Op, pixels: int, taps: int, *, weights: int) -> float:
    return op.outputs[0].shape[-1] * max(pixels * taps / _MACS_A_CYCLE, weights)
