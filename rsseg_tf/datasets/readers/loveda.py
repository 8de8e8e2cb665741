"""LoveDA: 1024² Google Earth images of three Chinese cities at 0.3 m, seven classes (Wang et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rsseg_tf.datasets.images.masks import IndexMasks
from rsseg_tf.datasets.palette import IGNORE, Palette
from rsseg_tf.datasets.readers.files import FileDataset, Listing, paired
from rsseg_tf.datasets.readers.layout import existing_root, image_files, still_packed, unpacked_hint, unwrapped
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.errors import DataError

PALETTE = Palette(
    names=("background", "building", "road", "water", "barren", "forest", "agricultural"),
    colors=(
        (255, 255, 255),
        (255, 0, 0),
        (255, 255, 0),
        (0, 0, 255),
        (159, 129, 183),
        (0, 255, 0),
        (255, 195, 128),
    ),
)

NO_DATA = 0
"""The number of pixels without a label; class ids follow from 1 on."""

FOLDERS = {"train": "Train", "val": "Val", "test": "Test"}
DOMAINS = ("Urban", "Rural")

IMAGES: Mapping[str, tuple[int, int]] = {"train": (1156, 1366), "val": (677, 992), "test": (820, 976)}
"""Split → how many images of each domain were published."""

_LAYOUT = "LoveDA holds Train/Urban/images_png/1366.png with …/masks_png/1366.png, and so on"


class Loveda(FileDataset):
    """The LoveDA folders below `root`, both domains together; the masks of `test` are withheld.

    Args:
        root: the folder that holds `Train`, `Val` and `Test`.
        ignore_unknown: whether numbers that are not classes become 255 instead of an error.

    Raises:
        DataError: if `root` is missing or holds no image of the data set.
    """

    def __init__(self, root: str, *, ignore_unknown: bool = False) -> None:
        folder = existing_root(root, layout=_LAYOUT)
        listing = _listing(folder)
        ids = {NO_DATA: IGNORE} | {index + 1: index for index in range(PALETTE.num_classes)}
        super().__init__(PALETTE, IndexMasks(ids, ignore_unknown=ignore_unknown), listing)
        self.split_hint += still_packed(folder)


def _listing(root: Path) -> Listing:
    splits: dict[str, tuple[Sample, ...]] = {}
    problems: list[DataError] = []
    doubts: list[DataError] = []
    incomplete: set[str] = set()
    for split, name in FOLDERS.items():
        samples: list[Sample] = []
        try:
            part = unwrapped(root / name)
        except DataError as error:
            problems.append(error)
            incomplete.add(split)
            continue
        for domain, published in zip(DOMAINS, IMAGES[split], strict=True):
            found, wrong = _domain(part / domain, labeled=split != "test")
            samples += found
            problems += wrong
            incomplete |= {split} if wrong else set()
            if part.is_dir() and len(found) != published:
                counted = f"`{name}/{domain}` holds {len(found)} of the {published} pairs of LoveDA"
                doubts.append(DataError(counted, hint="unpack the whole archive"))
        splits[split] = tuple(samples)
    if not any(splits.values()) and not problems:
        hint = unpacked_hint(root, FOLDERS.values(), layout=_LAYOUT, others=DOMAINS)
        raise DataError(f"no LoveDA image below `{root}`", hint=hint)
    return Listing(splits, tuple(problems + _repeated(splits)), tuple(doubts), frozenset(incomplete))


def _domain(folder: Path, *, labeled: bool) -> tuple[list[Sample], list[DataError]]:
    if not folder.is_dir():
        return [], []
    try:
        images, masks = image_files(folder / "images_png"), image_files(folder / "masks_png")
    except DataError as error:
        return [], [error]
    if not images:
        return [], [DataError(f"no images in `{folder / 'images_png'}`", hint=_LAYOUT)]
    if labeled or masks:
        return paired(images, masks)
    return [Sample(stem, files[0], None) for stem, files in images.items()], []


def _repeated(splits: Mapping[str, tuple[Sample, ...]]) -> list[DataError]:
    """Return an error for each number that two images share: in LoveDA a number stands for one image of one split."""
    first: dict[str, Sample] = {}
    problems = []
    for sample in (sample for samples in splits.values() for sample in samples):
        known = first.setdefault(sample.name, sample)
        if known is not sample:
            both = f"`{known.image}` and `{sample.image}`"
            problems.append(DataError(f"the image number {sample.name} appears twice: {both}", hint="keep one"))
    return problems
