"""Settings of the data and of how models are scored on them."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rsseg_tf.config.setting import Rule, setting

_SIZE = Rule(
    "32 to 8,192 pixels a side, and at most 4,096 × 4,096 pixels",
    lambda size: min(size) >= 32 and max(size) <= 8192 and math.prod(size) <= 4096**2,
)
MOST_BANDS = 16
_BANDS = Rule(
    f"1 to {MOST_BANDS} numbers from 1, such as [1,2,3]",
    lambda bands: not bands or (len(bands) <= MOST_BANDS and min(bands) >= 1),
)
_SCALE = Rule(
    "ascending numbers, two such as [0,4000] or two for each band in turn",
    lambda scale: len(scale) % 2 == 0 and all(map(operator.lt, scale[::2], scale[1::2])),
)


SplitBy = Literal["neighbors", "name"]


@dataclass(frozen=True)
class ScenesConfig:
    """(scenes) The generated images.

    Attributes:
        train: scenes in the split `train`.
        val: scenes in the split `val`.
        test: scenes in the split `test`.
        size: height and width in pixels.
        seed: decides what the scenes show; -1 for the seed of the run.
    """

    train: int = setting(160, at_least=0, at_most=1_000_000)
    val: int = setting(16, at_least=0, at_most=1_000_000)
    test: int = setting(32, at_least=0, at_most=1_000_000)
    size: int = setting(256, at_least=32, at_most=16_384)
    seed: int = setting(-1, at_least=-1, at_most=4_294_967_295)


@dataclass(frozen=True)
class FolderConfig:
    """(folder) Where the pairs of images and masks are listed, and what their masks show.

    Attributes:
        pairs: a CSV file below `data.root` with columns `image,mask,split`; empty: `images/` and `masks/` matched by
            stem, with folders `train`, `val` and `test` in them or around them as the splits; without those, a seventh
            each for val and test, where there are at least 7 pairs.
        classes: class name → color `RRGGBB` for color masks, or → integer for index masks; class ids follow this order.
        ignore_colors: colors, or integers in index masks, that become the ignore label 255. In index masks 255 does
            anyway, unless a class has it.
        image_glob: which files below `data.root` are images, such as `{split}/*.jpg`: `*` is any text, `**/` any
            folders, `{split}` the folder of a split, `{jpg,tif}` one of these texts. With `mask_glob`, in place of
            `pairs`.
        mask_glob: which are their masks, such as `{split}/*_mask.png`: the same text for every `*`.
        split_by: how pairs are dealt where neither files nor folders say which split they are in: `neighbors` keeps
            together what lies nearby, by georeferences and by the places that cameras wrote down, else by runs of
            numbers in the names; `name` goes by a hash of each name, as runs did before there was this setting.
        colors: (masks of numbers) class name → color `RRGGBB` that shows it on maps, sheets and overlays; the other
            classes get colors of our own.
    """

    pairs: str = ""
    classes: Mapping[str, str] = field(default_factory=dict)
    ignore_colors: tuple[str, ...] = ()
    image_glob: str = ""
    mask_glob: str = ""
    split_by: SplitBy = "neighbors"
    colors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class IsprsConfig:
    """(vaihingen, potsdam) Which tiles and masks of the benchmark.

    Attributes:
        split: Vaihingen only: the tiles of the paper, or those of the benchmark's challenge.
        ground_truth: `full` or `eroded` masks for the val and test splits.
        clutter: score the class clutter, or ignore it as the paper does.
        leave_out: tiles that are in no split, such as `7_10`, which some published results on Potsdam leave out.
    """

    split: Literal["paper", "challenge"] = "paper"
    ground_truth: Literal["full", "eroded"] = "full"
    clutter: Literal["score", "ignore"] = "score"
    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataConfig:
    """Which images and masks, and how they become network inputs.

    Attributes:
        name: the reader, a key of `rsseg_tf.datasets.catalog.READERS`. `folder` takes any pairs of images and masks.
        root: the folder of the data set, relative to the current folder.
        unknown_colors: (file-based readers) a color or number that is not a class is an error, or ignored.
        bands: (file-based readers) the numbers, from 1, of the bands of an image that the network sees, 1 to 16; the
            first three are shown, and changed in color, as red, green and blue. Empty for the three that the image
            calls so, its three bands, or its one of gray three times.
        scale: (file-based readers) the values of an image that become 0 and 255, where it has more than 8 bits: two for
            all bands, or two for each of `bands` in turn, such as [[0,3000],[0,3000],[0,3000],[0,6000]].
        ground_sampling_distance_m: meters per pixel, 0 for what the images say.
        input_size: height and width of what the network sees.
        fitting: `crop` cuts windows of `input_size` out of the images, `resize` resizes whole images, and scores are
            then of masks of that size too.
        cache: keep decoded (and resized) images in memory between epochs.
        cache_dir: folder for decoded (and resized) images on disk, which every command that reads the data set
            fills on first use and then reads instead of the files; empty for none.
    """

    name: str = "scenes"
    root: str = ""
    unknown_colors: Literal["error", "ignore"] = "error"
    bands: tuple[int, ...] = setting((), rule=_BANDS)
    scale: tuple[float, ...] = setting((), rule=_SCALE)
    ground_sampling_distance_m: float = setting(0.0, at_least=0, at_most=100_000)
    input_size: tuple[int, int] = setting((256, 256), rule=_SIZE)
    fitting: Literal["crop", "resize"] = "crop"
    cache: bool = True
    cache_dir: str = ""
    scenes: ScenesConfig = field(default_factory=ScenesConfig)
    folder: FolderConfig = field(default_factory=FolderConfig)
    isprs: IsprsConfig = field(default_factory=IsprsConfig)

    @property
    def num_bands(self) -> int:
        """How many bands the network sees."""
        return len(self.bands) or 3


@dataclass(frozen=True)
class EvaluateConfig:
    """How whole images are predicted and scored.

    Attributes:
        overlap: pixels that neighboring tiles share, at most half a tile.
        boundary_tolerance: boundary F1 tolerance as a share of the image diagonal.
        boundary_tolerance_px: that tolerance in pixels instead; 0 for `boundary_tolerance`.
        small_object_px: connected components of fewer pixels are small objects, whose recall is counted.
    """

    overlap: int = setting(64, at_least=0, at_most=16_384)
    boundary_tolerance: float = setting(0.0075, above=0, at_most=1)
    boundary_tolerance_px: float = setting(0.0, at_least=0, at_most=10_000)
    small_object_px: int = setting(1024, at_least=1, at_most=1_000_000_000)
