"""Looks at a folder, says what it is, and writes the settings that read it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsseg_tf.datasets.drawn.label_studio import is_label_studio, label_studio_images
from rsseg_tf.datasets.drawn.layouts import Layout, listed_splits, possible_layouts
from rsseg_tf.datasets.drawn.listing import Pair, write_listing, write_pairs, write_settings
from rsseg_tf.datasets.drawn.shapes import (
    Annotated,
    coco_images,
    drawn_mask,
    is_there,
    labelme_image,
    labels_of,
    read_json,
)
from rsseg_tf.datasets.drawn.values import are_colors, counted_values
from rsseg_tf.datasets.files.opening import open_stored
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.datasets.palette import IGNORE, MAX_CLASSES
from rsseg_tf.datasets.readers.globs import SPLIT, glob_listing
from rsseg_tf.datasets.readers.layout import existing_root, files_below
from rsseg_tf.datasets.readers.split_folders import SPLIT_OF
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.datasets.splits.dealing import deal
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.progress import Progress

_LAYOUT = "it holds images and masks, or an export of an annotation program"
_UNKNOWN = (
    "say what pairs, in a YAML file with data.folder.image_glob and data.folder.mask_glob such as {split}/*.jpg and "
    "{split}/*_mask.png, or list the pairs in a CSV file named by data.folder.pairs"
)
_OFFICIAL = {"uavid": ("uavid_train",), "loveda": ("Train/Urban",), "potsdam": ("2_Ortho_RGB", "3_Ortho_IRRG")}


def initialize(folder: Path, out: Path, *, background: str = "", progress: Progress | None = None) -> dict[str, Any]:
    """Find out what lies in a folder, and write `data.yaml` that reads it, with the values that its masks hold.

    Args:
        folder: a data set, or what an annotation program exported.
        out: a folder for the settings, and for masks where there are outlines alone.
        background: (outlines) the class of what lies in none; empty where that is ignored.
        progress: called after every mask.

    Returns:
        `layout`, `config`, pairs of every split, and value → pixels, as JSON values.

    Raises:
        DataError: if the folder holds nothing that is known, or a file in it is damaged.
    """
    root = existing_root(str(folder), layout=_LAYOUT)
    for name, marks in _OFFICIAL.items():
        if any((root / mark).is_dir() for mark in marks):
            return {"layout": name, **write_settings(out, {"name": name, "root": root.as_posix()}), "splits": {}}
    annotated = _annotated(root)
    if annotated:
        return _from_outlines(annotated, out, background, progress)
    layout, samples = _layout_of(root)
    every = [each for split in samples.values() for each in split]
    masks = [each.mask for each in every if each.mask]
    classes = layout.classes_in(root)
    is_colored = _is_color(next(iter(classes.values()))) if classes else are_colors(masks[0])
    values = counted_values(masks, colors=is_colored, progress=progress)
    named = dict(classes) or _named(values)
    if len(named) > MAX_CLASSES:
        raise DataError(f"the masks hold {len(named)} values, too many for classes", hint="export them as PNG")
    if not is_colored and (odd := [value for value in named.values() if not _is_class(value)]):
        raise DataError(
            f"the masks hold {', '.join(odd[:3])}{' …' * (len(odd) > 3)}, a class is a whole number up to {IGNORE}",
            hint="give the classes such numbers, and write the masks again",
        )
    lists = {} if SPLIT in layout.image_glob else listed_splits(root)
    listed = {split: [each for each in every if _is_in(each, names)] for split, names in lists.items()}
    if listed.get("train") and listed.get("val"):
        samples = listed
        pairs = [_pair(root, each, split) for split, group in samples.items() for each in group]
        own: dict[str, Any] = {"pairs": write_pairs(out, pairs).resolve().as_posix()}
    else:
        own = {"image_glob": layout.image_glob, "mask_glob": layout.mask_glob}
    own |= {"classes": named} | ({"ignore_colors": list(layout.ignored)} if layout.ignored else {})
    written = write_settings(out, {"name": "folder", "root": root.as_posix(), "folder": own})
    counts = {split: len(found) for split, found in samples.items() if found}
    return {"layout": layout.name, **written, "splits": counts, "values": dict(values), "classes": named}


def _pair(root: Path, sample: Sample, split: str) -> Pair:
    image, mask = (path.relative_to(root).as_posix() if path else "" for path in (sample.image, sample.mask))
    return Pair(image, mask, split)


def _named(values: Mapping[str, int]) -> dict[str, str]:
    """Return a class for each value; 255 is one where the masks hold but one other, and else stands for no label."""
    numbers = sorted(values, key=lambda text: (len(text), text))
    return {f"class {value}": value for value in numbers if value != str(IGNORE) or len(numbers) == 2}


def _is_in(sample: Sample, names: set[str]) -> bool:
    return sample.name in names or Path(sample.name).name in names


def _is_class(value: str) -> bool:
    return value.isdecimal() and int(value) <= IGNORE


def _is_color(value: str) -> bool:
    return len(value) == 6


def _layout_of(root: Path) -> tuple[Layout, Mapping[str, Sequence[Sample]]]:
    """Return the layout of the folder, and its pairs."""
    files = files_below(root)
    for layout in possible_layouts(root, files):
        samples = _pairs(root, layout, files)
        if any(each.mask for split in samples.values() for each in split):
            return layout, samples
    raise DataError(f"`{root}` holds no images with masks that are known", hint=_UNKNOWN)


def _pairs(root: Path, layout: Layout, files: Sequence[Path]) -> Mapping[str, Sequence[Sample]]:
    try:
        loose, listing = glob_listing(root, layout.image_glob, layout.mask_glob, files=files)
    except DataError:
        return {}
    return deal(loose).splits if loose else listing.splits


def _annotated(root: Path) -> list[tuple[str, Annotated]]:
    """Return images with outlines, and the split that the folder or name of each one's annotations names, if any."""
    found: list[tuple[str, Annotated]] = []
    for path in (path for path in files_below(root) if path.suffix == ".json"):
        content = read_json(path)
        if isinstance(content, dict) and {"shapes", "imagePath"} <= set(content):
            found.append((_split_in(root, path), labelme_image(path)))
        elif isinstance(content, dict) and {"images", "annotations", "categories"} <= set(content):
            found += [(_split_in(root, path), each) for each in coco_images(path)]
        elif is_label_studio(content):
            found += [(_split_in(root, path), each) for each in label_studio_images(path, content)]
    if not found and (brushes := sorted(root.rglob("task-*-annotation-*-tag-*.png"))):
        raise DataError(
            f"`{root}` holds {len(brushes)} brush masks of Label Studio, which do not say of which images they are",
            hint="export the project as JSON too, and put it beside the images: it has the brushes in it",
        )
    return found


