"""The data set of a job: checked before a training, prepared where the settings say so."""

from __future__ import annotations

from collections.abc import Iterable

from rsseg_tf.config import Config
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.check import FITTED
from rsseg_tf.datasets.opening import open_prepared, open_sound
from rsseg_tf.progress import progress_bar, warn


def sound_dataset(config: Config, splits: Iterable[str] = FITTED) -> tuple[Dataset, dict[str, str]]:
    """Return the configured data set after a check of all of it; what may be intended is reported on stderr.

    Args:
        config: the settings.
        splits: whose hashes are returned.

    Returns:
        The data set, and name → hash of each split: `data:SPLIT` of what the split lists, and but for
        generated scenes `content:SPLIT` of the files' bytes.

    Raises:
        RssegError: if something is wrong with it, in the words of `rsseg-tf data check`.
    """
    with progress_bar("checking the data") as progress:
        dataset, report = open_sound(config.data, seed=config.seed, progress=progress)
    for finding in report.warnings if report else ():
        warn(finding.message, hint=finding.hint)
    inputs = {f"data:{split}": dataset.fingerprint(split) for split in splits}
    return dataset, inputs | ({f"content:{split}": report.contents[split] for split in splits} if report else {})


def prepared_dataset(config: Config) -> Dataset:
    """Return the configured data set, which was checked when the model was trained.

    Raises:
        RssegError: if it cannot be opened or prepared.
    """
    with progress_bar("preparing the data") as progress:
        return open_prepared(config.data, seed=config.seed, progress=progress)
