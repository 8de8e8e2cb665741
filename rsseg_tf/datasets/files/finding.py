"""The images that words of a command line name."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rsseg_tf.datasets.files.opening import SUFFIXES
from rsseg_tf.errors import DataError, unreadable


def find_images(words: Iterable[str]) -> list[Path]:
    """Return the images that files, folders (searched recursively) and glob patterns name, each once, in order.

    Raises:
        DataError: if a word names nothing, or a folder holds no image.
    """
    found: dict[Path, Path] = {}
    for word in words:
        for path in _images_of(word):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _images_of(word: str) -> list[Path]:
    path = Path(word)
    if path.is_file():
        return [path]
    if path.is_dir():
        images = sorted(item for item in _files_below(path) if item.suffix.lower() in SUFFIXES and item.is_file())
        if not images:
            raise DataError(
                f"`{path}` holds no image", hint=f"images end in {', '.join(SUFFIXES)}; name videos one by one"
            )
        return images
    matches = [Path(match) for match in sorted(glob.glob(word, recursive=True))]  # noqa: PTH207 - absolute patterns
    images = [match for match in matches if match.suffix.lower() in SUFFIXES and match.is_file()]
    if not images:
        raise DataError(f"no image at `{word}`", hint="give image files, folders or glob patterns")
    return images


def _files_below(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise unreadable(Path(error.filename), error) from error

    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        facts = Path(place).stat()
        if (facts.st_dev, facts.st_ino) in seen:  # a link leads to where we were
            folders.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        yield from (Path(place, name) for name in names)
