"""What a channel costs on a device: operators at fewer channels, and the tile that channels are paid for in.

A kernel computes its output channels in tiles (XNNPACK's int8 GEMM: 8, 16 or 64 of them, by processor), and one channel
past a full tile costs as much as a whole one. And a part of an operator's time does not depend on its channels at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.tflite.cutting import Piece
from rsseg_tf.tflite.narrowing import PRODUCTS, Narrowed, channels, narrowed

TILES = (1, 8, 16, 32, 64)
"""Channels that kernels compute together, of which one is found."""

_NARROW = 0.25
"""Share of its channels that an operator is measured at as well."""

_LEAST = 16
"""An operator of fewer channels is not measured at fewer."""

_STAIRCASE = (24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 65, 72, 80, 88, 96, 104, 112, 120, 128, 129)
"""Output channels that the staircase is measured at."""


@dataclass(frozen=True)
class Step:
    """An operator's time at other numbers of channels.

    Attributes:
        inputs: channels that it read; of one that takes each channel for itself, as many as it computed.
        outputs: channels that it computed.
        ms: median time.
    """

    inputs: int
    outputs: int
    ms: float


def narrow_forms(piece: Piece) -> list[Narrowed]:
    """Return the forms of an operator with fewer channels that are measured: fewer inputs, fewer outputs, and both."""
    found = channels(piece)
    if found is None:
        return []
    narrow_in, narrow_out = map(_narrow, found)
    both = (narrow_in, narrow_out)
    sizes = [(narrow_in, found[1]), (found[0], narrow_out), both] if piece.op.name in PRODUCTS else [both]
    wanted = dict.fromkeys(size for size in sizes if size != found)
    forms = [narrowed(piece, *size) for size in wanted]
    return [form for form in forms if form is not None]


def _narrow(width: int) -> int:
    """Return a quarter of a width as a multiple of the largest tile that fits, the width itself where it is small."""
    if width < _LEAST:
        return width
    tile = next(tile for tile in reversed(TILES) if tile <= max(_LEAST // 2, _NARROW * width))
    return max(tile, round(_NARROW * width / tile) * tile)


def staircase_forms(pieces: Sequence[Piece]) -> list[Narrowed]:
    """Return the convolution with the most work at many widths; none where no convolution is wide enough."""
    wide = [
        piece
        for piece in pieces
        if piece.op.name == "CONV_2D" and (found := channels(piece)) and found[1] >= _STAIRCASE[-1]
    ]
    if not wide:
        return []
    piece = max(wide, key=lambda each: each.op.macs)
    inputs, _ = channels(piece) or (0, 0)
    forms = [narrowed(piece, inputs, width) for width in _STAIRCASE]
    return [form for form in forms if form is not None]


def tile_of(staircase: Mapping[int, float]) -> int:
    """Return the tile that explains width → milliseconds best, as a fixed time and one for each tile; 1 without any.

    Examples:
        >>> tile_of({width: 1 + -(-width // 16) for width in range(20, 130, 4)})
        16
    """
    if not staircase:
        return 1
    widths, times = (np.asarray(list(part), np.float64) for part in (staircase, staircase.values()))
    return min(TILES, key=lambda tile: _unexplained(in_tiles(widths, tile), times))


def in_tiles(widths: NDArray[np.float64], tile: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the channels that are paid for: each width rounded up to a multiple of the tile."""
    rounded: NDArray[np.float64] = np.ceil(widths / tile - 1e-9) * tile
    return rounded


def _unexplained(widths: NDArray[np.float64], times: NDArray[np.float64]) -> float:
    matrix = np.stack([np.ones_like(widths), widths], axis=1)
    found, *_ = np.linalg.lstsq(matrix, times, rcond=None)
    return float(((matrix @ found - times) ** 2).sum())
