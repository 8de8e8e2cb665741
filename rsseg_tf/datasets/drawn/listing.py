"""A list of pairs, and the settings that read it."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import yaml

from rsseg_tf.datasets.readers.pair_list import COLUMNS
from rsseg_tf.datasets.splits.dealing import SPLITS
from rsseg_tf.errors import ConfigError
from rsseg_tf.run_folder import UNFINISHED, holds_nothing, only_writer, remove_own
from rsseg_tf.runs import TEMPORARY, remove_leftovers, write_json, write_text

PAIRS, SETTINGS = "pairs.csv", "data.yaml"


@dataclass(frozen=True)
class Pair:
    """An image and its mask, below the folder of the list or by their whole paths, and their split."""

    image: str
    mask: str
    split: str


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make a folder for a data set that is written within the block; where that fails, nothing of it stays.

    What a killed call left there goes first.

    Raises:
        ConfigError: if something else lies there, or another process writes to it.
        RssegError: if it cannot be made.
    """
    if not (folder / UNFINISHED).is_file():
        _require_new(folder)
    with only_writer(folder):
        if (folder / UNFINISHED).is_file():
            _clear(folder)
        _require_new(folder)
        remove_leftovers(folder)
        try:
            write_json(folder / UNFINISHED, {"process": os.getpid()})
            yield
            (folder / UNFINISHED).unlink()
        except BaseException:
            with contextlib.suppress(OSError):  # the next call does it
                _clear(folder)
            raise


def _clear(folder: Path) -> None:
    """Remove what was written, the mark that it is unfinished last."""
    remove_own(folder / "images", "*.vrt", f"{TEMPORARY}*")
    remove_own(folder / "masks", "*.tif", "*.png", f"{TEMPORARY}*")
    remove_leftovers(folder)
    for name in (PAIRS, SETTINGS, UNFINISHED):
        (folder / name).unlink(missing_ok=True)


def _require_new(folder: Path) -> None:
    if folder.exists() and not holds_nothing(folder):
        raise ConfigError(f"`{folder}` holds something", hint="choose another --out, or empty it")


def write_listing(folder: Path, pairs: Sequence[Pair], classes: Mapping[str, str]) -> dict[str, Any]:
    """Write `pairs.csv` and `data.yaml`, which is written last.

    Args:
        folder: where.
        pairs: what is listed.
        classes: class name → number or color in the masks.

    Returns:
        The folder, the settings and the number of pairs of each split, as JSON values.
    """
    write_pairs(folder, pairs)
    own = {"pairs": PAIRS, "classes": dict(classes)}
    written = write_settings(folder, {"name": "folder", "root": folder.as_posix(), "folder": own})
    counts = Counter(pair.split for pair in sorted(pairs, key=_place))
    return {**written, "splits": dict(counts)}


def write_pairs(folder: Path, pairs: Sequence[Pair]) -> Path:
    """Write `pairs.csv`, split by split, and return its path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(astuple(pair) for pair in sorted(pairs, key=_place))
    write_text(folder / PAIRS, text.getvalue())
    return folder / PAIRS


def _place(pair: Pair) -> int:
    return SPLITS.index(pair.split) if pair.split in SPLITS else len(SPLITS)


def write_settings(folder: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    """Write `data.yaml` with the section `data`; return the folder and the file, as JSON values."""
    text = yaml.safe_dump({"data": dict(data)}, sort_keys=False, allow_unicode=True)
    write_text(folder / SETTINGS, f"# `root` is relative to the folder that commands run in.\n{text}")
    return {"folder": str(folder), "config": str(folder / SETTINGS)}
