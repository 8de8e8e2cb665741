"""Contact sheets: image, colored mask and overlay side by side with their file, the classes named below."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rsseg_tf.datasets.files.opening import OPENCV_SUFFIXES
from rsseg_tf.datasets.images.channels import visible
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.datasets.palette import IGNORE, Color, Palette, Pixels, format_color
from rsseg_tf.datasets.parts import read_some
from rsseg_tf.datasets.sample import Dataset, Sample
from rsseg_tf.runs import require_output

_GAP_PX = 4
_CAPTION_PX = 18
_FONT, _LETTERS = cv2.FONT_HERSHEY_SIMPLEX, 0.42
_LEGEND_ROW_PX = 22
_LEGEND_COLUMN_PX = 170
_BACKGROUND = 245
_MASK_SHARE = 0.45


def contact_sheet(dataset: Dataset, split: str, *, count: int, cell: int = 256) -> Pixels:
    """Return samples spread evenly over a split, one per row, with the name of its file below.

    Args:
        dataset: where they come from.
        split: the name of the split.
        count: rows at most.
        cell: the longer side of a picture in pixels.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        DataError: if there is no such split, or a sample cannot be read.
    """
    chosen = chosen_samples(dataset, split, count=count)
    rows = [_row(dataset, sample, cell) for sample in chosen]
    width = max(max(row.shape[1] for row in rows), _LEGEND_COLUMN_PX)
    parts = [part for row, sample in zip(rows, chosen, strict=True) for part in (row, caption(sample, width))]
    return np.concatenate([_padded(part, width) for part in (*parts, legend(dataset.palette, width))])


def write_sheet(path: Path, dataset: Dataset, *, split: str, count: int, cell: int) -> dict[str, Any]:
    """Write a contact sheet to a PNG, JPEG or TIFF file.

    Returns:
        `sheet` (path), `split`, `width`, `height`, `classes` (name → `#RRGGBB`), and `samples`, each with `name`,
        `image` and `mask` (paths, None where there is no file), from top to bottom.

    Raises:
        ConfigError: for an ending of another kind, or the name of a file of the data set.
        DataError: if there is no such split, or a sample cannot be read.
    """
    every = [sample for name in dataset.splits() for sample in dataset.samples(name)]
    files = [file for sample in every for file in (sample.image, sample.mask) if file is not None]
    require_output(path, kinds=OPENCV_SUFFIXES, reads=files)
    picture = contact_sheet(dataset, split, count=count, cell=cell)
    write_image(path, picture)
    return {
        "sheet": str(path),
        "split": split,
        "width": picture.shape[1],
        "height": picture.shape[0],
        "classes": {name: format_color(color) for name, color in _classes(dataset.palette)},
        "samples": [
            {"name": sample.name, "image": _named(sample.image), "mask": _named(sample.mask)}
            for sample in chosen_samples(dataset, split, count=count)
        ],
    }


def _classes(palette: Palette) -> Iterable[tuple[str, Color]]:
    return zip(palette.names, palette.colors, strict=True)


def _named(path: Path | None) -> str | None:
    return None if path is None else str(path)


def chosen_samples(dataset: Dataset, split: str, *, count: int) -> tuple[Sample, ...]:
    """Return at most `count` samples of a split, spread evenly over it.

    Raises:
        DataError: if there is no such split.
    """
    samples = dataset.samples(split)
    chosen = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return tuple(samples[index] for index in chosen.tolist())


def overlay(image: Pixels, mask: Pixels, palette: Palette) -> Pixels:
    """Return the image tinted with the colors of its mask; ignored pixels stay as they are."""
    tinted = cv2.addWeighted(image, 1 - _MASK_SHARE, palette.colorize(mask), _MASK_SHARE, 0)
    return np.where((mask == IGNORE)[..., None], image, tinted)


def legend(palette: Palette, width: int) -> Pixels:
    """Return a swatch and the name of each class, in as many columns as fit: uint8 (H, width, 3)."""
    columns = max(1, width // _LEGEND_COLUMN_PX)
    rows = -(-palette.num_classes // columns)
    picture: Pixels = np.full((rows * _LEGEND_ROW_PX + _GAP_PX, width, 3), _BACKGROUND, np.uint8)
    for index, (name, color) in enumerate(_classes(palette)):
        top, left = index // columns * _LEGEND_ROW_PX + _GAP_PX, index % columns * _LEGEND_COLUMN_PX + _GAP_PX
        cv2.rectangle(picture, (left, top), (left + 14, top + 14), color, cv2.FILLED)
        cv2.rectangle(picture, (left, top), (left + 14, top + 14), (90, 90, 90), 1)
        _write(picture, name, (left + 20, top + 12))
    return picture


def caption(sample: Sample, width: int) -> Pixels:
    """Return a line that names a sample and its file, as much of its end as fits: uint8 (18, width, 3)."""
    picture: Pixels = np.full((_CAPTION_PX, width, 3), _BACKGROUND, np.uint8)
    words = _ascii(sample.name + ("" if sample.image is None else sample.image.suffix))
    whole = words
    while len(words) > 1 and cv2.getTextSize(words, _FONT, _LETTERS, 1)[0][0] > width - 2 * _GAP_PX:
        whole = whole[1:]
        words = f"...{whole}"
    _write(picture, words, (_GAP_PX, _CAPTION_PX - 5))
    return picture


def _write(picture: Pixels, words: str, place: tuple[int, int]) -> None:
    cv2.putText(picture, _ascii(words), place, _FONT, _LETTERS, (30, 30, 30), 1, cv2.LINE_AA)


def _ascii(words: str) -> str:
    """Return the words in OpenCV's built-in letters."""
    return words.encode("ascii", "replace").decode()


def _row(dataset: Dataset, sample: Sample, cell: int) -> Pixels:
    if sample.mask is None and sample.image is not None:
        return _framed(_fitted(visible(dataset.read_image(sample)), cell, cv2.INTER_AREA))
    image, mask = read_some(dataset, sample)
    small, labels = _fitted(visible(image), cell, cv2.INTER_AREA), _fitted(mask, cell, cv2.INTER_NEAREST)
    pictures = (small, dataset.palette.colorize(labels), overlay(small, labels, dataset.palette))
    return np.concatenate([_framed(picture) for picture in pictures], axis=1)


def _fitted(picture: Pixels, cell: int, interpolation: int) -> Pixels:
    height, width = picture.shape[:2]
    scale = cell / max(height, width)
    if scale == 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=interpolation)


def _framed(picture: Pixels) -> Pixels:
    light = (_BACKGROUND,) * 3
    return cv2.copyMakeBorder(picture, _GAP_PX, 0, _GAP_PX, 0, cv2.BORDER_CONSTANT, value=light)


def _padded(picture: Pixels, width: int) -> Pixels:
    missing, light = width - picture.shape[1], (_BACKGROUND,) * 3
    return cv2.copyMakeBorder(picture, 0, 0, 0, missing, cv2.BORDER_CONSTANT, value=light)
