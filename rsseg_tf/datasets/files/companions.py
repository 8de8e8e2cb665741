"""The files beside an image that its pixels come from too: masks, and what a VRT is made of."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from rsseg_tf.datasets.files.place import world_file_of
from rsseg_tf.datasets.files.raster import library, open_dataset_of
from rsseg_tf.datasets.sample import hash_of
from rsseg_tf.errors import DataError
from rsseg_tf.runs import file_hash

_STATISTICS = re.compile(rb"<MDI key=\"STATISTICS_[^<]*</MDI>|<Histograms>.*?</Histograms>", re.DOTALL)
"""Of a PAM file: what programs that show an image, such as QGIS, leave beside it."""
_NOTHING = re.compile(rb"(</?(PAMDataset|PAMRasterBand|Metadata)\b[^<>]*>|\s)*")
_KNOWN_HASHES = 256
_ONE_READER = threading.Lock()


def pixel_files(path: Path) -> list[Path]:
    """Return the files that an image's pixels come from: itself first, then those that are there of the others."""
    mask, more = (path.with_name(f"{path.name}{suffix}") for suffix in (".msk", ".aux.xml"))
    beside = [mask] * mask.exists() + [more] * _says_something(more)
    return [path, *beside, *_sources(path, {path.resolve()})]


def files_of(path: Path) -> list[Path]:
    """Return the files that an image's pixels and its place come from: itself first."""
    world = world_file_of(path)
    return [*pixel_files(path), *([world] if world else [])]


def content_hash(files: list[Path]) -> str:
    """Return the SHA-256 of a file, or of those of several, from `pixel_files` or `files_of`.

    Raises:
        OSError: if one cannot be read.
    """
    first, *others = files
    if not others:
        return file_hash(first)
    return hash_of([file_hash(first), *(_known_hash(*_state(each)) for each in others)])


def _says_something(more: Path) -> bool:
    """Return whether a PAM file (`.aux.xml`) is there and holds other things than statistics, which change no pixel."""
    try:
        content = more.read_bytes()
    except OSError:
        return False
    return not _NOTHING.fullmatch(_STATISTICS.sub(b"", content))


def _sources(path: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield what a VRT is made of, each file once: many blocks of one mosaic may be."""
    if path.suffix.lower() != ".vrt" or library() is None:
        return
    try:
        with open_dataset_of(path) as dataset:
            found = [Path(name) for name in dataset.files]
    except DataError:  # whoever reads its pixels says so
        return
    for each in found:
        if each.is_file() and each.resolve() not in seen:
            seen.add(each.resolve())
            yield each
            yield from _sources(each, seen)


def _state(path: Path) -> tuple[Path, int, int]:
    status = path.stat()
    return path.resolve(), status.st_size, status.st_mtime_ns


def _known_hash(path: Path, size: int, changed_ns: int) -> str:
    """Return a file's hash, which is not computed again while the file has the same size and time of change."""
    with _ONE_READER:
        return _hash_of_state(path, size, changed_ns)


@functools.lru_cache(maxsize=_KNOWN_HASHES)
def _hash_of_state(path: Path, _size: int, _changed_ns: int) -> str:
    return file_hash(path)
