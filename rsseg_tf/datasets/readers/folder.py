"""Any images with masks: folders matched by stem, one pair of them a split, or a CSV file that lists pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from rsseg_tf.config import FolderConfig
from rsseg_tf.config.parsing import no_such_choice
from rsseg_tf.datasets.images.masks import ColorMasks, IndexMasks, MaskReader
from rsseg_tf.datasets.palette import (
    IGNORE,
    MAX_CLASSES,
    Color,
    Palette,
    color_table,
    distinct_colors,
    format_color,
    parse_color,
)
from rsseg_tf.datasets.readers.files import FileDataset, Listing, paired
from rsseg_tf.datasets.readers.globs import glob_listing
from rsseg_tf.datasets.readers.layout import existing_root, image_files, unpacked_hint
from rsseg_tf.datasets.readers.pair_list import COLUMNS, listed_pairs, pair_lists
from rsseg_tf.datasets.readers.split_folders import split_listing
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.datasets.splits.dealing import LEAST_TO_DEAL, deal
from rsseg_tf.errors import ConfigError, DataError

_LAYOUT = (
    "it holds images/ and masks/ with equal stems, or a CSV file named by data.folder.pairs; "
    "for another layout: rsseg-tf data init FOLDER -o NEW"
)
_REMEDY = (
    "mend the mask, name them in data.folder.classes or data.folder.ignore_colors, or set data.unknown_colors=ignore"
)
_HIDDEN = "255 in masks of numbers is ignored: where it is that class, give the class the number 255"
_UNEQUAL = (
    f"let rsseg-tf data init look at them, or list them in a CSV file, {','.join(COLUMNS)} a line, and set "
    "data.folder.pairs"
)
_EXAMPLE = "for example data.folder.classes={road: 6EC1E4, water: E2A929}, or {road: 1, water: 2} for masks of numbers"


class Folder(FileDataset):
    """The pairs below `root`.

    Args:
        root: the folder that holds `images` and `masks`, or the CSV file.
        settings: the CSV file, and the classes.
        ignore_unknown: whether colors and numbers that are no class become 255 instead of an error.

    Raises:
        ConfigError: for no classes, or classes that cannot be told apart.
        DataError: if `root` is missing or holds no pairs, or the CSV file does not parse.
    """

    split_hint = (
        "train, val and test are named in the CSV file of data.folder.pairs, or are folders in images/ and masks/; "
        f"without either, {LEAST_TO_DEAL} pairs in images/ and masks/ are enough to deal them"
    )

    def __init__(self, root: str, settings: FolderConfig, *, ignore_unknown: bool = False) -> None:
        palette, masks = parse_classes(settings, ignore_unknown=ignore_unknown)
        place = existing_root(root, layout=_LAYOUT)
        listing = _listing(place, settings)
        super().__init__(palette, masks, listing)
        if isinstance(masks, IndexMasks):
            self.unseen_hint = _HIDDEN


def parse_classes(settings: FolderConfig, *, ignore_unknown: bool = False) -> tuple[Palette, MaskReader]:
    """Return the palette and the mask reader that a configuration describes.

    Args:
        settings: `classes`, whose ids follow their order, `ignore_colors`, in the same notation, and `colors`.
        ignore_unknown: whether everything else becomes 255 instead of an error.

    Raises:
        ConfigError: for no classes or too many, a word that is neither, both notations at once, or a value used twice;
            for `colors` of masks that have their own, of what is no class, or used twice.
    """
    classes, ignore = settings.classes, settings.ignore_colors
    if not 0 < len(classes) <= MAX_CLASSES:
        raise ConfigError(
            f"`data.folder.classes` must name 1 to {MAX_CLASSES} classes, got {len(classes)}", hint=_EXAMPLE
        )
    given = [(f"data.folder.classes.{name}", word) for name, word in classes.items()]
    given += [("data.folder.ignore_colors", word) for word in ignore]
    values = [_value(name, word) for name, word in given]
    twice = [word for place, (_, word) in enumerate(given) if values[place] in values[:place]]
    numbers = [value for value in values if isinstance(value, int)]
    colors = [value for value in values if not isinstance(value, int)]
    if twice:
        raise _unusable(f"use `{twice[0]}` twice")
    if numbers and colors:
        raise _unusable(f"mix numbers and colors: `{numbers[0]}` and `{format_color(colors[0])}`")
    if numbers:
        palette = Palette(tuple(classes), _shown(tuple(classes), settings.colors))
        ids = dict(zip(numbers, [*range(len(classes)), *[IGNORE] * len(ignore)], strict=True))
        return palette, IndexMasks(ids, ignore_unknown=ignore_unknown, remedy=_REMEDY)
    if settings.colors:
        raise ConfigError(
            "`data.folder.colors` is for masks of numbers, and these hold colors, which are shown as they are",
            hint="drop it, or give the classes numbers",
        )
    palette = Palette(tuple(classes), tuple(colors[: len(classes)]))
    table = color_table(palette, ignore=tuple(colors[len(classes) :]))
    return palette, ColorMasks(table, ignore_unknown=ignore_unknown, remedy=_REMEDY)


def _value(name: str, word: str) -> int | Color:
    """Return the number or the color that a word of the setting `name` stands for."""
    if not word:
        raise ConfigError(f"`{name}` has no value", hint='`#` begins a comment in YAML: write "3C1098" or "#3C1098"')
    try:
        value = int(word) if word.isdecimal() and len(word) <= 3 else parse_color(word)
    except ValueError as error:
        wanted = f"six hexadecimal digits of a color, or a number up to {IGNORE}"
        raise ConfigError(f"`{name}` must be {wanted}, got `{word}`", hint=_EXAMPLE) from error
    if isinstance(value, int) and value > IGNORE:
        raise ConfigError(f"masks hold numbers up to {IGNORE}, `{name}` says {value}", hint=_EXAMPLE)
    return value


def _shown(names: tuple[str, ...], colors: Mapping[str, str]) -> tuple[Color, ...]:
    """Return the color of every class: the given ones, and for the others some that differ from these."""
    given: dict[str, Color] = {}
    for name, word in colors.items():
        if name not in names:
            raise no_such_choice("the class in `data.folder.colors`", name, names)
        try:
            color = parse_color(word)
        except ValueError as error:
            wanted = f"`data.folder.colors.{name}` must be six hexadecimal digits of a color, got `{word}`"
            raise ConfigError(wanted, hint="for example data.folder.colors={road: 6EC1E4}") from error
        if color in given.values():
            raise ConfigError(f"`data.folder.colors` uses `{word}` twice", hint="give every class a color of its own")
        given[name] = color
    others = (color for color in distinct_colors(len(names) + len(given)) if color not in given.values())
    return tuple(given[name] if name in given else next(others) for name in names)


def _unusable(message: str) -> ConfigError:
    return ConfigError(f"`data.folder.classes` and `data.folder.ignore_colors` {message}", hint=_EXAMPLE)


def _listing(root: Path, settings: FolderConfig) -> Listing:
    if settings.pairs:
        return listed_pairs(root, settings.pairs)
    if not settings.image_glob and not settings.mask_glob:
        return _stem_listing(root, settings)
    loose, listing = glob_listing(root, settings.image_glob, settings.mask_glob)
    return _dealt(loose, settings, listing, root) if loose else listing


def _stem_listing(root: Path, settings: FolderConfig) -> Listing:
    if (listing := split_listing(root)) is not None:
        return listing
    for name in ("images", "masks"):
        if not (root / name).is_dir():
            hint = unpacked_hint(root, ("images",), layout=_LAYOUT, others=("masks",))
            raise DataError(f"there is no folder `{root / name}`", hint=hint)
    images, masks = image_files(root / "images"), image_files(root / "masks")
    if images and masks and not images.keys() & masks.keys():
        (image, *_), (mask, *_) = next(iter(images.values())), next(iter(masks.values()))
        raise DataError(f"no image has the stem of a mask: there are `{image}` and `{mask}`", hint=_UNEQUAL)
    samples, problems = paired(images, masks)
    if not samples and not problems:
        raise DataError(f"no PNG, JPEG or TIFF files in `{root / 'images'}`", hint=_LAYOUT)
    found = Listing({}, tuple(problems), incomplete=frozenset({"train"} if problems else ()))
    return _dealt(samples, settings, found, root)


def _dealt(samples: Sequence[Sample], settings: FolderConfig, listing: Listing, root: Path) -> Listing:
    dealing = deal(samples, settings.split_by)
    unread = [
        DataError(f"`{root / name}` lists pairs and their splits, and is not read", hint=f"data.folder.pairs={name}")
        for name in pair_lists(root)
    ]
    doubts = (*listing.doubts, *unread)
    return dataclasses.replace(listing, splits=dealing.splits, dealing=dealing.words, doubts=doubts)
