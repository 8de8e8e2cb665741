"""The data sets that a configuration can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeAlias

from rsseg_tf.config import DataConfig
from rsseg_tf.config.parsing import no_such_choice
from rsseg_tf.datasets.images.channels import COLORS, Channels
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.datasets.readers import isprs, loveda, uavid
from rsseg_tf.datasets.readers.files import FileDataset
from rsseg_tf.datasets.readers.folder import Folder, parse_classes
from rsseg_tf.datasets.readers.isprs import POTSDAM, VAIHINGEN, Benchmark, Isprs, scored_palette
from rsseg_tf.datasets.readers.loveda import Loveda
from rsseg_tf.datasets.readers.uavid import Uavid
from rsseg_tf.datasets.sample import Dataset
from rsseg_tf.datasets.scenes.dataset import Scenes
from rsseg_tf.errors import ConfigError, DataError

AnyDataset: TypeAlias = FileDataset | Scenes


@dataclass(frozen=True)
class Reader:
    """Everything that is known about a reader.

    Attributes:
        open: lists the data set that the settings name; takes the seed of the run too.
        palette: its classes under these settings, without reading its files.
        section: the section of `data` that holds its own settings; empty for none.
        masks: what its decoded masks depend on, in addition to the files, the palette and `unknown_colors`, as plain
            JSON: the contents of `data.cache_dir` are reused only if these are equal.
    """

    open: Callable[[DataConfig, int], AnyDataset]
    palette: Callable[[DataConfig], Palette]
    section: str = ""
    masks: Callable[[DataConfig], Mapping[str, Any]] = lambda _data: {}


def _of_files(kind: Callable[..., FileDataset], palette: Palette) -> Reader:
    """Return a reader without settings of its own."""
    return Reader(lambda data, _seed: kind(data.root, ignore_unknown=_ignores(data)), lambda _data: palette)


def _isprs(benchmark: Benchmark) -> Reader:
    return Reader(
        lambda data, _seed: Isprs(data.root, benchmark, data.isprs, ignore_unknown=_ignores(data)),
        lambda data: scored_palette(data.isprs.clutter),
        section="isprs",
    )


def _ignores(data: DataConfig) -> bool:
    return data.unknown_colors == "ignore"


READERS: Mapping[str, Reader] = {
    "scenes": Reader(
        lambda data, seed: Scenes(data.scenes, seed=seed if data.scenes.seed < 0 else data.scenes.seed),
        lambda _data: isprs.PALETTE,
        section="scenes",
    ),
    "folder": Reader(
        lambda data, _seed: Folder(data.root, data.folder, ignore_unknown=_ignores(data)),
        lambda data: parse_classes(data.folder)[0],
        section="folder",
        masks=lambda data: {"classes": dict(data.folder.classes), "ignore_colors": data.folder.ignore_colors},
    ),
    "uavid": _of_files(Uavid, uavid.PALETTE),
    "vaihingen": _isprs(VAIHINGEN),
    "potsdam": _isprs(POTSDAM),
    "loveda": _of_files(Loveda, loveda.PALETTE),
}
"""`data.name` → its reader."""


def _reader(data: DataConfig) -> Reader:
    if data.name not in READERS:
        raise no_such_choice("`data.name`", data.name, READERS)
    return READERS[data.name]


def list_dataset(data: DataConfig, *, seed: int = 0) -> AnyDataset:
    """Return the data set that `data` names, even if some of its files are missing: see its `problems`.

    Raises:
        ConfigError: if there is no such reader, or settings that it cannot use.
        DataError: if there is nothing to read at all.
    """
    dataset = _reader(data).open(data, seed)
    if isinstance(dataset, FileDataset):
        dataset.channels = Channels.of(data.bands, data.scale)
    elif data.num_bands != COLORS:
        raise ConfigError(f"generated scenes have {COLORS} bands, `data.bands` names {data.num_bands}")
    if unread := _unread(data):
        named = ", ".join(f"`{name}`" for name in unread)
        doubt = DataError(
            f"`data.name` is `{data.name}`, which does not look at {named}", hint="drop it, or name another"
        )
        dataset.doubts = (*dataset.doubts, doubt)
    return dataset


def _unread(data: DataConfig) -> list[str]:
    """Return the settings given, by what differs from the defaults, that are not of the reader that is named."""
    default, own = DataConfig(), _reader(data).section
    found = ["data.root"] if data.root and data.name == "scenes" else []
    for section in (each.name for each in fields(data) if is_dataclass(getattr(data, each.name)) and each.name != own):
        given, usual = getattr(data, section), getattr(default, section)
        names = (each.name for each in fields(given) if getattr(given, each.name) != getattr(usual, each.name))
        found += [f"data.{section}.{name}" for name in names]
    return found


def open_dataset(data: DataConfig, *, seed: int = 0) -> Dataset:
    """Return the data set that `data` names, with every listed file present.

    Args:
        data: its name, folder and options.
        seed: of generated scenes.

    Raises:
        ConfigError: if there is no such reader, or settings that it cannot use.
        DataError: if its folder is missing or empty, or files in it do not pair up.

    Examples:
        >>> open_dataset(DataConfig(name="scenes")).splits()
        ('train', 'val', 'test')
    """
    dataset = list_dataset(data, seed=seed)
    if dataset.problems:
        first, more = dataset.problems[0], len(dataset.problems) - 1
        others = f" (and {more} more: `rsseg-tf data check` lists them)" if more else ""
        raise DataError(f"{first.message}{others}", hint=first.hint)
    return dataset


def masks_of(data: DataConfig) -> Mapping[str, Any]:
    """Return what the decoded masks depend on of the settings of the reader alone; see `Reader.masks`."""
    return _reader(data).masks(data)


def palette_of(data: DataConfig) -> Palette:
    """Return the classes of the data set that `data` names, without reading its files.

    Raises:
        ConfigError: if there is no such reader, or classes that it cannot use.
    """
    return _reader(data).palette(data)
