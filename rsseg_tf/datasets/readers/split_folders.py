"""Splits that are folders: `images/train` and `masks/train`, or `train/images` and `train/masks`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rsseg_tf.datasets.readers.files import Listing, paired
from rsseg_tf.datasets.readers.layout import contents, image_files
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.errors import DataError

SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""How a folder is called → the split that it is."""
_HINT = "folders named train, val and test are the splits: move all images into them, or name none so"


@dataclass(frozen=True)
class _SplitFolder:
    """A split, where its images lie, and its masks; None where its labels are withheld."""

    split: str
    prefix: str
    images: Path
    masks: Path | None


def split_listing(root: Path) -> Listing | None:
    """Return what lies in the folders of splits below `root`; None where there is none for `train`.

    A split without a folder of masks has its labels withheld.

    Raises:
        DataError: if a folder may not be listed.
    """
    folders = list(_within(root)) or list(_around(root))
    if "train" not in {folder.split for folder in folders}:
        return None
    splits: dict[str, list[Sample]] = {"train": [], "val": [], "test": []}
    problems = list(_strays(root, folders))
    for folder in folders:
        images = image_files(folder.images)
        if folder.masks is None:
            found = [Sample(f"{folder.prefix}/{stem}", paths[0], None) for stem, paths in images.items()]
            wrong: list[DataError] = []
        else:
            found, wrong = paired(images, image_files(folder.masks), prefix=f"{folder.prefix}/")
        splits[folder.split] += found
        problems += wrong
    incomplete = frozenset(splits) if problems else frozenset()
    return Listing({name: tuple(found) for name, found in splits.items()}, tuple(problems), incomplete=incomplete)


def _within(root: Path) -> Iterator[_SplitFolder]:
    """Yield the splits of `images/train` and `masks/train`."""
    masks = {SPLIT_OF.get(path.name.lower()): path for path in contents(root / "masks") if path.is_dir()}
    for path in contents(root / "images"):
        split = SPLIT_OF.get(path.name.lower())
        if split and path.is_dir():
            yield _SplitFolder(split, path.name, path, masks.get(split))


def _around(root: Path) -> Iterator[_SplitFolder]:
    """Yield the splits of `train/images` and `train/masks`."""
    for path in contents(root):
        split = SPLIT_OF.get(path.name.lower())
        if split and (path / "images").is_dir():
            masks = path / "masks"
            yield _SplitFolder(split, path.name, path / "images", masks if masks.is_dir() else None)


def _strays(root: Path, folders: list[_SplitFolder]) -> Iterator[DataError]:
    """Yield what lies beside the folders of splits."""
    own = {folder.prefix for folder in folders}
    stray = [paths[0] for stem, paths in image_files(root / "images").items() if stem.partition("/")[0] not in own]
    if stray:
        yield DataError(f"`{stray[0]}` and {len(stray) - 1} more images lie beside the folders of splits", hint=_HINT)
