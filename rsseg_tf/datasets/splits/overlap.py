"""Ground that images of two splits show: by where they lie, else by what is seen in them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.agreement import require_equal_headers
from rsseg_tf.datasets.files.opening import windowed_size
from rsseg_tf.datasets.files.position import Position, position_of
from rsseg_tf.datasets.readers.files import FileDataset
from rsseg_tf.datasets.readers.layout import natural_key
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.datasets.splits.similar import Details, details_of, show_one_place
from rsseg_tf.errors import RssegError
from rsseg_tf.progress import Progress
from rsseg_tf.text import counted

HINT = (
    "a score of such images is too good: keep a flight or a place in one split, in a list (data.folder.pairs) or in "
    "folders of splits, or leave out what lies between"
)
_LEAST_SHARE = 0.02
"""Of the smaller image: pixels of one grid can be half a pixel apart."""

_LOOKED_AT = 64
"""Images of a split that are compared, spread evenly."""

_PAIRS = 4000


@dataclass(frozen=True)
class Overlap:
    """Images of one split that show ground of another.

    Attributes:
        split: such as `test`.
        other: such as `train`.
        found: image → the first of the other split that shows the same ground, by their names.
        looked_at: images of `split` that were compared.
    """

    split: str
    other: str
    found: dict[str, str]
    looked_at: int

    @property
    def message(self) -> str:
        """What to warn of."""
        name, other = next(iter(self.found.items()))
        images = counted(self.looked_at, "image")
        return (
            f"{len(self.found)} of {images} of `{self.split}` show ground that `{self.other}` shows too, such as "
            f"`{name}` and `{other}`"
        )


Points: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class _Image:
    """A sample, where it lies, and its name as a sort key."""

    sample: Sample
    position: Position | None
    order: list[tuple[int, str]]

    @classmethod
    def of(cls, sample: Sample) -> _Image:
        position = None if sample.image is None else position_of(sample.image)
        return cls(sample, position, natural_key(Path(sample.name)))


def overlaps(dataset: FileDataset, *, most: int = _PAIRS, progress: Progress | None = None) -> list[Overlap]:
    """Return what two splits of a data set share; pairs of splits that share nothing are not in it.

    Images with georeferences are compared by these, the others by details that are seen in small gray versions of
    them; of large splits some are. An image that cannot be read, or is only read in parts, shares nothing.

    Args:
        dataset: its samples in every split.
        most: pairs of images to compare for two splits; each image is compared with those nearest by place or by name.
        progress: called with (images done, images in all) for each image that is compared with another split.
    """
    splits = [split for split in dataset.splits() if split not in dataset.aliases]
    members = {split: [_Image.of(sample) for sample in dataset.samples(split)] for split in splits}
    chosen = {split: _spread(images) for split, images in members.items()}
    pairs = [(later, earlier) for earlier, later in itertools.combinations(splits, 2)]
    total, done = sum(len(chosen[split]) for split, _ in pairs), 0

    @cache
    def details(sample: Sample) -> Details | None:
        return _details(dataset, sample)

    found = []
    for split, other in pairs:
        overlap = Overlap(split, other, {}, len(chosen[split]))
        for image in chosen[split]:
            near = _nearest(image, members[other], most=-(-most // len(chosen[split])))
            if (match := next((each for each in near if _is_shared(image, each, details)), None)) is not None:
                overlap.found[image.sample.name] = match.sample.name
            done += 1
            if progress:
                progress(done, total)
        found += [overlap] if overlap.found else []
    return found


def _spread(images: Sequence[_Image]) -> list[_Image]:
    chosen = np.linspace(0, len(images) - 1, min(_LOOKED_AT, len(images))).round().astype(int)
    return [images[index] for index in chosen.tolist()]


def _nearest(image: _Image, others: Sequence[_Image], *, most: int) -> list[_Image]:
    """Return the others that come nearest by place, then those by name."""
    before = [each.order for each in others if each.order < image.order]

    def distance(numbered: tuple[int, _Image]) -> tuple[bool, float]:
        number, other = numbered
        here, there = image.position, other.position
        if here is not None and there is not None and here.space == there.space:
            return False, math.dist(here.center, there.center)
        return True, abs(number + 0.5 - len(before))

    return [each for _, each in sorted(enumerate(others), key=distance)[:most]]


def _is_shared(image: _Image, other: _Image, details: Callable[[Sample], Details | None]) -> bool:
    here, there = image.position, other.position
    if here is not None and there is not None and here.space == there.space and here.side and there.side:
        return _common_share(here, there) > _LEAST_SHARE
    first, second = details(image.sample), details(other.sample)
    return first is not None and second is not None and show_one_place(first, second)


def _common_share(here: Position, there: Position) -> float:
    """Return the share of the smaller one that both have in common."""
    first, second = (_turned_left(np.array(each.corners) - here.center) for each in (here, there))
    common = first
    for start, end in zip(second, np.roll(second, -1, axis=0), strict=True):
        common = _left_of(start, end, common)
    return abs(_area(common)) / min(_area(first), _area(second))


def _area(corners: Points) -> float:
    """Return the area of a polygon (n, 2), below 0 where its corners turn right."""
    (x, y), (next_x, next_y) = corners.T, np.roll(corners, -1, axis=0).T
    return float((x * next_y - next_x * y).sum() / 2)


def _turned_left(corners: Points) -> Points:
    return corners if _area(corners) > 0 else corners[::-1]


def _left_of(start: Points, end: Points, corners: Points) -> Points:
    """Return what of a convex polygon lies left of a line (Sutherland and Hodgman 1974).

    OpenCV's `intersectConvexConvex` returns wrong areas for some turned rectangles whose edges lie on one another.
    """
    (across, up), kept = end - start, list[Points]()
    sides = (corners - start) @ (-up, across)
    for corner, side, before, side_before in zip(
        corners, sides, np.roll(corners, 1, axis=0), np.roll(sides, 1), strict=True
    ):
        if (side >= 0) != (side_before >= 0):
            kept.append(before + (corner - before) * side_before / (side_before - side))
        if side >= 0:
            kept.append(corner)
    return np.array(kept).reshape(-1, 2)


def _details(dataset: FileDataset, sample: Sample) -> Details | None:
    try:
        if sample.image is None or windowed_size(sample.image) is not None:
            return None
        require_equal_headers(sample)
        return details_of(dataset.read_image(sample))
    except RssegError:  # the check says so
        return None
