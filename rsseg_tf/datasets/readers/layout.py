"""What lies in a data set's folders, and what to do where that is not as it should be."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from rsseg_tf.datasets.files.opening import SUFFIXES
from rsseg_tf.errors import DataError, unreadable

_ARCHIVES_LISTED = 4


def existing_root(root: str, *, layout: str) -> Path:
    """Return the data set's folder.

    Args:
        root: what the configuration says.
        layout: one line about what the folder should hold, for the errors.

    Raises:
        DataError: if it is not named, missing, not a folder, or empty, or may not be read.
    """
    if not root:
        raise DataError("`data.root` is not set", hint=f"set data.root=FOLDER; {layout}")
    path = Path(root)
    try:
        wrong = "" if path.is_dir() else "is not a folder" if path.exists() else "does not exist"
    except OSError as error:
        raise unreadable(path, error) from error
    if wrong:
        raise DataError(f"the data set's folder `{root}` {wrong}", hint=f"set data.root=FOLDER; {layout}")
    if not contents(path):
        raise DataError(f"the data set's folder `{root}` is empty", hint=layout)
    return path


def contents(folder: Path) -> list[Path]:
    """Return what lies in a folder, in natural order, without hidden files; nothing if there is no such folder.

    Raises:
        DataError: if it may not be listed.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(folder, error) from error
    return sorted((folder / name for name in names if not name.startswith(".")), key=natural_key)


def image_files(folder: Path) -> dict[str, list[Path]]:
    """Return the images below `folder`: path without ending → files, in natural order; hidden files are skipped.

    Raises:
        DataError: if a folder in it may not be listed.
    """
    paths: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(place, name) for name in (*folders, *files) if not name.startswith(".")]
    found: dict[str, list[Path]] = {}
    for path in sorted((path for path in paths if path.suffix.lower() in SUFFIXES), key=natural_key):
        found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    return found


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise unreadable(Path(error.filename), error) from error


def files_below(folder: Path) -> list[Path]:
    """Return the files below `folder` in natural order; hidden files and folders are skipped.

    Raises:
        DataError: if a folder in it may not be listed.
    """
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(found, key=natural_key)


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Return a sort key under which `seq2` comes before `seq10`."""
    parts = re.split(r"(\d+)", path.as_posix())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def unwrapped(folder: Path) -> Path:
    """Return the folder, or the one of its own name in it, which "extract here" makes, if that is all it holds.

    Raises:
        DataError: if it may not be listed.
    """
    inner = folder / folder.name
    beside = (path for path in contents(folder) if path.name not in (inner.name, "__MACOSX"))
    if any(path.suffix.lower() in SUFFIXES or path.is_dir() for path in beside):
        return folder
    return inner if inner.is_dir() else folder


def unpacked_hint(root: Path, names: Iterable[str], *, layout: str, others: Iterable[str] = ()) -> str:
    """Return what to do where `root` does not hold the data set.

    Args:
        root: what `existing_root` gave.
        names: files or folders of which the data set's folder holds at least one.
        layout: one line about what the folder should hold.
        others: further folders of the data set.

    Returns:
        The one folder in it that does hold the data set or the one around it, a folder that lies in itself, archives
        to unpack; else the layout.
    """
    names = tuple(names)
    inside = [folder for folder in contents(root) if _holds(folder, names)]
    doubled = [folder for folder in inside if (folder / folder.name).exists()]
    if doubled:
        return f"`{doubled[0]}` holds a folder of its own name beside others: move the files of both into one"
    if len(inside) == 1:
        return f"set data.root={inside[0]}"
    if not inside and not _holds(root, names) and root.absolute().name in (*names, *others):
        return f"set data.root={_around(root, names=names, folders=(*names, *others))}"
    packed = _packed(root)
    return f"unpack {packed}; {layout}" if packed else layout


def _holds(folder: Path, names: Iterable[str]) -> bool:
    try:
        return any((folder / name).exists() for name in names)
    except OSError:  # it may not be looked into
        return False


def _around(root: Path, *, names: Iterable[str], folders: Iterable[str]) -> Path:
    """Return the data set's folder, from one of the `folders` in it."""
    place = (root if root.name else root.absolute()).parent
    while place.name in folders and not _holds(place, names):
        place = place.parent
    return place


def still_packed(root: Path) -> str:
    """Return the end of a hint to unpack more: the archives that there are, if any."""
    packed = _packed(root)
    return f": there is {packed}" if packed else ""


def _packed(root: Path) -> str:
    """Return the ZIP archives in a folder that are not unpacked beside them, as text; empty where there are none."""
    packed = [path for path in contents(root) if path.suffix.lower() == ".zip" and not path.with_suffix("").exists()]
    more = len(packed) - _ARCHIVES_LISTED
    listed = ", ".join(f"`{path.name}`" for path in packed[:_ARCHIVES_LISTED])
    return f"{listed} and {more} more" if more > 0 else listed
