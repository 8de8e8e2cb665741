"""Writes small files in the layouts that data sets are published in."""

import errno
import os
from pathlib import Path

import numpy as np

from rsseg_tf.datasets import write_image

GRAY = np.full((8, 12, 3), 90, np.uint8)


def write_flat(path: Path, color=(90, 90, 90), *, size=(8, 12)):
    """A picture of one color; `size` is (height, width)."""
    write_image(path, np.full((*size, 3), color, np.uint8))
    return path


def write_many(paths, color, *, size=(8, 12)):
    """The same picture under several names, encoded once."""
    first, *others = paths
    write_flat(first, color, size=size)
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(first)


def write_csv(path: Path, *rows: str, header="image,mask,split"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def forbid(monkeypatch, *paths: Path):
    """Deny reading these files and listing these folders, as the system does to all but root."""
    denied = {str(path) for path in paths}
    open_file, scan = Path.open, os.scandir

    def checked(path):
        if str(path) in denied:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def open_checked(self, *arguments, **keywords):
        checked(self)
        return open_file(self, *arguments, **keywords)

    def scan_checked(path="."):
        checked(path)
        return scan(path)

    monkeypatch.setattr(Path, "open", open_checked)
    monkeypatch.setattr(os, "scandir", scan_checked)
