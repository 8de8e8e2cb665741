"""Mask files → class ids, for masks painted in colors and for masks of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from rsseg_tf.datasets.images.pixels import read_image, read_indices
from rsseg_tf.datasets.palette import IGNORE, ColorTable, Pixels, format_color
from rsseg_tf.errors import DataError

_COLORS_LISTED = 8
_REMEDY = "fix the mask, or set data.unknown_colors=ignore"


class MaskReader(Protocol):
    """Reads the masks of one data set."""

    def read(self, path: Path) -> Pixels:
        """Return the mask: uint8 (H, W) class ids, 255 for ignore.

        Raises:
            DataError: if the file is damaged, or holds something that is not a class.
        """
        ...


class ColorMasks:
    """Masks painted in colors.

    Args:
        table: color → id.
        ignore_unknown: whether other colors become 255 instead of an error.
        remedy: the hint of that error.
    """

    def __init__(self, table: ColorTable, *, ignore_unknown: bool = False, remedy: str = _REMEDY) -> None:
        self._table = table
        self._remedy = remedy
        self._ignore_unknown = ignore_unknown

    def read(self, path: Path) -> Pixels:
        """See `MaskReader.read`."""
        mask, unknown = self._table.decode(read_image(path, labels=True))
        if unknown and not self._ignore_unknown:
            found = ((format_color(color), count) for color, count in unknown.items())
            raise _strangers(path, "colors outside the palette", found, total=len(unknown), remedy=self._remedy)
        return mask


class IndexMasks:
    """Masks of numbers: gray values or palette indices. 255 is ignored unless a class claims it.

    Args:
        ids: number in the file → id.
        ignore_unknown: whether other numbers become 255 instead of an error.
        remedy: the hint of that error.
    """

    def __init__(self, ids: Mapping[int, int], *, ignore_unknown: bool = False, remedy: str = _REMEDY) -> None:
        self._remedy = remedy
        self._table: Pixels = np.full(256, IGNORE, np.uint8)
        self._known = np.zeros(256, bool)
        for number, index in ({IGNORE: IGNORE} | dict(ids)).items():
            self._table[number] = index
            self._known[number] = True
        self._ignore_unknown = ignore_unknown

    def read(self, path: Path) -> Pixels:
        """See `MaskReader.read`."""
        numbers = read_indices(path)
        counts = np.bincount(numbers.reshape(-1), minlength=256)
        counts[self._known] = 0
        strange = [number for number in np.argsort(-counts, kind="stable").tolist() if counts[number]]
        if strange and not self._ignore_unknown:
            found = ((str(number), int(counts[number])) for number in strange)
            raise _strangers(path, "numbers that are not classes", found, total=len(strange), remedy=self._remedy)
        return self._table[numbers]


def _strangers(path: Path, what: str, found: Iterable[tuple[str, int]], *, total: int, remedy: str) -> DataError:
    listed = [f"{name} ({count} pixels)" for name, count in found]
    more = f" and {total - _COLORS_LISTED} more" if total > _COLORS_LISTED else ""
    return DataError(f"`{path}` holds {what}: {', '.join(listed[:_COLORS_LISTED])}{more}", hint=remedy)
