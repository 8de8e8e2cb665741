"""Which layout a folder of images and masks has, and what pairs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rsseg_tf.datasets.drawn.layouts import Layout, possible_layouts, with_endings
from rsseg_tf.datasets.files.opening import SUFFIXES
from rsseg_tf.datasets.readers.globs import SPLIT, glob_listing
from rsseg_tf.datasets.readers.layout import files_below
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.datasets.splits.dealing import deal
from rsseg_tf.errors import DataError
from rsseg_tf.progress import warn

_UNKNOWN = (
    "say what pairs, in a YAML file with data.folder.image_glob and data.folder.mask_glob such as {split}/*.jpg and "
    "{split}/*_mask.png, or list the pairs in a CSV file named by data.folder.pairs"
)


def layout_of(root: Path) -> tuple[Layout, Mapping[str, Sequence[Sample]]]:
    """Return the layout of a folder, and its samples by split; a warning where the folders of splits leave pairs out.

    Raises:
        DataError: if it has none that is known.
    """
    files, without_train = files_below(root), []
    for layout in possible_layouts(root, files):
        named = _with_endings(root, layout, files)
        if named is None:
            continue
        loose, listing = glob_listing(root, named.image_glob, named.mask_glob, files=files)
        found = named, deal(loose).splits if loose else listing.splits
        if found[1].get("train"):
            if SPLIT in named.image_glob:
                _warn_of_others(root, named, files)
            return found
        without_train.append(found)
    if without_train:
        return without_train[0]
    raise DataError(f"`{root}` holds no images with masks that are known", hint=_UNKNOWN)


def _with_endings(root: Path, layout: Layout, files: Sequence[Path]) -> Layout | None:
    """Return a layout with the endings that give most pairs; None where none gives one.

    All endings at once come first. Where files differ in the ending alone, as photographs and their previews do, one
    of images and one of masks may give more.
    """
    endings = {path.suffix for path in files if path.suffix.lower() in SUFFIXES}
    choices = [(endings, endings), *(({image}, {mask}) for image in sorted(endings) for mask in sorted(endings))]
    most, best = (0, False), None
    for images, masks in choices:
        pairs, is_whole = _pairs(root, with_endings(layout, images, masks), files)
        if (len(pairs), is_whole and bool(pairs)) > most:
            most = len(pairs), is_whole
            best = with_endings(layout, *({each.suffix for each in paths} for paths in zip(*pairs, strict=True)))
        if images == endings and most[1]:
            break
    return best


def _pairs(root: Path, layout: Layout, files: Sequence[Path]) -> tuple[list[tuple[Path, Path]], bool]:
    """Return images with masks that a layout gives, and whether no image or mask is left alone."""
    try:
        loose, listing = glob_listing(root, layout.image_glob, layout.mask_glob, files=files)
    except DataError:
        return [], False
    every = [*loose, *(each for split in listing.splits.values() for each in split)]
    return [(each.image, each.mask) for each in every if each.image and each.mask], not listing.problems


def _warn_of_others(root: Path, layout: Layout, files: Sequence[Path]) -> None:
    """Warn of pairs that lie like others, in a folder that is no split."""
    anywhere = replace(
        layout, image_glob=layout.image_glob.replace(SPLIT, "*"), mask_glob=layout.mask_glob.replace(SPLIT, "*")
    )
    of_splits, every = ({image for image, _ in _pairs(root, each, files)[0]} for each in (layout, anywhere))
    if others := sorted(every - of_splits):
        warn(
            f"`{others[0]}` and {len(others) - 1} more images with masks lie beside the folders of splits, and are "
            "left out",
            hint="move them into those, or name no folder train, val or test",
        )
