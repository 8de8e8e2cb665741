"""Mask files → class ids, for masks painted in colors and for masks of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.stored import WHOLE, Box, Values
from rsseg_tf.datasets.images.numbers import Numbers
from rsseg_tf.datasets.images.windows import read_numbers, read_picture
from rsseg_tf.datasets.palette import IGNORE, ColorTable, Pixels, format_color
from rsseg_tf.errors import DataError

_COLORS_LISTED = 8
_TIFFS = (".tif", ".tiff")
_REMEDY = "fix the mask, or set data.unknown_colors=ignore"


class MaskReader(Protocol):
    """Reads the masks of one data set."""

    def read(self, path: Path, box: Box = WHOLE) -> Pixels:
        """Return a part of a mask: uint8 (h, w) class ids, 255 for ignore.

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

    def read(self, path: Path, box: Box = WHOLE) -> Pixels:
        """See `MaskReader.read`."""
        colors, valid = read_picture(path, box, labels=True)
        mask, unknown = self._table.decode(colors)
        if unknown and valid is not None:
            _, unknown = self._table.decode(colors[valid][None])
        if unknown and not self._ignore_unknown:
            found = ((format_color(color), count) for color, count in unknown.items())
            raise _strangers(path, "colors outside the palette", found, total=len(unknown), remedy=self._remedy)
        return mask


class IndexMasks:
    """Masks of numbers: gray values or palette indices, of any type.

    255 is ignored unless a class claims it, and so is the file's number for nothing.

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

    def read(self, path: Path, box: Box = WHOLE) -> Pixels:
        """See `MaskReader.read`."""
        found = read_numbers(path, box)
        numbers, is_exact = _as_bytes(found.values)
        blank = self._blank(found)
        counted = is_exact if blank is None else ~blank if is_exact is None else is_exact & ~blank
        counts = np.bincount(numbers.ravel() if counted is None else numbers[counted], minlength=256)
        counts[self._known] = 0
        strange = {str(number): int(counts[number]) for number in np.flatnonzero(counts).tolist()}
        beyond = {} if is_exact is None else _counted(found.values[~is_exact if blank is None else ~(is_exact | blank)])
        strange |= beyond
        if strange and not self._ignore_unknown:
            ordered = sorted(strange.items(), key=lambda item: -item[1])
            remedy = _remedy_beyond(path, list(beyond)) if beyond else self._remedy
            raise _strangers(path, "numbers that are not classes", ordered, total=len(strange), remedy=remedy)
        mask = self._table[numbers]
        return mask if counted is None else np.where(counted, mask, np.uint8(IGNORE))

    def _blank(self, found: Numbers) -> NDArray[np.bool_] | None:
        """Return where the file says that there is nothing, but for numbers that are a class; None for nowhere."""
        blank = None if found.valid is None else ~found.valid
        nodata = found.nodata
        if nodata is None or (nodata in range(256) and self._known[int(nodata)]):
            return blank
        nothing = np.isnan(found.values) if np.isnan(nodata) else found.values == nodata
        return nothing if blank is None else blank | nothing


def _remedy_beyond(path: Path, numbers: list[str]) -> str:
    """Return what to do about numbers that no class can have."""
    if len(numbers) > 1 or path.suffix.lower() not in _TIFFS:
        return _REMEDY
    return f"if {numbers[0]} stands for no label, say so: rio edit-info --nodata {numbers[0]} {path}; else {_REMEDY}"


def _as_bytes(values: Values) -> tuple[Pixels, NDArray[np.bool_] | None]:
    """Return numbers as uint8, and where they are the same; None for everywhere."""
    if values.dtype == np.uint8:
        return values, None
    with np.errstate(invalid="ignore"):
        numbers: Pixels = values.astype(np.uint8)
    is_exact = numbers == values
    return numbers, None if is_exact.all() else is_exact


def _counted(values: Values) -> dict[str, int]:
    """Return number → how often it occurs."""
    found, counts = np.unique(values, return_counts=True)
    return dict(zip((f"{value:.17g}" for value in found.tolist()), counts.tolist(), strict=True))


def _strangers(path: Path, what: str, found: Iterable[tuple[str, int]], *, total: int, remedy: str) -> DataError:
    listed = [f"{name} ({count} pixels)" for name, count in found]
    more = f" and {total - _COLORS_LISTED} more" if total > _COLORS_LISTED else ""
    return DataError(f"`{path}` holds {what}: {', '.join(listed[:_COLORS_LISTED])}{more}", hint=remedy)
