"""How exports and published data sets lie in a folder, and what their masks show."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from rsseg_tf.datasets.files.opening import SUFFIXES
from rsseg_tf.datasets.palette import format_color
from rsseg_tf.datasets.readers.split_folders import SPLIT_OF
from rsseg_tf.errors import DataError, unreadable

Classes: TypeAlias = Mapping[str, str]
"""Class name → number or color in the masks, as settings have it."""

_SPLITS = ("train", "valid", "val", "test")
_LABEL_MAP, _CLASS_LIST, _CLASS_COLORS = "labelmap.txt", "_classes.csv", "class_dict"


@dataclass(frozen=True)
class Layout:
    """Where images and masks lie below a folder.

    Attributes:
        name: what people call it.
        image_glob: pattern of the images, `EXT` for their endings.
        mask_glob: pattern of their masks, likewise.
        classes: what the masks show, or a function of the folder that reads it from a file there; empty where nothing
            says so.
        ignored: numbers or colors that are no class.
        marks: files or folders of which one must be there, as patterns, beside images and masks.
    """

    name: str
    image_glob: str
    mask_glob: str
    classes: Classes | Callable[[Path], Classes] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()

    def classes_in(self, root: Path) -> Classes:
        """Return what the masks show; nothing where no file says so."""
        return self.classes(root) if callable(self.classes) else self.classes


def _numbered(*names: str, first: int = 0) -> Classes:
    return {name: str(number) for number, name in enumerate(names, first)}


def roboflow_classes(root: Path) -> Classes:
    """Return the classes that `_classes.csv` of Roboflow lists: `Pixel Value, Class`.

    Raises:
        DataError: if one cannot be read, or two of them differ.
    """
    paths = [root / split / _CLASS_LIST for split in (*_SPLITS, "") if (root / split / _CLASS_LIST).is_file()]
    lists = [{row[1]: str(int(row[0])) for row in _rows(path) if row[0].isdecimal()} for path in paths]
    for path, found in zip(paths[1:], lists[1:], strict=True):
        if found != lists[0]:
            raise DataError(
                f"`{paths[0]}` and `{path}` do not give the classes the same numbers",
                hint="export all splits of one version together",
            )
    return lists[0]


def label_map(root: Path) -> Classes:
    """Return the classes that `labelmap.txt` of CVAT lists: `name:red,green,blue:parts:actions`.

    Raises:
        DataError: if it cannot be read.
    """
    path = root / _LABEL_MAP
    if not path.is_file():
        return {}
    classes: dict[str, str] = {}
    for line in _text(path).splitlines():
        name, _, rest = line.partition(":")
        if line.strip() and not line.startswith("#"):
            classes[name.strip()] = _color(path, rest.partition(":")[0].split(","))
    return classes


def class_colors(root: Path) -> Classes:
    """Return the classes of a table `name, r, g, b` beside the masks, as Semantic Drone and others have it.

    Raises:
        DataError: if it cannot be read.
    """
    path = next(iter(sorted(root.rglob(f"{_CLASS_COLORS}*.csv"))), None)
    if path is None:
        return {}
    rows = [row for row in _rows(path) if len(row) >= 4 and row[1].isdecimal()]
    return {row[0]: _color(path, row[1:4]) for row in rows}


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "Roboflow semantic segmentation",
        "{split}/*.EXT",
        "{split}/*_mask.png",
        roboflow_classes,
        marks=tuple(f"{split}/{_CLASS_LIST}" for split in _SPLITS),
    ),
    Layout("Roboflow semantic segmentation", "*.EXT", "*_mask.png", roboflow_classes, marks=(_CLASS_LIST,)),
    Layout(
        "CVAT segmentation masks", "JPEGImages/**/*.EXT", "SegmentationClass/**/*.png", label_map, marks=(_LABEL_MAP,)
    ),
    Layout(
        "AeroScapes",
        "JPEGImages/*.jpg",
        "SegmentationClass/*.png",
        _numbered(
            *("background", "person", "bike", "car", "drone", "boat", "animal", "obstacle", "construction"),
            *("vegetation", "road", "sky"),
        ),
        marks=("ImageSets/trn.txt",),
    ),
    Layout(
        "FloodNet",
        "{split}/{split}-org-img/*.jpg",
        "{split}/{split}-label-img/*_lab.png",
        _numbered(
            *("background", "building flooded", "building non-flooded", "road flooded", "road non-flooded", "water"),
            *("tree", "vehicle", "pool", "grass"),
        ),
        marks=("train/train-org-img",),
    ),
    Layout(
        "Semantic Drone (TU Graz)",
        "training_set/images/*.jpg",
        "training_set/gt/semantic/label_images/*.png",
        class_colors,
        marks=("training_set/gt/semantic",),
    ),
    Layout(
        "DroneDeploy",
        "images/*-ortho.tif",
        "labels/*-label.png",
        {
            "building": "E6194B",
            "clutter": "911EB4",
            "vegetation": "3CB44B",
            "water": "F58230",
            "ground": "FFFFFF",
            "car": "0082C8",
        },
        ignored=("FF00FF",),
        marks=("images/*-ortho.tif",),
    ),
    Layout(
        "OpenEarthMap",
        "*/images/*.tif",
        "*/labels/*.tif",
        _numbered(
            *("bareland", "rangeland", "developed space", "road", "tree", "water", "agriculture land", "building"),
            first=1,
        ),
        ignored=("0",),
        marks=("train.txt",),
    ),
    Layout(
        "VDD",
        "{split}/src/*.EXT",
        "{split}/gt/*.png",
        _numbered("other", "wall", "road", "vegetation", "vehicle", "roof", "water"),
        marks=("train/src",),
    ),
    *(
        Layout(
            f"{images} and {masks}",
            f"{before}{images}/{within}**/*.EXT",
            f"{before}{masks}/{within}**/*{ending}.EXT",
            class_colors,
        )
        for before, within in (("{split}/", ""), ("", "{split}/"), ("", ""))
        for images in ("images", "image", "imgs", "img", "src", "JPEGImages", "rgb", "ortho")
        for masks in ("masks", "mask", "labels", "label", "gt", "annotations", "SegmentationClass", "segmentation")
        for ending in ("", "_mask", "_label", "_lab", "_gt", "-label", "-mask", "_seg")
    ),
    *(
        Layout(f"images beside *{ending}", f"{before}*.EXT", f"{before}*{ending}.EXT", class_colors)
        for before in ("{split}/", "")
        for ending in ("_mask", "_label", "_labels", "_lab", "_gt", "_seg", "-mask", "-label")
    ),
)
"""What is tried, in this order."""


def possible_layouts(root: Path, files: Sequence[Path]) -> Iterator[Layout]:
    """Yield the layouts whose marks, folders and names of `files` are there."""
    folders = {part for path in {path.parent for path in files} for part in path.relative_to(root).parts}
    stems = {path.stem for path in files}
    for layout in LAYOUTS:
        literal = {part for pattern in (layout.image_glob, layout.mask_glob) for part in pattern.split("/")[:-1]}
        named = {part for part in literal if not set(part) & set("*?{")}
        ending = layout.mask_glob.rpartition("*")[2].rpartition(".")[0]
        has_marks = not layout.marks or any(next(root.glob(mark), None) for mark in layout.marks)
        if has_marks and named <= folders and any(stem.endswith(ending) for stem in stems):
            yield layout


def with_endings(layout: Layout, images: Collection[str], masks: Collection[str]) -> Layout:
    """Return a layout whose patterns name endings of images, such as `.jpg`, and of masks."""
    patterns = (_named(layout.image_glob, images), _named(layout.mask_glob, masks))
    return replace(layout, image_glob=patterns[0], mask_glob=patterns[1])


def _named(pattern: str, endings: Collection[str]) -> str:
    texts = sorted(ending.removeprefix(".") for ending in endings)
    return pattern.replace(".EXT", f".{texts[0]}" if len(texts) == 1 else f".{{{','.join(texts)}}}")


def listed_splits(root: Path) -> dict[str, set[str]]:
    """Return split → names, without endings, as lists such as `train.txt`, here or below `ImageSets`, have them."""
    found: dict[str, set[str]] = {}
    for path in sorted([*root.glob("*.txt"), *(root / "ImageSets").rglob("*.txt")]):
        split = {"trn": "train", **SPLIT_OF}.get(path.stem.lower())
        if split:
            words = (line.split()[0] for line in _text(path).splitlines() if line.strip())
            found.setdefault(split, set()).update(map(_without_ending, words))
    return found


def _without_ending(word: str) -> str:
    path = Path(word)
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else str(path)


def _rows(path: Path) -> list[list[str]]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(_text(path).splitlines())]
    return [row for row in rows if len(row) > 1]


def _color(path: Path, numbers: list[str]) -> str:
    try:
        red, green, blue = (int(number) for number in numbers)
        return format_color((red, green, blue)).removeprefix("#")
    except ValueError as error:
        said = ",".join(numbers)
        raise DataError(f"`{path}` has a color `{said}`", hint="colors are red,green,blue, 0 to 255") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise DataError(f"`{path}` is no UTF-8 text", hint="save it as UTF-8") from error
