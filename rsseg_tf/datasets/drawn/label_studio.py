"""Exports of Label Studio as JSON: brushes, polygons and rectangles. Who drew them is not read."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.drawn.shapes import DAMAGED, Annotated, Area, closed
from rsseg_tf.datasets.files.opening import SUFFIXES
from rsseg_tf.errors import DataError

_PREFIX = re.compile(r"^[0-9a-f]{8}-")
_REDO = "export the project again, as JSON"
_CHANNELS = 4


def is_label_studio(content: Any) -> bool:
    """Return whether a JSON file is an export of Label Studio."""
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and {"data", "annotations"} <= set(first)


def label_studio_images(path: Path, content: Any) -> list[Annotated]:
    """Return what an export says of the images that were annotated; of several annotations the last counts.

    Args:
        path: the JSON file; the images lie below its folder.
        content: what it holds.

    Raises:
        DataError: if it is damaged, an image is not there, or a region is of a kind that covers nothing.
    """
    files: dict[str, list[Path]] = {}
    for each in sorted(path.parent.rglob("*")):
        if each.suffix.lower() in SUFFIXES:
            files.setdefault(each.name, []).append(each)
    try:
        return [found for task in content for found in _annotated(path, task, files)]
    except DAMAGED as error:
        raise DataError(f"`{path}` is not as Label Studio writes it", hint=_REDO) from error


def _annotated(path: Path, task: Mapping[str, Any], files: Mapping[str, Sequence[Path]]) -> Iterator[Annotated]:
    kept = [each for each in task["annotations"] if not each.get("was_cancelled") and each["result"]]
    if not kept:
        return
    regions = [each for each in kept[-1]["result"] if _is_drawn(each)]
    if not regions:
        return
    image = _image_of(path, task["data"], files)
    if turned := next((each["image_rotation"] for each in regions if each.get("image_rotation")), 0):
        raise DataError(
            f"`{path}` has regions that were drawn on `{image.name}` turned by {turned} degrees",
            hint="turn it back in Label Studio and draw them again, or turn the image's own pixels",
        )
    sizes = {(int(each["original_height"]), int(each["original_width"])) for each in regions}
    (size,) = sizes
    yield Annotated(image, size, tuple(_area(path, each, size) for each in regions), path)


def _image_of(path: Path, data: Mapping[str, Any], files: Mapping[str, Sequence[Path]]) -> Path:
    """Return the file of a task's image: of those of its name the one whose folders are most like the task's."""
    named = [unquote(value.rpartition("=")[2].replace("\\", "/")) for value in data.values() if isinstance(value, str)]
    said = [value for value in named if Path(value).suffix.lower() in SUFFIXES]
    for value in said:
        folder, _, name = value.rpartition("/")
        found = next((files[known] for known in (name, _PREFIX.sub("", name)) if known in files), ())
        likeness = [_common_ends(folder.split("/"), each.parent.parts) for each in found]
        best = [each for each, alike in zip(found, likeness, strict=True) if alike == max(likeness)]
        if len(best) > 1:
            raise DataError(
                f"`{path}` is of the image `{value}`, which may be `{best[0]}` or `{best[1]}`",
                hint="leave only the images of this project beside it, or name the folders as the project does",
            )
        if best:
            return best[0]
    names = ", ".join(value.rpartition("/")[2] for value in said) or "none"
    raise DataError(
        f"`{path}` is of the image `{names}`, which is not there", hint=f"put the images into `{path.parent}`"
    )


def _common_ends(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many of the last words of two are the same."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _is_drawn(result: Mapping[str, Any]) -> bool:
    """Return whether a result is a region with a label; others are choices or texts, of a region or the image."""
    return "original_width" in result and _kind(result).endswith("labels") and _kind(result) in result["value"]


def _kind(region: Mapping[str, Any]) -> str:
    return str(region["type"])


def _label(path: Path, labels: Sequence[Any]) -> str:
    if len(labels) == 1:
        return str(labels[0])
    said = f"the labels {', '.join(f'`{label}`' for label in labels)}" if labels else "no label"
    raise DataError(f"`{path}` has a region with {said}", hint="give each region one label, or remove it")


def _area(path: Path, region: Mapping[str, Any], size: tuple[int, int]) -> Area:
    value, kind = region["value"], _kind(region)
    label = _label(path, value[kind])
    if "rle" in value:
        opaque = unpacked_brush(value["rle"])[_CHANNELS - 1 :: _CHANNELS] > 0
        return Area(label, mask=opaque.reshape(size))
    if "points" in value:
        points = value["points"]
    elif "height" in value and not value.get("rotation"):
        left, top, right, bottom = value["x"], value["y"], value["x"] + value["width"], value["y"] + value["height"]
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    else:
        raise DataError(f"`{path}` has a region of `{kind}` labeled `{label}`", hint="draw it as a polygon or a brush")
    return Area(label, (closed([(x / 100 * size[1], y / 100 * size[0]) for x, y in points]),))


def unpacked_brush(packed: list[int]) -> NDArray[np.uint8]:
    """Return the bytes RGBA, row by row, that Label Studio packs (the format `rle-pack` of thi.ng/umbrella).

    A head has 32 bits for their number, 5 for the bits of a value less 1, and four times 4 for the bits of a length
    less 1. Each run has a bit that says whether one value is repeated, two that choose the bits of its length less 1,
    that length, and the values.

    Raises:
        ValueError: if it is cut off.
    """
    bits = "".join(f"{byte:08b}" for byte in packed)
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    number, width = take(32), take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    values = np.empty(number, np.uint8)
    done = 0
    while done < number:
        is_repeated = take(1)
        end = done + 1 + take(lengths[take(2)])
        values[done:end] = take(width) if is_repeated else [take(width) for _ in range(done, end)]
        done = end
    return values
