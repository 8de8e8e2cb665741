"""What a data set is made of, and what every data set can do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rsseg_tf.datasets.palette import Palette, Pixels
from rsseg_tf.errors import DataError


@dataclass(frozen=True)
class Sample:
    """One image of a data set and its mask.

    Attributes:
        name: unique within a split, such as `seq1/000000`.
        image: the image file; None for generated scenes.
        mask: the mask file; None for generated scenes and where labels are withheld.
    """

    name: str
    image: Path | None
    mask: Path | None


class Dataset(Protocol):
    """Images with class masks, in named splits.

    Attributes:
        palette: the classes.
    """

    palette: Palette

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits that hold samples."""
        ...

    def samples(self, split: str) -> tuple[Sample, ...]:
        """Return the samples of a split, in a fixed order.

        Raises:
            DataError: if there is no such split; the error names the known ones.
        """
        ...

    def read_image(self, sample: Sample) -> Pixels:
        """Return the image: uint8 (H, W, 3) RGB (or infrared, red, green), or of as many bands as the settings name.

        Raises:
            DataError: if the file is missing or damaged.
        """
        ...

    def read_mask(self, sample: Sample) -> Pixels:
        """Return the labels: uint8 (H, W) class ids, 255 for ignore.

        Raises:
            DataError: if there is none, the file is damaged, or it holds colors that are not classes.
        """
        ...

    def read(self, sample: Sample) -> tuple[Pixels, Pixels]:
        """Return the image and the mask, which is 255 too where the image has no data.

        Raises:
            DataError: as above, or their sizes differ.
        """
        ...

    def fingerprint(self, split: str) -> str:
        """Return the SHA-256, in hexadecimal, over what `split` lists: names and file sizes, without reading pixels."""
        ...


def samples_of(splits: Mapping[str, tuple[Sample, ...]], split: str) -> tuple[Sample, ...]:
    """Return the samples of `split`.

    Raises:
        DataError: if there are none.
    """
    if not splits.get(split):
        known = [f"`{name}`" for name, samples in splits.items() if samples]
        raise DataError(f"there is no split `{split}`", hint=f"known splits: {', '.join(known) or 'none'}")
    return splits[split]


def hash_of(facts: Any) -> str:
    """Return the SHA-256 of JSON facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def require_masks(samples: Sequence[Sample], split: str) -> None:
    """Check that all samples can be scored.

    Raises:
        DataError: if one has no mask, as where a benchmark withholds the labels of its test split.
    """
    bare = [sample.name for sample in samples if sample.image is not None and sample.mask is None]
    if bare:
        raise DataError(
            f"`{bare[0]}` in the split `{split}` has no mask ({len(bare)} of {len(samples)} samples have none)",
            hint="evaluate on a split with labels, such as --split val",
        )
