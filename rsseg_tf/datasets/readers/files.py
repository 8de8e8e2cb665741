"""What all file-based data sets share: pairs in splits, and reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsseg_tf.datasets.agreement import require_equal_headers, require_equal_sizes
from rsseg_tf.datasets.files.opening import windowed_size
from rsseg_tf.datasets.files.stored import WHOLE, Box
from rsseg_tf.datasets.images.channels import AS_THEY_ARE, Channels
from rsseg_tf.datasets.images.masks import MaskReader
from rsseg_tf.datasets.images.windows import read_picture
from rsseg_tf.datasets.palette import IGNORE, Palette, Pixels
from rsseg_tf.datasets.sample import Sample, hash_of, samples_of
from rsseg_tf.errors import DataError, unreadable


@dataclass(frozen=True)
class Listing:
    """What lies in a data set's folders, as its reader found it without opening an image.

    Attributes:
        splits: split → its samples; a training reads `train` and `val`.
        problems: everything about the files that does not fit, such as an image without a mask. The data set does not
            open until they are fixed; `data check` lists them all.
        doubts: what may be intended, such as fewer images than were published: warnings of check and training.
        incomplete: the splits that would hold more samples without `problems`, so that an empty one is not reported as
            a problem of its own.
        dealing: how the images were dealt to the splits, for people; empty where files or folders say what is in which.
    """

    splits: Mapping[str, tuple[Sample, ...]]
    problems: tuple[DataError, ...] = ()
    doubts: tuple[DataError, ...] = ()
    incomplete: frozenset[str] = frozenset()
    dealing: str = ""


class FileDataset:
    """A data set of image and mask files; implements `Dataset`.

    Args:
        palette: the classes.
        masks: reads its mask files.
        listing: its files.
        aliases: split → the split whose samples it repeats on purpose, such as `{"val": "test"}` where none was
            published; the listing holds the samples under both names. They are read and counted once, and are no
            image in two splits.
    """

    channels: Channels
    """Which bands of its images are seen, and how."""

    folders_are_sequences = False
    """Whether the images of one folder show one place, so that one in several splits is a problem, not a warning."""

    unseen_hint = ""
    """What to think of where a class has no pixel in a split, and some pixels have no label."""

    split_hint = "unpack that part of the data set too"
    """What to do where `train` or `val` is empty: the hint of that problem. A reader says its own, and adds
    `layout.still_packed` to it for the archives that lie there."""

    def __init__(
        self, palette: Palette, masks: MaskReader, listing: Listing, *, aliases: Mapping[str, str] | None = None
    ) -> None:
        self.palette = palette
        self.problems = listing.problems
        self.doubts = listing.doubts
        self.incomplete = listing.incomplete
        self.dealing = listing.dealing
        self.aliases = dict(aliases or {})
        self.channels = AS_THEY_ARE
        self._masks = masks
        self._splits = dict(listing.splits)

    def splits(self) -> tuple[str, ...]:
        """See `Dataset.splits`."""
        return tuple(split for split, samples in self._splits.items() if samples)

    def samples(self, split: str) -> tuple[Sample, ...]:
        """See `Dataset.samples`."""
        return samples_of(self._splits, split)

    def read_image(self, sample: Sample) -> Pixels:
        """See `Dataset.read_image`."""
        if sample.image is None:
            raise DataError(f"`{sample.name}` has no image file", hint="read it with the data set that listed it")
        return read_picture(sample.image, channels=self.channels)[0]

    def read_mask(self, sample: Sample) -> Pixels:
        """See `Dataset.read_mask`."""
        if sample.mask is None:
            raise DataError(
                f"`{sample.name}` has no mask: its labels are withheld", hint="use a split that has labels, such as val"
            )
        return self._masks.read(sample.mask)

    def read(self, sample: Sample) -> tuple[Pixels, Pixels]:
        """See `Dataset.read`."""
        return self.read_part(sample, WHOLE)

    def read_part(self, sample: Sample, box: Box) -> tuple[Pixels, Pixels]:
        """See `InParts.read_part`."""
        if sample.image is None or sample.mask is None:  # one of them raises
            return self.read_image(sample), self.read_mask(sample)
        if box == WHOLE:  # of one that is read in parts, `size_in_parts` has compared them
            require_equal_headers(sample)
        image, valid = read_picture(sample.image, box, channels=self.channels)
        mask = self._masks.read(sample.mask, box)
        require_equal_sizes(sample, image.shape[:2], mask.shape)
        return image, mask if valid is None else np.where(valid, mask, np.uint8(IGNORE))

    def size_in_parts(self, sample: Sample) -> tuple[int, int] | None:
        """See `InParts.size_in_parts`."""
        if sample.image is None or sample.mask is None:
            return None
        require_equal_headers(sample)
        size = windowed_size(sample.image)
        if size is None:
            return None
        mask_size = windowed_size(sample.mask)
        if mask_size:
            require_equal_sizes(sample, size, mask_size)
        return size if mask_size else None

    def fingerprint(self, split: str) -> str:
        """See `Dataset.fingerprint`."""
        facts = [(sample.name, _size(sample.image), _size(sample.mask)) for sample in self.samples(split)]
        return hash_of([self.palette.names, facts])


def paired(
    images: Mapping[str, Sequence[Path]], masks: Mapping[str, Sequence[Path]], *, prefix: str = ""
) -> tuple[list[Sample], list[DataError]]:
    """Return samples from images and masks of the same stem, and what does not pair up.

    Args:
        images: stem → image files.
        masks: stem → mask files.
        prefix: goes before the stem in the sample's name.
    """
    samples, problems = [], []
    for stem, files in images.items():
        problems += [_twice(stem, group) for group in (files, masks.get(stem, ())) if len(group) > 1]
        if stem in masks:
            samples.append(Sample(f"{prefix}{stem}", files[0], masks[stem][0]))
        else:
            problems.append(DataError(f"the image `{files[0]}` has no mask", hint="add its mask or remove the image"))
    for stem, files in masks.items():
        if stem not in images:
            problems.append(DataError(f"the mask `{files[0]}` has no image", hint="add its image or remove the mask"))
    return samples, problems


def _twice(stem: str, files: Sequence[Path]) -> DataError:
    listed = ", ".join(f"`{path}`" for path in files)
    return DataError(f"`{stem}` exists more than once: {listed}", hint="keep one of them")


def _size(path: Path | None) -> int | None:
    if path is None:
        return None
    try:
        return path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error
