"""The data sets that a configuration can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from rsseg_tf.config import DataConfig
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.datasets.readers import isprs, loveda, uavid
from rsseg_tf.datasets.readers.files import FileDataset
from rsseg_tf.datasets.readers.folder import Folder, parse_classes
from rsseg_tf.datasets.readers.isprs import POTSDAM, VAIHINGEN, Benchmark, Isprs
from rsseg_tf.datasets.readers.loveda import Loveda
from rsseg_tf.datasets.readers.uavid import Uavid
from rsseg_tf.datasets.sample import Dataset
from rsseg_tf.datasets.scenes.dataset import Scenes
from rsseg_tf.errors import ConfigError, DataError

AnyDataset: TypeAlias = FileDataset | Scenes


def _isprs(benchmark: Benchmark) -> Callable[[DataConfig, int], AnyDataset]:
    def opened(data: DataConfig, _seed: int) -> AnyDataset:
        return Isprs(
            data.root,
            benchmark,
            split=data.split,
            ground_truth=data.ground_truth,
            clutter=data.clutter,
            ignore_unknown=data.unknown_colors == "ignore",
        )

    return opened


READERS: Mapping[str, Callable[[DataConfig, int], AnyDataset]] = {
    "scenes": lambda data, seed: Scenes(data.scenes, seed=seed if data.scenes.seed < 0 else data.scenes.seed),
    "folder": lambda data, _seed: Folder(data),
    "uavid": lambda data, _seed: Uavid(data.root, ignore_unknown=data.unknown_colors == "ignore"),
    "vaihingen": _isprs(VAIHINGEN),
    "potsdam": _isprs(POTSDAM),
    "loveda": lambda data, _seed: Loveda(data.root, ignore_unknown=data.unknown_colors == "ignore"),
}
"""`data.name` → what opens it."""


def list_dataset(data: DataConfig, *, seed: int = 0) -> AnyDataset:
    """The data set that `data` names, even where single files of it are missing: see its `problems`.

    Raises:
        ConfigError: settings that its reader cannot use.
        DataError: there is nothing to read at all.
    """
    if data.name not in READERS:
        raise ConfigError(f"unknown data set `{data.name}`", hint=f"known: {', '.join(READERS)}")
    return READERS[data.name](data, seed)


def open_dataset(data: DataConfig, *, seed: int = 0) -> Dataset:
    """The data set that `data` names, with every listed file present.

    Args:
        data: its name, folder and options.
        seed: of generated scenes.

    Raises:
        ConfigError: settings that its reader cannot use.
        DataError: its folder is missing or empty, or files in it do not pair up.

    Example:
        >>> open_dataset(DataConfig(name="scenes")).splits()
        ('train', 'val', 'test')
    """
    dataset = list_dataset(data, seed=seed)
    if dataset.problems:
        first, more = dataset.problems[0], len(dataset.problems) - 1
        others = f" (and {more} more: `rsseg-tf data check` lists them)" if more else ""
        raise DataError(f"{first.message}{others}", hint=first.hint)
    return dataset


def palette_of(data: DataConfig) -> Palette:
    """The classes of the data set that `data` names, without a look at its files.

    Raises:
        ConfigError: classes that its reader cannot use.
    """
    if data.name == "folder":
        return parse_classes(data.classes, data.ignore_colors)[0]
    fixed = {"scenes": isprs.PALETTE, "uavid": uavid.PALETTE, "loveda": loveda.PALETTE}
    return fixed.get(data.name) or isprs.scored_palette(data.clutter)
