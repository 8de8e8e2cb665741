"""Annotations that a program keeps as outlines, drawn as masks: labelme and COCO."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.palette import IGNORE, Pixels
from rsseg_tf.errors import DataError, unreadable
from rsseg_tf.progress import warn

_CIRCLE_POINTS = 64
DAMAGED = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)
"""What an export that is not as it should be raises where it is read."""

_REDO = "export it again from the program that made it"
_FLAT = "make it a polygon, or remove it"

Outline = list[tuple[float, float]]


@dataclass(frozen=True)
class Area:
    """Part of an image that has a label.

    Attributes:
        label: its name; empty where an area is known to have a label, and not which pixels of it.
        outlines: closed polygons in pixels, of which each is filled; 0 is the edge of the first pixel.
        mask: pixels that it covers, bool (h, w), where it is no outline.
        corner: the row and column of the first pixel of `mask`; what of it lies outside of the image is left out.
    """

    label: str
    outlines: tuple[Outline, ...] = ()
    mask: NDArray[np.bool_] | None = None
    corner: tuple[int, int] = (0, 0)

    @property
    def pixels(self) -> float:
        """How many pixels it covers; of outlines, their area, those that overlap counted twice."""
        drawn = [np.array(outline) for outline in self.outlines]
        twice = (abs((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) for x, y in (points.T for points in drawn))
        return float(sum(twice) / 2 + (0 if self.mask is None else self.mask.sum()))


@dataclass(frozen=True)
class Annotated:
    """An image and what is drawn on it.

    Attributes:
        image: its file.
        size: height and width in pixels, as the annotations say.
        areas: what is drawn; the later ones lie above the earlier ones.
        source: the file of the annotations.
    """

    image: Path
    size: tuple[int, int]
    areas: tuple[Area, ...]
    source: Path


def drawn_mask(annotated: Annotated, numbers: Mapping[str, int], *, fill: int) -> Pixels:
    """Return a mask of class numbers, uint8 (H, W): a pixel has the number of the last area that its middle lies in.

    Args:
        annotated: the image.
        numbers: label → number.
        fill: the number of what lies in no area.
    """
    from rasterio.features import rasterize

    mask = np.full(annotated.size, fill, np.uint8)
    for area in annotated.areas:
        number = numbers[area.label] if area.label else IGNORE
        if area.outlines:
            shapes = [({"type": "Polygon", "coordinates": [outline]}, number) for outline in area.outlines]
            rasterize(shapes, out=mask)
        if area.mask is not None:
            row, column = area.corner
            inside = area.mask[max(0, -row) :, max(0, -column) :]
            part = mask[max(0, row) :, max(0, column) :][: inside.shape[0], : inside.shape[1]]
            part[inside[: part.shape[0], : part.shape[1]]] = number
    return mask


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"`{path}` is no JSON file", hint=_REDO) from error


def labelme_image(path: Path) -> Annotated:
    """Return what a file of labelme says.

    Raises:
        DataError: if it is damaged, or holds lines or points, which cover nothing.
    """
    content = read_json(path)
    try:
        areas = tuple(_labelme_area(path, shape) for shape in content["shapes"])
        image = path.parent / content["imagePath"].replace("\\", "/")
        return Annotated(image, (int(content["imageHeight"]), int(content["imageWidth"])), areas, path)
    except DAMAGED as error:
        raise DataError(f"`{path}` is not as labelme writes it", hint=_REDO) from error


def _labelme_area(path: Path, shape: Mapping[str, Any]) -> Area:
    label, kind = str(shape["label"]), shape.get("shape_type") or "polygon"
    points = [(float(x), float(y)) for x, y in shape["points"]]
    if kind in ("polygon", "rotation", "rectangle") and len(points) > 2:  # some programs name four corners
        return Area(label, (closed(points),))
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        return Area(label, (closed([(left, top), (right, top), (right, bottom), (left, bottom)]),))
    if kind == "circle":
        (x, y), edge = points
        radius = math.hypot(edge[0] - x, edge[1] - y)
        turns = (2 * math.pi * step / _CIRCLE_POINTS for step in range(_CIRCLE_POINTS))
        return Area(label, (closed([(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]),))
    if kind == "mask":
        return Area(label, mask=_picture(shape["mask"]), corner=(round(points[0][1]), round(points[0][0])))
    raise DataError(
        f"`{path}` has a {kind} of {len(points)} points labeled `{label}`, which covers nothing", hint=_FLAT
    )


def _picture(text: str) -> NDArray[np.bool_]:
    try:
        found = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_GRAYSCALE)
    except (binascii.Error, cv2.error) as error:
        raise ValueError(text) from error
    if found is None:
        raise ValueError(text)
    return np.asarray(found > 0)


def closed(points: Sequence[tuple[float, float]]) -> Outline:
    """Return an outline that ends where it begins.

    Raises:
        ValueError: for coordinates that are no numbers, of which the outline would not be drawn, and nothing said.
        TypeError: likewise.
    """
    if not all(math.isfinite(number) for point in points for number in point):
        raise ValueError("an outline has coordinates that are no numbers")
    return [*points, points[0]]


def coco_images(path: Path) -> list[Annotated]:
    """Return what a COCO file of segmentations says: the larger areas of an image below the smaller ones.

    Where an annotation has a box and no outline, what lies in the box has no label; a warning says how many there are.

    Raises:
        DataError: if it is damaged, or an image is not there.
    """
    content = read_json(path)
    try:
        _require_single(path, "category", [each["id"] for each in content["categories"]])
        _require_single(path, "image", [each["id"] for each in content["images"]])
        names = {each["id"]: str(each["name"]) for each in content["categories"]}
        shapes: dict[Any, list[tuple[float, Area]]] = {}
        sizes = {each["id"]: (int(each["height"]), int(each["width"])) for each in content["images"]}
        for each in content["annotations"]:
            area = _coco_area(path, names[each["category_id"]], each, sizes[each["image_id"]])
            shapes.setdefault(each["image_id"], []).append((float(each.get("area") or area.pixels), area))
        found = []
        for image in content["images"]:
            ordered = sorted(shapes.get(image["id"], ()), key=lambda pair: -pair[0])
            place = _placed(path, image["file_name"])
            found.append(Annotated(place, sizes[image["id"]], tuple(area for _, area in ordered), path))
    except DAMAGED as error:
        raise DataError(f"`{path}` is not as COCO describes segmentations", hint=_REDO) from error
    if unknown := sum(not area.label for image in found for area in image.areas):
        warn(
            f"`{path}` has {unknown} annotation{'s' * (unknown > 1)} without an outline: what lies in their boxes has "
            "no label",
            hint="draw their outlines, or leave it so",
        )
    return found


def _require_single(path: Path, what: str, ids: Sequence[Any]) -> None:
    """Refuse ids that are not one thing's, as in files that were put together as they are."""
    if twice := [each for each, count in Counter(ids).items() if count > 1]:
        raise DataError(
            f"`{path}` has the {what} id {twice[0]} more than once, so that its annotations may be of either",
            hint="export again, or put exports into folders of their own, each with its own file",
        )


