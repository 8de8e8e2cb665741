"""Scenes: a data set of generated aerial views, any number and size, that needs no files.

Six classes as in the ISPRS benchmarks. Colors overlap between classes, so that a classifier of single
pixels fails and shape, texture and surroundings decide; see `rsseg_tf.datasets.color_baseline`.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import asdict

import numpy as np

from rsseg_tf.config import ScenesConfig
from rsseg_tf.config.setting import check
from rsseg_tf.datasets.palette import Pixels
from rsseg_tf.datasets.readers.isprs import PALETTE
from rsseg_tf.datasets.sample import Sample, hash_of, samples_of
from rsseg_tf.datasets.scenes.blocks import draw_block, draw_streets, plant_trees
from rsseg_tf.datasets.scenes.plan import blocks_between, lay_streets, start_town
from rsseg_tf.errors import DataError

VERSION = 1
"""Goes up when the same seed gives other pixels than before."""


def render_scene(rng: np.random.Generator, *, size: int) -> tuple[Pixels, Pixels]:
    """Return one generated view from straight above.

    Things have the same size in pixels whatever `size` is: a larger scene shows more of the town.
    A car is about 17 × 8.5 px, a street 24 … 31 px wide.

    Args:
        rng: decides everything.
        size: height and width in pixels, at least 32.

    Returns:
        The image, uint8 (size, size, 3) RGB, and its labels, uint8 (size, size), ids of `PALETTE`.
    """
    town = start_town(size, rng)
    reach = size * math.sqrt(0.5) + 20
    across, down = lay_streets(reach, rng), lay_streets(reach, rng)
    for block in blocks_between(across, down):
        if town.in_sight(*block.middle, reach=math.hypot(block.width, block.height) / 2):
            draw_block(town, block)
    draw_streets(town, across, down, reach)
    town.raise_buildings()
    plant_trees(town)
    return town.canvas.finish(rng)


class Scenes:
    """Generated scenes; implements `Dataset`.

    A scene depends on (seed, split, index, size) alone, so order and number do not matter.

    Args:
        config: how many scenes each split holds, and their size.
        seed: of all of them.

    Raises:
        ConfigError: for a size below 32 pixels, or negative counts.
    """

    folders_are_sequences = False
    split_hint = "data.scenes.train and data.scenes.val say how many there are"

    def __init__(self, config: ScenesConfig, *, seed: int = 0) -> None:
        check(config, "data.scenes.")
        counts = {"train": config.train, "val": config.val, "test": config.test}
        self.palette = PALETTE
        self.problems: tuple[DataError, ...] = ()
        self.doubts: tuple[DataError, ...] = ()
        self.incomplete: frozenset[str] = frozenset()
        self.aliases: dict[str, str] = {}
        self._config = config
        self._seed = seed
        self._splits = {split: _scene_names(split, count) for split, count in counts.items()}

    def splits(self) -> tuple[str, ...]:
        """See `Dataset.splits`."""
        return tuple(split for split, samples in self._splits.items() if samples)

    def samples(self, split: str) -> tuple[Sample, ...]:
        """See `Dataset.samples`."""
        return samples_of(self._splits, split)

    def read_image(self, sample: Sample) -> Pixels:
        """See `Dataset.read_image`."""
        return self.read(sample)[0]

    def read_mask(self, sample: Sample) -> Pixels:
        """See `Dataset.read_mask`."""
        return self.read(sample)[1]

    def read(self, sample: Sample) -> tuple[Pixels, Pixels]:
        """See `Dataset.read`; both are rendered together, so this costs as much as either alone."""
        split, _, index = sample.name.partition("/")
        if split not in self._splits or not index.isdecimal():
            raise DataError(f"`{sample.name}` is not a generated scene", hint="take samples from this data set")
        rng = np.random.default_rng([self._seed, zlib.crc32(split.encode()), int(index)])
        return render_scene(rng, size=self._config.size)

    def fingerprint(self, split: str) -> str:
        """See `Dataset.fingerprint`."""
        facts = {"version": VERSION, "seed": self._seed, "split": split, "count": len(self.samples(split))}
        return hash_of(facts | {"size": asdict(self._config)["size"]})


def _scene_names(split: str, count: int) -> tuple[Sample, ...]:
    return tuple(Sample(f"{split}/{index:06d}", None, None) for index in range(count))
