"""The classes that a `.keras` file was trained for: kept in it, beside what Keras puts there."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path

from rsseg_tf.config import load_config
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.catalog import palette_of
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.datasets.relabeled import with_classes_of
from rsseg_tf.errors import RssegError
from rsseg_tf.models.weights.archive import json_member
from rsseg_tf.runs import CONFIG

_MEMBER = "rsseg_tf.json"


def keep_classes(path: Path, palette: Palette) -> None:
    """Write names and colors of a model's classes into its `.keras` file."""
    text = json.dumps({"class_names": palette.names, "class_colors": palette.colors}, ensure_ascii=False)
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