def _coco_area(path: Path, label: str, annotation: Mapping[str, Any], size: tuple[int, int]) -> Area:
    segmentation = annotation.get("segmentation") or []
    if isinstance(segmentation, list):
        parts = (list(zip(part[0::2], part[1::2], strict=True)) for part in segmentation)
        outlines = tuple(closed(part) for part in parts if len(part) > 2)
        return Area(label, outlines) if outlines else _box(annotation.get("bbox") or (0, 0, 0, 0))
    if (of := segmentation.get("size")) and list(of) != list(size):
        raise DataError(
            f"`{path}` has run lengths of {of[0]}×{of[1]} pixels for an image of {size[0]}×{size[1]}", hint=_REDO
        )
    counts = segmentation["counts"]
    runs = list(unpacked_runs(counts)) if isinstance(counts, str) else counts
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return Area(label, mask=values.reshape(size[1], size[0]).T)


def _box(corner_and_size: Sequence[float]) -> Area:
    """Return a rectangle of which nothing is known but that something lies in it."""
    left, top, width, height = corner_and_size
    right, bottom = left + width, top + height
    return Area("", (closed([(left, top), (right, top), (right, bottom), (left, bottom)]),))


def unpacked_runs(text: str) -> Iterator[int]:
    """Yield the runs of COCO's compressed form: five bits a letter, from the fourth on less the one two before."""
    runs: list[int] = []
    letters = iter(text.encode())
    for first in letters:
        value, shift, letter = 0, 0, first
        while True:
            bits = letter - 48
            value |= (bits & 31) << shift
            shift += 5
            if not bits & 32:
                break
            letter = next(letters, 48)
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        yield runs[-1]


def _placed(path: Path, name: str) -> Path:
    """Return where an image of a COCO file lies: beside it, or in a folder of images near it.

    `annotations/instances_train2017.json` is of the images in `train2017`.
    """
    beside = path.parent
    above = [beside.parent / each for each in ("images", path.stem, path.stem.rpartition("_")[2])]
    for place in (beside, beside / "images", beside.parent, *above):
        if is_there(place / name):
            return place / name
    raise DataError(f"`{path}` names the image `{name}`, which is not there", hint=f"put it in `{beside / 'images'}`")


def is_there(path: Path) -> bool:
    """Return whether there is such a file; a name that no file can have is of none."""
    try:
        return path.is_file()
    except OSError:
        return False


def labels_of(images: Iterable[Annotated]) -> list[str]:
    """Return the labels that there are, sorted."""
    return sorted({area.label for image in images for area in image.areas} - {""})
