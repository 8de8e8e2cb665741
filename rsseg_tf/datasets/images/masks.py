"""Mask files → class ids, for masks painted in colors and for masks of numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.stored import WHOLE, Box, Values, fitting_memory
from rsseg_tf.datasets.images.numbers import Numbers
from rsseg_tf.datasets.images.windows import read_numbers, read_picture
from rsseg_tf.datasets.palette import IGNORE, ColorTable, Pixels, format_color
from rsseg_tf.errors import DataError
from rsseg_tf.text import counted

_COLORS_LISTED = 8
COUNTED_AT_ONCE = 1 << 22
_TIFFS = (".tif", ".tiff")
_REMEDY = "fix the mask, or set data.unknown_colors=ignore"


class UnknownValuesError(DataError):
    """A mask that holds what is not a class.

    Args:
        path: the mask.
        values: number or `#RRGGBB` → its pixels, the most frequent first.
        hint: what to do.
    """

    def __init__(self, path: Path, values: Mapping[str, int], *, hint: str) -> None:
        listed = [f"{name} ({count} pixels)" for name, count in values.items()]
        super().__init__(f"`{path}` holds {_told(listed)}", hint=hint)
        self.values = values


def unknown_in_all(found: Mapping[Path, Mapping[str, int]]) -> str:
    """Return one message about what several masks hold that is not a class.

    Args:
        found: mask → number or `#RRGGBB` → its pixels.
    """
    masks = Counter(value for values in found.values() for value in values)
    pixels: Counter[str] = Counter()
    for values in found.values():
        pixels.update(values)
    listed = [f"{value} ({count} pixels in {counted(masks[value], 'mask')})" for value, count in pixels.most_common()]
    return f"{counted(len(found), 'mask')} hold {_told(listed)}; `{next(iter(found))}` is the first"


def _told(listed: list[str]) -> str:
    what = "colors outside the palette" if listed[0].startswith("#") else "numbers that are not classes"
    more = f" and {len(listed) - _COLORS_LISTED} more" if len(listed) > _COLORS_LISTED else ""
    return f"{what}: {', '.join(listed[:_COLORS_LISTED])}{more}"


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
        with fitting_memory(path):
            return self._read(path, box)

    def _read(self, path: Path, box: Box) -> Pixels:
        colors, valid = read_picture(path, box, labels=True)
        mask, unknown = self._table.decode(colors)
        if unknown and valid is not None:
            _, unknown = self._table.decode(colors[valid][None])
        if unknown and not self._ignore_unknown:
            found = {format_color(color): count for color, count in unknown.items()}
            raise UnknownValuesError(path, found, hint=self._remedy)
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
        with fitting_memory(path):
            return self._read(path, box)

    def _read(self, path: Path, box: Box) -> Pixels:
        found = read_numbers(path, box)
        numbers, is_exact = _as_bytes(found.values)
        blank = self._blank(found)
        counted = is_exact if blank is None else ~blank if is_exact is None else is_exact & ~blank
        counts = _histogram(numbers if counted is None else numbers[counted])
        counts[self._known] = 0
        strange = {str(number): int(counts[number]) for number in np.flatnonzero(counts).tolist()}
        beyond = {} if is_exact is None else _counted(found.values[~is_exact if blank is None else ~(is_exact | blank)])
        strange |= beyond
        if strange and not self._ignore_unknown:
            ordered = dict(sorted(strange.items(), key=lambda item: -item[1]))
            raise UnknownValuesError(path, ordered, hint=_remedy_beyond(path, list(beyond)) if beyond else self._remedy)
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


def _histogram(numbers: Pixels) -> NDArray[np.int64]:
    """Return how often each of 256 numbers occurs; NumPy makes eight bytes of each that it counts at once."""
    counts, flat = np.zeros(256, np.int64), numbers.ravel()
    for start in range(0, flat.size, COUNTED_AT_ONCE):
        counts += np.bincount(flat[start : start + COUNTED_AT_ONCE], minlength=256)
    return counts


def _counted(values: Values) -> dict[str, int]:
    """Return number → how often it occurs."""
    found, counts = np.unique(values, return_counts=True)
    return dict(zip((f"{value:.17g}" for value in found.tolist()), counts.tolist(), strict=True))
