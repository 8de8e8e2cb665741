"""The data set of a job: checked before a training, prepared where the settings say so."""

from __future__ import annotations

from rsseg_tf.config import Config
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.check import FITTED
from rsseg_tf.datasets.opening import open_prepared, open_sound
from rsseg_tf.steps.shared.progress import CountingProgress, warn


def sound_dataset(config: Config) -> tuple[Dataset, dict[str, str]]:
    """The configured data set after a check of all of it; what may be meant is told on stderr.

    Returns:
        The data set, and name → hash of what a training reads of it: `data:SPLIT` of what the split lists, and but for
        generated scenes `content:SPLIT` of the files' bytes.

    Raises:
        RssegError: something is wrong with it, in the words of `rsseg-tf data check`.
    """
    dataset, report = open_sound(config.data, seed=config.seed, watch=CountingProgress("checking the data"))
    for finding in report.warnings if report else ():
        warn(finding.message, hint=finding.hint)
    inputs = {f"data:{split}": dataset.fingerprint(split) for split in FITTED}
    return dataset, inputs | ({f"content:{split}": report.contents[split] for split in FITTED} if report else {})


def prepared_dataset(config: Config) -> Dataset:
    """The configured data set, which has been checked when the model was trained.

    Raises:
        RssegError: it cannot be opened or prepared.
    """
    return open_prepared(config.data, seed=config.seed, watch=CountingProgress("preparing the data"))
