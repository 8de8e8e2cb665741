"""The ISPRS 2D semantic labeling benchmarks: Vaihingen and Potsdam.

The official splits have no val part, so `val` repeats `test`, as the paper does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rsseg_tf.config import IsprsConfig
from rsseg_tf.datasets.images.masks import ColorMasks
from rsseg_tf.datasets.palette import Palette, color_table
from rsseg_tf.datasets.readers.files import FileDataset, Listing
from rsseg_tf.datasets.readers.layout import contents, existing_root, unpacked_hint, unwrapped
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.errors import ConfigError, DataError

PALETTE = Palette(
    names=("impervious surface", "building", "low vegetation", "tree", "car", "clutter"),
    colors=((255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0)),
)

BOUNDARY = (0, 0, 0)
"""The color of eroded outlines, ignored."""


@dataclass(frozen=True)
class Benchmark:
    """Where a benchmark's files lie and how its tiles are split.

    Attributes:
        images: path patterns of a tile's image; all tiles are taken from the one that has most, the first of equals,
            so that no tile has other bands than the rest.
        full: path patterns of its full ground truth; the first that exists is taken.
        eroded: the same, of the ground truth with ignored outlines.
        splits: choice → split → tiles.
        archives: the archives to fetch, for the errors.
    """

    images: tuple[str, ...]
    full: tuple[str, ...]
    eroded: tuple[str, ...]
    splits: Mapping[str, Mapping[str, tuple[str, ...]]]
    archives: str


def _areas(*numbers: int) -> tuple[str, ...]:
    return tuple(str(number) for number in numbers)


def _grid(rows: Mapping[int, range]) -> tuple[str, ...]:
    return tuple(f"{row}_{column}" for row, columns in rows.items() for column in columns)


VAIHINGEN = Benchmark(
    images=("top/top_mosaic_09cm_area{}.tif", "ISPRS_semantic_labeling_Vaihingen/top/top_mosaic_09cm_area{}.tif"),
    full=(
        "gts_for_participants/top_mosaic_09cm_area{}.tif",
        "top_mosaic_09cm_area{}.tif",
        "ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE/top_mosaic_09cm_area{}.tif",
    ),
    eroded=(
        "gts_eroded_for_participants/top_mosaic_09cm_area{}_noBoundary.tif",
        "top_mosaic_09cm_area{}_noBoundary.tif",
        "ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE/top_mosaic_09cm_area{}_noBoundary.tif",
    ),
    splits={
        "paper": {  # as printed, but for tile 40, which was never released: others use 34
            "train": _areas(1, 3, 5, 7, 13, 17, 21, 23, 26, 32, 37),
            "test": _areas(11, 15, 28, 30, 34),
        },
        "challenge": {
            "train": _areas(1, 3, 5, 7, 11, 13, 15, 17, 21, 23, 26, 28, 30, 32, 34, 37),
            "test": _areas(2, 4, 6, 8, 10, 12, 14, 16, 20, 22, 24, 27, 29, 31, 33, 35, 38),
        },
    },
    archives="Vaihingen.zip holds top/, the archives named COMPLETE hold the ground truth of all tiles",
)


_POTSDAM_SPLIT = {
    "train": _grid(dict.fromkeys((2, 3, 4, 5), range(10, 13)) | dict.fromkeys((6, 7), range(7, 13))),
    "test": _grid(dict.fromkeys((2, 3), range(13, 15)) | dict.fromkeys((4, 5, 6), range(13, 16)) | {7: range(13, 14)}),
}

POTSDAM = Benchmark(
    images=("2_Ortho_RGB/top_potsdam_{}_RGB.tif", "3_Ortho_IRRG/top_potsdam_{}_IRRG.tif"),
    # In some copies of 5_Labels_all the mask of tile 4_12 is painted over the image (torchgeo issue 1727).
    full=(
        "5_Labels_for_participants/top_potsdam_{}_label.tif",
        "5_Labels_all/top_potsdam_{}_label.tif",
        "top_potsdam_{}_label.tif",
    ),
    eroded=(
        "5_Labels_all_noBoundary/top_potsdam_{}_label_noBoundary.tif",
        "5_Labels_all/top_potsdam_{}_label_noBoundary.tif",
        "top_potsdam_{}_label_noBoundary.tif",
    ),
    splits={"paper": _POTSDAM_SPLIT, "challenge": _POTSDAM_SPLIT},
    archives="Potsdam.zip holds 2_Ortho_RGB.zip, 5_Labels_for_participants.zip and 5_Labels_all.zip",
)


class Isprs(FileDataset):
    """The tiles of a benchmark below `root`.

    Args:
        root: the folder with the unpacked archives.
        benchmark: `VAIHINGEN` or `POTSDAM`.
        settings: which tiles and masks; train always has full masks.
        ignore_unknown: whether colors outside the palette become 255 instead of an error.

    Raises:
        DataError: if `root` is missing, or holds no tile of the benchmark.
        ConfigError: if a tile that is to be left out is none of the splits.
    """

    def __init__(self, root: str, benchmark: Benchmark, settings: IsprsConfig, *, ignore_unknown: bool = False) -> None:
        folder = existing_root(root, layout=benchmark.archives)
        tiles = _without(benchmark.splits[settings.split], settings.leave_out)
        listing = _listing(folder, benchmark, tiles, settings.ground_truth)
        palette = scored_palette(settings.clutter)
        ignored = (BOUNDARY, *PALETTE.colors[palette.num_classes :])
        masks = ColorMasks(color_table(palette, ignore=ignored), ignore_unknown=ignore_unknown)
        super().__init__(palette, masks, listing, aliases={"val": "test"})


def scored_palette(clutter: str) -> Palette:
    """Return all six classes, or without the last, clutter, where that is to be ignored."""
    return PALETTE if clutter == "score" else Palette(PALETTE.names[:-1], PALETTE.colors[:-1])


def _without(tiles: Mapping[str, tuple[str, ...]], left_out: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    known = [tile for each in tiles.values() for tile in each]
    strange = [tile for tile in left_out if tile not in known]
    if strange:
        raise ConfigError(
            f"`data.isprs.leave_out`: there is no tile {', '.join(strange)} in the splits",
            hint=f"give some of {', '.join(known)}",
        )
    return {split: tuple(tile for tile in each if tile not in left_out) for split, each in tiles.items()}


def _listing(root: Path, benchmark: Benchmark, tiles: Mapping[str, tuple[str, ...]], ground_truth: str) -> Listing:
    splits: dict[str, tuple[Sample, ...]] = {}
    problems: list[DataError] = []
    files = _files(root, (*benchmark.images, *benchmark.full, *(benchmark.eroded if ground_truth == "eroded" else ())))
    images = _fullest(files, benchmark.images, [tile for split in ("train", "test") for tile in tiles[split]])
    for split in ("train", "test"):
        patterns = benchmark.eroded if ground_truth == "eroded" and split == "test" else benchmark.full
        samples = []
        for tile in tiles[split]:
            image, mask = _first(files, images, tile), _first(files, patterns, tile)
            problems += _missing(root, benchmark, tile, (("image", image, images), ("mask", mask, patterns)))
            if image and mask:
                samples.append(Sample(f"area{tile}", image, mask))
        splits[split] = tuple(samples)
    if not any(splits.values()):
        raise DataError(f"no tile with a mask below `{root}`: {problems[0].message}", hint=_hint(root, benchmark))
    listed = {"train": splits["train"], "val": splits["test"], "test": splits["test"]}
    return Listing(listed, tuple(problems), incomplete=frozenset(listed if problems else ()))


def _files(root: Path, patterns: tuple[str, ...]) -> Mapping[str, Path]:
    """Return path as in a pattern → file, whose ending may be in upper case; folders may hold one of their own name."""
    found = {}
    for folder in {PurePosixPath(pattern).parent for pattern in patterns}:
        place = root
        for part in folder.parts:
            place = unwrapped(place / part)
        for path in contents(place):
            found[(folder / path.with_suffix(path.suffix.lower()).name).as_posix()] = path
    return found


def _fullest(files: Mapping[str, Path], patterns: tuple[str, ...], tiles: list[str]) -> tuple[str, ...]:
    """Return the pattern for which most tiles have a file; all where there is none."""
    counts = [sum(pattern.format(tile) in files for tile in tiles) for pattern in patterns]
    return (patterns[counts.index(max(counts))],) if any(counts) else patterns


def _first(files: Mapping[str, Path], patterns: tuple[str, ...], tile: str) -> Path | None:
    return next((files[path] for path in (pattern.format(tile) for pattern in patterns) if path in files), None)


def _hint(root: Path, benchmark: Benchmark) -> str:
    images, masks = (
        [PurePosixPath(pattern).parts[0] for pattern in patterns if "/" in pattern]
        for patterns in (benchmark.images, (*benchmark.full, *benchmark.eroded))
    )
    deeper = [PurePosixPath(pattern).parent.name for pattern in benchmark.images]
    return unpacked_hint(root, images, layout=benchmark.archives, others=(*masks, *deeper))


def _missing(
    root: Path, benchmark: Benchmark, tile: str, found: tuple[tuple[str, Path | None, tuple[str, ...]], ...]
) -> list[DataError]:
    problems = []
    for what, path, patterns in found:
        if path is None:
            tried = " nor ".join(f"`{root / pattern.format(tile)}`" for pattern in patterns)
            message = f"the {what} of tile {tile} is missing: no {tried}"
            hint = f"{benchmark.archives}; to do without it: data.isprs.leave_out=[{tile}]"
            problems.append(DataError(message, hint=hint))
    return problems
