"""UAVid: 4K frames of 42 drone videos, eight classes (Lyu et al. 2020)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from rsseg_tf.datasets.images.masks import ColorMasks
from rsseg_tf.datasets.palette import Palette, color_table
from rsseg_tf.datasets.readers.files import FileDataset, Listing, paired
from rsseg_tf.datasets.readers.layout import (
    contents,
    existing_root,
    image_files,
    still_packed,
    unpacked_hint,
    unwrapped,
)
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.errors import DataError

PALETTE = Palette(
    names=("clutter", "building", "road", "static car", "tree", "low vegetation", "human", "moving car"),
    colors=(
        (0, 0, 0),
        (128, 0, 0),
        (128, 64, 128),
        (192, 0, 192),
        (0, 128, 0),
        (128, 128, 0),
        (64, 64, 0),
        (64, 0, 128),
    ),
)

FOLDERS = {"train": ("uavid_train", "train"), "val": ("uavid_val", "valid", "val"), "test": ("uavid_test", "test")}
"""Split → the names its folder goes by, in the archives and in the official toolkit."""

SEQUENCES: Mapping[str, tuple[int, ...]] = {
    "train": (*range(1, 16), *range(31, 36)),
    "val": (*range(16, 21), 36, 37),
    "test": (*range(21, 31), *range(38, 43)),
}
"""Split → the numbers of its sequences, as published."""

_FRAMES = 10
_PUBLISHED = "scores are comparable with published ones only on the published splits"

_LAYOUT = "UAVid holds uavid_train/seq1/Images/000000.png with …/Labels/000000.png, and so on"


class Uavid(FileDataset):
    """The UAVid folders below `root`; the labels of `test` are withheld.

    Args:
        root: the folder that holds `uavid_train` and its siblings.
        ignore_unknown: whether colors outside the palette become 255 instead of an error.

    Raises:
        DataError: if `root` is missing or holds no sequence.
    """

    folders_are_sequences = True

    def __init__(self, root: str, *, ignore_unknown: bool = False) -> None:
        folder = existing_root(root, layout=_LAYOUT)
        listing = _listing(folder)
        super().__init__(PALETTE, ColorMasks(color_table(PALETTE), ignore_unknown=ignore_unknown), listing)
        self.split_hint += still_packed(folder)


def _listing(root: Path) -> Listing:
    splits: dict[str, tuple[Sample, ...]] = {}
    problems: list[DataError] = []
    incomplete: set[str] = set()
    for split, names in FOLDERS.items():
        folders = [root / name for name in names if (root / name).is_dir()]
        if len(folders) > 1:
            listed = " and ".join(f"`{folder}`" for folder in folders)
            problems.append(DataError(f"{listed} both hold the split `{split}`", hint="keep one of them"))
        samples, wrong = _part(folders[:1], labeled=split != "test")
        problems += wrong
        incomplete |= {split} if wrong else set()
        splits[split] = tuple(samples)
    if not any(splits.values()) and not problems:
        places = [name for names in FOLDERS.values() for name in names]
        raise DataError(f"no UAVid sequence below `{root}`", hint=unpacked_hint(root, places, layout=_LAYOUT))
    return Listing(splits, tuple(problems), tuple(_doubts(splits)), frozenset(incomplete))


def _doubts(splits: Mapping[str, tuple[Sample, ...]]) -> Iterator[DataError]:
    """Yield how the splits differ from the published ones."""
    for split, samples in splits.items():
        frames = Counter(sample.name.partition("/")[0] for sample in samples)
        own = {f"seq{number}" for number in SEQUENCES[split]}
        missing = [f"seq{number}" for number in SEQUENCES[split] if f"seq{number}" not in frames]
        short = [f"{name} ({count} frames)" for name, count in frames.items() if name in own and count != _FRAMES]
        foreign = [name for name in frames if name not in own]
        if samples and missing:
            yield DataError(f"`{split}` lacks {', '.join(missing)} of UAVid", hint="unpack the whole archive")
        if short:
            yield DataError(f"`{split}` does not have {_FRAMES} frames of {', '.join(short)}", hint=_PUBLISHED)
        if foreign:
            yield DataError(
                f"`{split}` holds {', '.join(foreign)}, which UAVid does not have in that split", hint=_PUBLISHED
            )


def _part(folders: list[Path], *, labeled: bool) -> tuple[list[Sample], list[DataError]]:
    """Return the samples in a split's folder; an archive left beside its sequences is not one of them."""
    try:
        found = [path for folder in folders for path in contents(unwrapped(folder)) if path.name.startswith("seq")]
    except DataError as error:
        return [], [error]
    sequences = [_sequence(path, labeled=labeled) for path in found if path.is_dir()]
    return [each for samples, _ in sequences for each in samples], [each for _, wrong in sequences for each in wrong]


def _sequence(folder: Path, *, labeled: bool) -> tuple[list[Sample], list[DataError]]:
    try:
        images, labels = image_files(folder / "Images"), image_files(folder / "Labels")
    except DataError as error:
        return [], [error]
    if not images:
        return [], [DataError(f"no images in `{folder / 'Images'}`", hint=_LAYOUT)]
    if labeled or labels:
        return paired(images, labels, prefix=f"{folder.name}/")
    return [Sample(f"{folder.name}/{stem}", files[0], None) for stem, files in images.items()], []
