"""Looks at a folder, says what it is, and writes the settings that read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsseg_tf.datasets.drawn.layouts import Layout, class_colors, listed_splits
from rsseg_tf.datasets.drawn.listing import Pair, write_pairs, write_settings
from rsseg_tf.datasets.drawn.matching import layout_of
from rsseg_tf.datasets.drawn.outlined import annotated_images, made_of_outlines
from rsseg_tf.datasets.drawn.values import are_colors, counted_values
from rsseg_tf.datasets.palette import IGNORE, MAX_CLASSES
from rsseg_tf.datasets.readers.globs import SPLIT
from rsseg_tf.datasets.readers.layout import existing_root
from rsseg_tf.datasets.readers.pair_list import listed_pairs, pair_lists
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.datasets.splits.dealing import SPLITS
from rsseg_tf.errors import DataError
from rsseg_tf.progress import Progress, warn
from rsseg_tf.text import listed

_LAYOUT = "it holds images and masks, or an export of an annotation program"
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
    annotated = annotated_images(root)
    if annotated:
        return made_of_outlines(root, annotated, out, background, progress)
    lists = pair_lists(root)
    layout, samples = _as_listed(root, lists) if lists else layout_of(root)
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
    _require_distinct(named)
    own: dict[str, Any]
    samples, own = (samples, {"pairs": lists[0]}) if lists else _read_as(root, layout, samples, out)
    own |= {"classes": named} | ({"ignore_colors": list(layout.ignored)} if layout.ignored else {})
    written = write_settings(out, {"name": "folder", "root": root.as_posix(), "folder": own})
    counts = {split: len(samples[split]) for split in SPLITS if samples.get(split)}
    return {"layout": layout.name, **written, "splits": counts, "values": dict(values), "classes": named}


def _require_distinct(classes: Mapping[str, str]) -> None:
    for value, count in Counter(classes.values()).items():
        if count > 1:
            alike = [f"`{name}`" for name, own in classes.items() if own == value]
            raise DataError(
                f"the classes {listed(alike, most=3)} are all `{value}` in the masks",
                hint="give each its own color in the program that they are from, and export again",
            )


def _as_listed(root: Path, lists: Sequence[str]) -> tuple[Layout, Mapping[str, Sequence[Sample]]]:
    """Return what the CSV file of pairs in a folder says.

    Raises:
        DataError: if there are several, or it names what is not there.
    """
    if len(lists) > 1:
        raise DataError(
            f"{listed([f'`{root / name}`' for name in lists], most=3)} list pairs",
            hint="keep one in the folder, or name it in the settings: data.folder.pairs",
        )
    found = listed_pairs(root, lists[0])
    if found.problems:
        raise found.problems[0]
    if not any(each.mask for group in found.splits.values() for each in group):
        raise DataError(f"`{root / lists[0]}` lists no mask", hint="name a mask beside each image")
    return Layout(f"the pairs of `{lists[0]}`", "", "", class_colors), found.splits


def _read_as(
    root: Path, layout: Layout, samples: Mapping[str, Sequence[Sample]], out: Path
) -> tuple[Mapping[str, Sequence[Sample]], dict[str, Any]]:
    """Return the samples by split, and the settings that read them: by lists of names where they are there."""
    every = [each for group in samples.values() for each in group]
    lists = {} if SPLIT in layout.image_glob else listed_splits(root)
    named = {split: [each for each in every if _is_in(each, names)] for split, names in lists.items()}
    if not (named.get("train") and named.get("val")):
        return samples, {"image_glob": layout.image_glob, "mask_glob": layout.mask_glob}
    _warn_of_unlisted(every, named)
    pairs = [_pair(root, each, split) for split, group in named.items() for each in group]
    return named, {"pairs": write_pairs(out, pairs).resolve().as_posix()}


def _warn_of_unlisted(every: Sequence[Sample], listed: Mapping[str, Sequence[Sample]]) -> None:
    known = {each.name for group in listed.values() for each in group}
    if others := [each for each in every if each.name not in known]:
        warn(
            f"`{others[0].image}` and {len(others) - 1} more images with masks are in no list of a split, and are left "
            "out",
            hint="add them to train.txt, val.txt or test.txt",
        )


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
