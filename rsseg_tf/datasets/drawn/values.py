"""What the masks of a data set hold, where nobody says what it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from rsseg_tf.datasets.images.windows import read_numbers, read_picture
from rsseg_tf.datasets.palette import MAX_CLASSES, format_color
from rsseg_tf.errors import DataError
from rsseg_tf.progress import Progress


def counted_values(masks: Iterable[Path], *, colors: bool, progress: Progress | None = None) -> Counter[str]:
    """Return number or color `RRGGBB` → pixels, over all masks; what a file calls nodata is not counted.

    Args:
        masks: the files.
        colors: whether they hold colors.
        progress: called after every file.

    Raises:
        DataError: if one cannot be read, or they hold more values than there can be classes.
    """
    found: Counter[str] = Counter()
    paths = list(masks)
    for done, path in enumerate(paths, start=1):
        found += _colors_in(path) if colors else _numbers_in(path)
        if len(found) > 2 * MAX_CLASSES:
            raise DataError(
                f"the masks hold more than {2 * MAX_CLASSES} values: `{path}` is among them",
                hint="masks saved as JPEG or resized smoothly hold colors that are no class: export them as PNG",
            )
        if progress:
            progress(done, len(paths))
    return found


def are_colors(mask: Path) -> bool:
    """Return whether a mask holds colors, not numbers.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        read_numbers(mask)
    except DataError:
        read_picture(mask, labels=True)  # which says what is wrong with a file that holds neither
        return True
    return False


def _numbers_in(path: Path) -> Counter[str]:
    found = read_numbers(path)
    values = found.values if found.valid is None else found.values[found.valid]
    numbers, counts = np.unique(values, return_counts=True)
    pairs = zip(numbers.tolist(), counts.tolist(), strict=True)
    return Counter(
        {f"{number:g}": count for number, count in pairs if number not in (found.nodata,) and number == number}
    )


def _colors_in(path: Path) -> Counter[str]:
    pixels, valid = read_picture(path, labels=True)
    flat = pixels.reshape(-1, 3) if valid is None else pixels[valid]
    packed = flat.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colors, counts = np.unique(packed, return_counts=True)
    return Counter(
        {
            format_color((color >> 16, color >> 8 & 255, color & 255)).removeprefix("#"): count
            for color, count in zip(colors.tolist(), counts.tolist(), strict=True)
        }
    )