def _split_in(root: Path, path: Path) -> str:
    words = path.relative_to(root).as_posix().lower().replace("_", "/").replace(".", "/").replace("-", "/").split("/")
    return next((SPLIT_OF[word] for word in words if word in SPLIT_OF), "")


def _from_outlines(
    annotated: Sequence[tuple[str, Annotated]], out: Path, background: str, progress: Progress | None
) -> dict[str, Any]:
    names = labels_of(each for _, each in annotated)
    if background and background not in names:
        names.insert(0, background)
    if not 0 < len(names) <= MAX_CLASSES:
        raise ConfigError(f"the annotations name {len(names)} labels, expected 1 to {MAX_CLASSES}")
    numbers = {name: number for number, name in enumerate(names)}
    splits = _splits_of(annotated)
    pairs = []
    for done, (_, each) in enumerate(annotated, start=1):
        _check_size(each)
        path = f"masks/{done:06d}_{each.image.stem}.png"
        write_image(out / path, drawn_mask(each, numbers, fill=numbers[background] if background else IGNORE))
        pairs.append(Pair(each.image.resolve().as_posix(), path, splits[each.image]))
        if progress:
            progress(done, len(annotated))
    values = counted_values([out / pair.mask for pair in pairs], colors=False)
    values.pop(str(IGNORE), None)  # what lies in no outline
    classes = {name: str(number) for name, number in numbers.items()}
    written = write_listing(out, pairs, classes)
    return {"layout": "outlines", **written, "values": dict(values), "classes": classes}


def _splits_of(annotated: Sequence[tuple[str, Annotated]]) -> dict[Path, str]:
    if all(split for split, _ in annotated):
        return {each.image: split for split, each in annotated}
    samples = [Sample(each.image.stem, each.image, None) for _, each in annotated]
    return {each.image: split for split, group in deal(samples).splits.items() for each in group if each.image}


def _check_size(annotated: Annotated) -> None:
    """Check that outlines are in the pixels of the image as it is stored: labelme turns some as EXIF says."""
    if not is_there(annotated.image):
        raise DataError(
            f"`{annotated.source}` is of the image `{annotated.image}`, which is not there", hint="put it beside it"
        )
    with contextlib.closing(open_stored(annotated.image)) as stored:
        found = (stored.height, stored.width)
    if found != annotated.size:
        height, width = annotated.size
        raise DataError(
            f"`{annotated.source}` is of an image of {height}×{width}, `{annotated.image}` has {found[0]}×{found[1]}",
            hint="if EXIF data turn it, turn its pixels: mogrify -auto-orient, or jpegtran",
        )
