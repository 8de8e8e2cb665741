"""What a `.keras` file was trained for, classes and the size of a pixel: kept in it, beside what Keras puts there."""

from __future__ import annotations

import contextlib
import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from rsseg_tf.config import Config, load_config
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.catalog import palette_of
from rsseg_tf.datasets.files.ground import square_side_m
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.datasets.relabeled import with_classes_of
from rsseg_tf.errors import RssegError
from rsseg_tf.models.weights.archive import json_member
from rsseg_tf.runs import CONFIG

_MEMBER = "rsseg_tf.json"
_PIXEL = "ground_sampling_distance_m"
_SAMPLED = 32
_DIGITS = 4


def keep_classes(path: Path, palette: Palette, *, pixel_m: float = 0.0) -> None:
    """Write names and colors of a model's classes into its `.keras` file, and meters per pixel; 0 where unknown."""
    facts = {"class_names": palette.names, "class_colors": palette.colors, _PIXEL: pixel_m}
    text = json.dumps(facts, ensure_ascii=False)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_MEMBER, text)


def numbered_as(path: Path, dataset: Dataset) -> Dataset:
    """Return the data set with the classes of the model at `path`, where that is known.

    Raises:
        ModelError: if they are not the same, one to one, by their names.
    """
    palette = classes_of(path)
    return dataset if palette is None else with_classes_of(palette, dataset)


def classes_of(path: Path) -> Palette | None:
    """Return the classes of a `.keras` file, or else of the run that it lies in; None where neither says."""
    values = json_member(path, _MEMBER)
    with contextlib.suppress(KeyError, ValueError, TypeError, OverflowError):
        colors = tuple((int(red), int(green), int(blue)) for red, green, blue in values["class_colors"])
        return Palette(tuple(map(str, values["class_names"])), colors)
    with contextlib.suppress(RssegError):
        return palette_of(load_config(path.parent / CONFIG, is_record=True).data)
    return None


def pixel_m_of(path: Path) -> float:
    """Return meters per pixel of the images that a `.keras` file learned from; 0 where it does not say."""
    values = json_member(path, _MEMBER)
    with contextlib.suppress(KeyError, ValueError, TypeError, OverflowError):
        side = float(values[_PIXEL])
        return side if 0 < side < math.inf else 0.0
    return 0.0


def with_pixel_m(config: Config, learned: float) -> Config:
    """Return settings that say how large a pixel is: what they say, or else what the model learned from."""
    if config.data.ground_sampling_distance_m or not learned:
        return config
    return replace(config, data=replace(config.data, ground_sampling_distance_m=learned))


def learned_pixel_m(config: Config, dataset: Dataset) -> float:
    """Return meters per pixel of what a model learns from: as the settings say, or else the images; 0 where neither do.

    It is the median of some images. Those that are resized to the model's input have no size of their own, and one
    number says nothing of pixels that are not square, as on a grid of degrees far from the equator.
    """
    if config.data.ground_sampling_distance_m or config.data.fitting == "resize" or "train" not in dataset.splits():
        return config.data.ground_sampling_distance_m
    images = [sample.image for sample in dataset.samples("train") if sample.image is not None]
    some = images[:: -(-len(images) // _SAMPLED)] if images else []
    sides = [side for side in map(square_side_m, some) if side]
    return float(f"{np.median(sides):.{_DIGITS}g}") if 2 * len(sides) > len(some) else 0.0
