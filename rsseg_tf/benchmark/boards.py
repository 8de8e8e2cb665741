"""Latency profiles of boards that are not at hand: rough, from what their cores can do.

An operator takes what entering it takes, and the longer of two: its multiply-accumulates at a share of the core's peak,
with the channels of each tap and of the output counted in whole tiles, or its bytes at the speed of the cache; one that
moves pixels takes some cycles for each. Tiles are those of XNNPACK's int8 kernels (`src/configs/gemm-config.c`, August
2026), peaks are clock × multiply-accumulates a cycle of the vector units, from the makers' data sheets. Such a profile
tells which layer takes which share, and that a channel past a full tile costs as much as a whole one. Its milliseconds
may be off by a factor of two: measure on the board when you have it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsseg_tf.benchmark.profile import LatencyProfile, OpLatency
from rsseg_tf.benchmark.staircase import Step, in_tiles, narrow_forms
from rsseg_tf.errors import ConfigError
from rsseg_tf.runs import file_hash
from rsseg_tf.tflite.cutting import Piece, cut
from rsseg_tf.tflite.flatbuffer import read_content
from rsseg_tf.tflite.graph import Op
from rsseg_tf.tflite.narrowing import PRODUCTS, channels

_BY_PIXEL = ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "PAD", "PADV2", "MAX_POOL_2D", "AVERAGE_POOL_2D")
"""Operators that go from pixel to pixel."""

_PIXEL_CYCLES = 30
"""What each of their pixels takes beside its bytes, measured on an Intel Xeon with AMX."""


@dataclass(frozen=True)
class Board:
    """A processor, by core.

    Attributes:
        title: what it is.
        tile: output channels that its int8 kernels compute together.
        read_tile: input channels that they read together, at each tap.
        ghz: clock.
        macs_a_cycle: int8 multiply-accumulates a cycle that kernels reach: half of the most, 0.3 of AMX's.
        bytes_a_cycle: that come from and go to the cache.
        enter_us: what entering an operator takes.
    """

    title: str
    tile: int
    read_tile: int
    ghz: float
    macs_a_cycle: float
    bytes_a_cycle: float
    enter_us: float


BOARDS: Mapping[str, Board] = {
    "pi4": Board("Raspberry Pi 4 (Cortex-A72)", 8, 8, 1.5, 4, 2, 8),
    "pi5": Board("Raspberry Pi 5 (Cortex-A76)", 16, 4, 2.4, 16, 4, 4),
    "coral": Board("Coral Dev Board, without its Edge TPU (Cortex-A53)", 16, 1, 1.5, 2, 1, 10),
    "x86-avx2": Board("x86-64 with AVX2", 8, 8, 3.0, 16, 8, 3),
    "x86-vnni": Board("x86-64 with AVX-512 VNNI", 16, 8, 3.0, 64, 8, 3),
    "x86-amx": Board("x86-64 with AMX", 64, 64, 3.0, 300, 8, 3),
}
"""Name → board."""


def estimate(path: Path, board: str, *, threads: int = 1) -> LatencyProfile:
    """Return what a model file would take on a board, operator by operator.

    Args:
        path: an int8 `.tflite` file.
        board: a name of `BOARDS`.
        threads: CPU threads; the work is shared evenly among them, entering an operator is not.

    Raises:
        ConfigError: if there is no such board.
        ModelError: if the file is not a model, or has operators that cannot be cut out.
    """
    if board not in BOARDS:
        raise ConfigError(f"unknown board `{board}`", hint=f"known: {', '.join(BOARDS)}")
    known = BOARDS[board]
    layers = tuple(_latency(piece, known, threads) for piece in cut(read_content(path), name=str(path)))
    return LatencyProfile(
        model=str(path),
        sha256=file_hash(path),
        threads=threads,
        repeats=0,
        cpu=known.title,
        governor=None,
        exact=True,
        total_ms=sum(layer.ms for layer in layers),
        layers=layers,
        tile=known.tile,
        is_estimate=True,
    )


def _latency(piece: Piece, board: Board, threads: int) -> OpLatency:
    op = piece.op
    found = channels(piece)
    sizes = [found, *((form.inputs, form.outputs) for form in narrow_forms(piece))] if found else []
    steps = [Step(*size, _ms(op, board, threads, found, size)) for size in sizes] if found else []
    whole = (board.read_tile, board.tile)
    own = steps[0].ms if steps else _ms(op, board, threads, whole, whole)  # tiles count where channels are told
    return OpLatency(op.index, op.name, piece.tensors, op.outputs[0].shape, op.macs, own, tuple(steps))


def _ms(op: Op, board: Board, threads: int, dense: tuple[int, int], size: tuple[int, int]) -> float:
    """Return the milliseconds of an operator at `size` of its (input, output) channels, which are `dense`."""
    read, computed = (some / all_ for some, all_ in zip(size, dense, strict=True))
    paid = in_tiles(np.asarray(size, np.float64), np.asarray((board.read_tile, board.tile))) / dense
    work = op.macs * float(paid.prod() if op.name in PRODUCTS else paid[1])
    coming = sum(tensor.nbytes for tensor in op.activations if tensor not in op.outputs) * read
    going = sum(tensor.nbytes for tensor in op.outputs) * computed
    pixels = math.prod(op.outputs[0].shape[:-1]) if op.name in _BY_PIXEL else 0
    cycles = max(work / board.macs_a_cycle, (coming + going) / board.bytes_a_cycle + _PIXEL_CYCLES * pixels)
    return cycles / threads / board.ghz / 1e6 + board.enter_us / 1e3
