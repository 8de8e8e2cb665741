"""Data sets as commands read them: from their files, or prepared where the settings name a place for that."""

from __future__ import annotations

from typing import Any

from rsseg_tf.config import DataConfig
from rsseg_tf.datasets.catalog import list_dataset, open_dataset
from rsseg_tf.datasets.check import DatasetReport, all_samples, check_dataset, report_of, require_sound
from rsseg_tf.datasets.prepared.prepare import Preparation, prepare
from rsseg_tf.datasets.prepared.store import store_of
from rsseg_tf.datasets.readers.files import FileDataset
from rsseg_tf.datasets.sample import Dataset
from rsseg_tf.datasets.scenes.dataset import Scenes
from rsseg_tf.errors import ConfigError
from rsseg_tf.progress import Progress


def open_prepared(data: DataConfig, *, seed: int = 0, progress: Progress | None = None) -> Dataset:
    """Return the data set that `data` names, read from its prepared pairs where `data.cache_dir` names a folder.

    The pixels are those of the files; where pairs are resized, they come resized. A sample with problems is not
    prepared: its errors come when it is read.

    Args:
        data: its name, folder and options.
        seed: of generated scenes.
        progress: called with (samples done, samples in all), if any have to be prepared.

    Raises:
        ConfigError: for settings that its reader cannot use.
        DataError: if its folder is missing or empty, or files in it do not pair up.
        RssegError: if its prepared pairs cannot be written.
    """
    dataset = open_dataset(data, seed=seed)
    if not data.cache_dir or not isinstance(dataset, FileDataset):
        return dataset
    return prepared(data, dataset, progress=progress).dataset


def open_sound(
    data: DataConfig, *, seed: int = 0, progress: Progress | None = None
) -> tuple[Dataset, DatasetReport | None]:
    """Open a data set as `open_prepared` does, after checking everything that `rsseg-tf data check` does.

    Returns:
        The data set, and what the check found; None for generated scenes, which cannot be damaged.

    Raises:
        ConfigError: for settings that its reader cannot use.
        DataError: if something is wrong with the data set; all of it is listed.
        RssegError: if its prepared pairs cannot be written.
    """
    dataset = list_dataset(data, seed=seed)
    if isinstance(dataset, Scenes):
        return dataset, None
    opened: Dataset = dataset
    if data.cache_dir:
        preparation = prepared(data, dataset, progress=progress)
        report, opened = report_of(dataset, preparation.examinations), preparation.dataset
    else:
        report = check_dataset(dataset, progress=progress)
    require_sound(report)
    return opened, report


def prepared(data: DataConfig, dataset: FileDataset, *, progress: Progress | None = None) -> Preparation:
    """Return the prepared pairs of all splits, made now where they are missing.

    Raises:
        RssegError: if they cannot be written.
    """
    return prepare(dataset, store_of(data, dataset), all_samples(dataset), progress=progress)


def prepare_now(data: DataConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """Prepare all splits of the data set that `data` names.

    Returns:
        `folder`, `samples`, `made` (how many of them now) and `bytes` on the disk.

    Raises:
        ConfigError: if `data.cache_dir` is not set, or the data set is generated.
        DataError: if something is wrong with the data set; all of it is listed.
        RssegError: if the folder cannot be written.
    """
    dataset = list_dataset(data)
    if not data.cache_dir or isinstance(dataset, Scenes):
        wrong = "`data.cache_dir` is not set" if isinstance(dataset, FileDataset) else "generated scenes have no files"
        raise ConfigError(f"nothing to prepare: {wrong}", hint="for example data.cache_dir=data/prepared")
    preparation = prepared(data, dataset, progress=progress)
    require_sound(report_of(dataset, preparation.examinations))
    folder = store_of(data, dataset).folder
    stored = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "folder": str(folder),
        "samples": len(preparation.examinations),
        "made": preparation.made,
        "bytes": stored,
    }
