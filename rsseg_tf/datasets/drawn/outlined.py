"""Images whose labels are outlines, from every file of annotations below a folder, made into a data set."""

from __future__ import annotations

import contextlib
import os
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rsseg_tf.datasets.drawn.label_studio import is_label_studio, label_studio_images
from rsseg_tf.datasets.drawn.listing import Pair, write_listing
from rsseg_tf.datasets.drawn.shapes import (
    Annotated,
    coco_images,
    drawn_mask,
    is_there,
    labelme_image,
    labels_of,
    read_json,
)
from rsseg_tf.datasets.drawn.values import counted_values
from rsseg_tf.datasets.files.opening import open_stored
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.datasets.palette import IGNORE, MAX_CLASSES
from rsseg_tf.datasets.readers.layout import files_below
from rsseg_tf.datasets.readers.split_folders import SPLIT_OF
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.datasets.splits.dealing import deal
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.progress import Progress


def annotated_images(root: Path) -> list[tuple[str, Annotated]]:
    """Return images with outlines, and the split that the folder or name of each one's annotations names, if any.

    Raises:
        DataError: if annotations cannot be read, or do not say enough.
    """
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
    named = (word.rstrip(string.digits) for word in words)  # COCO's own are called train2017 and val2017
    return next((SPLIT_OF[word] for word in named if word in SPLIT_OF), "")


def made_of_outlines(
    root: Path, annotated: Sequence[tuple[str, Annotated]], out: Path, background: str, progress: Progress | None
) -> dict[str, Any]:
    """Draw the masks of images with outlines, and write the settings that read them.

    Args:
        root: the folder that holds the annotations.
        annotated: from `annotated_images`.
        out: a folder for masks and settings.
        background: the class of what lies in no outline; empty where that is ignored.
        progress: called after every mask.

    Returns:
        As `rsseg_tf.datasets.drawn.initial.initialize`.

    Raises:
        ConfigError: if they name no label, or too many.
        DataError: if an image is annotated twice, or is not there, or of another size.
    """
    _check_once(annotated)
    names = labels_of(each for _, each in annotated)
    if background and background not in names:
        names.insert(0, background)
    if not 0 < len(names) <= MAX_CLASSES:
        raise ConfigError(f"the annotations name {len(names)} labels, expected 1 to {MAX_CLASSES}")
    numbers = {name: number for number, name in enumerate(names)}
    splits = _splits_of(root, annotated)
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


def _check_once(annotated: Sequence[tuple[str, Annotated]]) -> None:
    """Check that no image is annotated twice: which of the two holds nobody says."""
    seen: dict[Path, Path] = {}
    for _, each in annotated:
        image = each.image.resolve()
        if image in seen:
            raise DataError(
                f"the image `{each.image}` is annotated in `{seen[image]}` and again in `{each.source}`",
                hint="leave one of the two",
            )
        seen[image] = each.source


def _splits_of(root: Path, annotated: Sequence[tuple[str, Annotated]]) -> dict[Path, str]:
    if all(split for split, _ in annotated):
        return {each.image: split for split, each in annotated}
    samples = [Sample(_name_below(root, each.image), each.image, None) for _, each in annotated]
    return {each.image: split for split, group in deal(samples).splits.items() for each in group if each.image}


def _name_below(root: Path, image: Path) -> str:
    return Path(os.path.relpath(image, root)).with_suffix("").as_posix()


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
