"""A data set whose images and masks have been decoded, and resized, once and for all.

Besides memory, what a prepared pair saves at every step of a training is the decoder: a 4K PNG takes
longer to decode than a network takes to learn from it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2

from rsseg_tf.config import DataConfig
from rsseg_tf.datasets.catalog import masks_of
from rsseg_tf.datasets.examine import Examination, Pair, examine
from rsseg_tf.datasets.files.companions import pixel_files
from rsseg_tf.datasets.files.stored import Box
from rsseg_tf.datasets.images.resize import resized_image, resized_mask
from rsseg_tf.datasets.palette import Pixels
from rsseg_tf.datasets.prepared.entry import Entry, read_entry, write_entry
from rsseg_tf.datasets.readers.files import FileDataset
from rsseg_tf.datasets.sample import Sample, hash_of
from rsseg_tf.errors import RssegError
from rsseg_tf.runs import write_json

_VERSION = 3
_ENTRY = ".pair"
FACTS = "prepared.json"


@dataclass(frozen=True)
class Store:
    """Where prepared pairs lie, and how they are made.

    Attributes:
        folder: of this data set under these settings.
        size: height and width that pairs are resized to, or None where windows will be cut out of whole images.
        facts: everything that the stored pixels depend on, besides the files.
    """

    folder: Path
    size: tuple[int, int] | None
    facts: Mapping[str, Any]

    def path(self, sample: Sample) -> Path:
        """Return the file of a sample."""
        key = hash_of([str(path and path.resolve()) for path in (sample.image, sample.mask)])
        return self.folder / f"{key[:32]}{_ENTRY}"

    def fitted(self, pair: Pair) -> Pair:
        """Return the pair as it is stored."""
        if self.size is None:
            return pair
        return resized_image(pair[0], self.size), resized_mask(pair[1], self.size)

    def find(self, sample: Sample) -> Entry | None:
        """Return the sample's entry, if it exists and was made from the files as they are now."""
        try:
            return read_entry(self.path(sample), source_of(sample))
        except OSError:
            return None

    def make(self, dataset: FileDataset, sample: Sample) -> Examination:
        """Read and keep a sample; one that has problems is not kept.

        Raises:
            RssegError: if the disk is full.
        """
        examination, pair = examine(dataset, sample)
        if not examination.problems:
            kept = None if pair is None else self.fitted(pair)
            with _told_what_to_do():
                write_entry(self.path(sample), source_of(sample), examination, kept)
        return examination


def store_of(data: DataConfig, dataset: FileDataset) -> Store:
    """Return the place for a data set's prepared pairs: a folder below `data.cache_dir` for each way of preparing."""
    size = data.input_size if data.fitting == "resize" else None
    facts = {
        "version": _VERSION,
        "opencv": cv2.__version__,
        "bands": data.bands,
        "scale": data.scale,
        "size": size,
        "palette": asdict(dataset.palette),
        "masks": {
            "name": data.name,
            "classes": {},  # of `folder` alone, but in the names of folders that are there
            "ignore_colors": (),
            "unknown_colors": data.unknown_colors,
            **masks_of(data),
        },
    }
    return Store(Path(data.cache_dir) / f"{data.name}-{hash_of(facts)[:16]}", size, facts)


def describe_store(store: Store) -> None:
    """Leave a file in the store's folder that tells a person what it holds."""
    if not (store.folder / FACTS).exists():
        with _told_what_to_do():
            write_json(store.folder / FACTS, dict(store.facts))


@contextlib.contextmanager
def _told_what_to_do() -> Iterator[None]:
    try:
        yield
    except RssegError as error:
        hint = "free some space, or set data.cache_dir to a folder elsewhere; existing entries are reused"
        raise RssegError(error.message, hint=hint) from error


def source_of(sample: Sample) -> dict[str, Any]:
    """Return what a sample's pixels come from: path, bytes and time of change of its files, and of those beside them.

    Raises:
        OSError: if one is missing.
    """
    files = (("image", sample.image), ("mask", sample.mask))
    beside = [
        (f"{what} beside {number}", other)
        for what, path in files
        if path
        for number, other in enumerate(pixel_files(path)[1:])
    ]
    return {
        what: [str(path.resolve()), (status := path.stat()).st_size, status.st_mtime_ns] if path else None
        for what, path in (*files, *beside)
    }


class PreparedDataset:
    """A data set that reads what a store holds from there, and the rest from the files; implements `Dataset`.

    Where the store holds resized pairs, every pair comes resized, whether it is in the store or not.

    Args:
        base: reads the files.
        store: where prepared pairs lie.
        entries: sample → its entry.
    """

    def __init__(self, base: FileDataset, store: Store, entries: Mapping[Sample, Entry]) -> None:
        self.palette = base.palette
        self._base = base
        self._store = store
        self._entries = {sample: entry for sample, entry in entries.items() if any(entry.shape)}
        self._opened: dict[Sample, Pair] = {}

    def splits(self) -> tuple[str, ...]:
        """See `Dataset.splits`."""
        return self._base.splits()

    def samples(self, split: str) -> tuple[Sample, ...]:
        """See `Dataset.samples`."""
        return self._base.samples(split)

    def read_image(self, sample: Sample) -> Pixels:
        """See `Dataset.read_image`."""
        return self.read(sample)[0] if sample.mask else self._base.read_image(sample)

    def read_mask(self, sample: Sample) -> Pixels:
        """See `Dataset.read_mask`."""
        return self.read(sample)[1] if sample.mask else self._base.read_mask(sample)

    def size_in_parts(self, sample: Sample) -> tuple[int, int] | None:
        """See `InParts.size_in_parts`; none is where whole images are resized, or lie raw on the disk."""
        is_whole = self._store.size is not None or sample in self._entries
        return None if is_whole else self._base.size_in_parts(sample)

    def read_part(self, sample: Sample, box: Box) -> Pair:
        """See `InParts.read_part`."""
        return self._base.read_part(sample, box)

    def read(self, sample: Sample) -> Pair:
        """See `Dataset.read`."""
        if sample not in self._entries:
            return self._store.fitted(self._base.read(sample))
        if sample not in self._opened:
            self._opened[sample] = self._pair(sample)
        return self._opened[sample]

    def _pair(self, sample: Sample) -> Pair:
        """Return the stored pair; one whose check sum is wrong is made again."""
        entry, path = self._entries[sample], self._store.path(sample)
        pair = entry.pair(path)
        if pair is None:
            pair = self._store.fitted(self._base.read(sample))
            with contextlib.suppress(OSError, RssegError):  # without it the next run makes it, or none
                write_entry(path, source_of(sample), entry.examination, pair)
        return pair

    def fingerprint(self, split: str) -> str:
        """See `Dataset.fingerprint`."""
        return self._base.fingerprint(split)
