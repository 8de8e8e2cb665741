"""Windows of a split as inference sees them, for calibration and for comparisons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config import AugmentConfig, Config
from rsseg_tf.datasets import Dataset
from rsseg_tf.quantization.calibration import Calibration, Candidate, choose_calibration
from rsseg_tf.steps.shared.training_data import windows_of

_AS_IT_IS = AugmentConfig(flip_horizontal=False, translate_px=0)
_CANDIDATES_PER_SAMPLE = 4

Window = tuple[str, NDArray[np.uint8], NDArray[np.uint8]]
"""Name, image uint8 (h, w, bands), mask uint8 (h, w)."""


def windows(dataset: Dataset, config: Config, split: str, *, count: int) -> list[Window]:
    """Return at most `count` windows of a split, seeded, each pair giving as many as its area is worth."""
    source = windows_of(dataset, config, _AS_IT_IS, split=split)
    samples = dataset.samples(split)
    pool = np.repeat(np.arange(source.count), source.windows_per_pair())
    order = np.random.default_rng(config.seed).permutation(pool)[:count]
    return [
        (f"{samples[index].name}#{position}", *source.window(int(index), epoch=0, position=position))
        for position, index in enumerate(order)
    ]


def calibration_of(dataset: Dataset, config: Config) -> Calibration:
    """Return training windows to measure ranges on."""
    count = config.export.calibration_samples
    drawn = windows(dataset, config, "train", count=_CANDIDATES_PER_SAMPLE * count)
    return choose_calibration(
        [Candidate(name, image, mask) for name, image, mask in drawn],
        count=count,
        num_classes=len(dataset.palette.names),
        seed=config.seed,
    )
