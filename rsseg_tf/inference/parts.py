"""The finished bands of a class map that is still being made, on disk, so that a killed run resumes after them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsseg_tf.datasets.images.pixels import read_indices, write_image
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.inference.tiling import Image
from rsseg_tf.run_folder import remove_own
from rsseg_tf.runs import remove_leftovers, write_json

_MADE_FROM = "made_from.json"
_UNFINISHED = ("*.tif", "*.tif.*", "*.gpkg*", "*.geojson*")
"""What is made of the bands, and is written beside them until it is whole."""


class Parts:
    """Bands in a folder, one PNG each.

    Args:
        folder: made where it does not exist.
        key: what the bands depend on.
        overwrite: drop bands that were made from something else.

    Raises:
        ConfigError: if the folder holds bands that were made from something else, or no bands but other files.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self.folder = folder
        remove_leftovers(folder)
        known = _key_in(folder)
        if known is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"`{folder}`, for the bands, is in the way", hint="choose another --out")
        if overwrite and known is not None and known != dict(key):
            self.remove()
            known = None
        if known is None:
            write_json(folder / _MADE_FROM, dict(key))
        elif known != dict(key):
            raise ConfigError(
                f"`{folder}` is the unfinished result of another model, image or setting",
                hint="choose another --out, or --overwrite",
            )

    def done(self) -> int:
        """Return how many bands are done, counted from the first without a gap."""
        row = 0
        while self._path(row).exists():
            row += 1
        return row

    def save(self, row: int, classes: Image, confidence: Image | None = None) -> None:
        """Keep a band, uint8 (rows, W), and what goes with it."""
        if confidence is not None:
            write_image(self._path(row, "confidence"), confidence)
        write_image(self._path(row), classes)

    def load(self, row: int, what: str = "band") -> Image:
        """Return a band that was kept; `what` is `band` for its classes, or `confidence`.

        Raises:
            DataError: if its file is damaged.
        """
        try:
            return read_indices(self._path(row, what))
        except DataError as error:
            raise DataError(
                error.message, hint=f"delete `{self._path(row, what)}` and run the command again"
            ) from error

    def remove(self) -> None:
        """Delete the bands, and the folder if nothing else is in it."""
        remove_own(self.folder, "band_*.png", "confidence_*.png", *_UNFINISHED, _MADE_FROM)

    def _path(self, row: int, what: str = "band") -> Path:
        return self.folder / f"{what}_{row:06d}.png"


def _key_in(folder: Path) -> Any:
    try:
        return json.loads((folder / _MADE_FROM).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
