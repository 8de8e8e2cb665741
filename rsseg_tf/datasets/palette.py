"""Class names and colors, and the way between colors and class ids."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
Pixels = NDArray[np.uint8]

IGNORE = 255
"""The id of pixels that have no label: they are neither trained on nor scored."""

_UNKNOWN = 254
MAX_CLASSES = _UNKNOWN
"""Ids are 0 … 253: 254 marks what a table does not hold while it is looked up, 255 is `IGNORE`."""

_PIXELS_AT_ONCE = 1 << 20
_GOLDEN_ANGLE = 0.61803398875


@dataclass(frozen=True)
class Palette:
    """The classes of a data set; a class's id is its place.

    Attributes:
        names: the class names.
        colors: the RGB display color of each class, 0 … 255.

    Raises:
        ValueError: for unequal lengths, a repeated name or color, no class or more than `MAX_CLASSES`.

    Examples:
        >>> Palette(("road", "roof"), ((128, 64, 128), (128, 0, 0))).colorize(np.uint8([[1, 255]])).tolist()
        [[[128, 0, 0], [0, 0, 0]]]
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.names) <= MAX_CLASSES or len(self.names) != len(self.colors):
            raise ValueError(
                f"expected 1 to {MAX_CLASSES} names and a color each, got {len(self.names)} and {len(self.colors)}"
            )
        for what, values in (("name", self.names), ("color", self.colors)):
            if len(set(values)) != len(values):
                raise ValueError(f"every {what} must differ from the others, got {values}")

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.names)

    def colorize(self, mask: NDArray[np.integer]) -> Pixels:
        """Return the picture of a mask.

        Args:
            mask: (H, W) class ids, 255 for ignore.

        Returns:
            uint8 (H, W, 3) RGB; ignored pixels are black.

        Raises:
            ValueError: for an id that is neither a class nor 255.
        """
        narrow = np.asarray(mask).astype(np.uint8)
        foreign = (narrow >= self.num_classes) & (narrow != IGNORE)
        if narrow.ndim != 2 or not np.array_equal(narrow, mask) or foreign.any():
            raise ValueError(f"a mask is (H, W) with ids below {self.num_classes} or {IGNORE}")
        table: Pixels = np.zeros((256, 3), np.uint8)
        table[: self.num_classes] = self.colors
        colored: Pixels = cv2.applyColorMap(np.ascontiguousarray(narrow), table[:, None])
        return colored


class ColorTable:
    """Colors → class ids, fast for whole survey tiles.

    Args:
        ids: RGB color → id; several colors may share one id, and `IGNORE` is an id.
    """

    def __init__(self, ids: Mapping[Color, int]) -> None:
        self.ids = dict(ids)

    @cached_property
    def _table(self) -> Pixels:
        table: Pixels = np.full(1 << 24, _UNKNOWN, np.uint8)  # 16 MiB: one look-up a pixel, no search
        for (red, green, blue), index in self.ids.items():
            table[red | green << 8 | blue << 16] = index
        return table

    def decode(self, image: Pixels) -> tuple[Pixels, dict[Color, int]]:
        """Return the ids of a color mask, and what the table does not hold.

        Args:
            image: uint8 (H, W, 3) RGB.

        Returns:
            The mask, uint8 (H, W), 255 at unknown colors; and unknown color → number of pixels, most frequent first.
        """
        mask: Pixels = np.empty(image.shape[:2], np.uint8)
        rows_at_once = max(1, _PIXELS_AT_ONCE // max(1, image.shape[1]))
        unknown: dict[Color, int] = {}
        for top in range(0, len(image), rows_at_once):
            packed = _packed(image[top : top + rows_at_once])
            ids = self._table[packed]
            strange = ids == _UNKNOWN
            if strange.any():
                _count(packed[strange], into=unknown)
                ids[strange] = IGNORE
            mask[top : top + rows_at_once] = ids
        return mask, dict(sorted(unknown.items(), key=lambda item: -item[1]))


def _packed(image: Pixels) -> NDArray[np.uint32]:
    """Return each pixel as one number, red in the lowest byte; OpenCV packs several times faster than NumPy shifts."""
    four_channels: Pixels = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2RGBA)
    packed = four_channels.view("<u4")[..., 0].astype(np.uint32, copy=False)
    packed &= 0xFFFFFF
    return packed


def _count(packed: NDArray[np.uint32], *, into: dict[Color, int]) -> None:
    values, counts = np.unique(packed, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        color = (value & 255, value >> 8 & 255, value >> 16)
        into[color] = into.get(color, 0) + count


def color_table(palette: Palette, ignore: tuple[Color, ...] = ()) -> ColorTable:
    """Return the table that reads masks painted in the colors of `palette`; `ignore` colors become 255."""
    ids = dict.fromkeys(ignore, IGNORE)
    return ColorTable(ids | {color: index for index, color in enumerate(palette.colors)})


def parse_color(text: str) -> Color:
    """Return the RGB color that `RRGGBB` or `#RRGGBB` names.

    Raises:
        ValueError: if `text` is something else.

    Examples:
        >>> parse_color("3C1098")
        (60, 16, 152)
    """
    digits = text.strip().removeprefix("#")
    if len(digits) != 6 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError(f"expected six hexadecimal digits, got `{text}`")
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def format_color(color: Color) -> str:
    """Return the color as `#RRGGBB`."""
    return "#{:02X}{:02X}{:02X}".format(*color)


def distinct_colors(count: int) -> tuple[Color, ...]:
    """Return `count` colors that differ from each other and from black, always the same, for sets without their own."""
    colors: dict[Color, None] = {}
    step = 0
    while len(colors) < count:
        lightness = (0.5, 0.7, 0.35)[step // 7 % 3]
        red, green, blue = colorsys.hls_to_rgb(step * _GOLDEN_ANGLE % 1, lightness, 0.75)
        colors[round(red * 255), round(green * 255), round(blue * 255)] = None
        step += 1
    return tuple(colors)
