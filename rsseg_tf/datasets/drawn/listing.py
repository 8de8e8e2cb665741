"""A list of pairs, and the settings that read it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import yaml

from rsseg_tf.datasets.readers.folder import COLUMNS
from rsseg_tf.datasets.splits.dealing import SPLITS
from rsseg_tf.errors import ConfigError
from rsseg_tf.runs import write_text

PAIRS, SETTINGS = "pairs.csv", "data.yaml"


@dataclass(frozen=True)
class Pair:
    """An image and its mask, below the folder of the list or by their whole paths, and their split."""

    image: str
    mask: str
    split: str


def require_new(folder: Path) -> None:
    """Check that a data set can be written to a folder.

    Raises:
        ConfigError: if something lies there.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
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
