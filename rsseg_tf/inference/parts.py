"""The finished bands of a class map that is still being made, on disk, so that a killed run resumes after them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.datasets.images.pixels import read_image, read_indices, write_image
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.inference.tiling import Image
from rsseg_tf.run_folder import holds_nothing, remove_own
from rsseg_tf.runs import remove_leftovers, write_json

_MADE_FROM = "made_from.json"
_UNFINISHED = ("*.tif", "*.tif.*", "*.gpkg*", "*.geojson*")
"""What is made of the bands, and is written beside them until it is whole."""


@dataclass(frozen=True)
class Band:
    """Finished rows.

    Attributes:
        row: its number.
        top: the first of its pixel rows.
        classes: uint8 (rows, W), 255 for none.
        confidence: (rows, W) in steps, 255 where there is no data; None where nobody asks for it.
        seen: what of its colors is in the overlay, uint8 (few, few, 3).
    """

    row: int
    top: int
    classes: Image
    confidence: Image | None
    seen: Image


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
        if known is None and folder.exists() and not holds_nothing(folder):
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

    def has(self, row: int) -> bool:
        """Return whether a band is done."""
        return self._path(row).exists()

    def count(self) -> int:
        """Return how many bands are done."""
        return sum(1 for _ in self.folder.glob("band_*.png"))

    def missing(self, rows: range) -> Iterator[range]:
        """Yield the runs of bands that are not done."""
        first = rows.start
        for row in rows:
            if self.has(row):
                if first < row:
                    yield range(first, row)
                first = row + 1
        if first < rows.stop:
            yield range(first, rows.stop)

    def save(self, band: Band) -> None:
        """Keep a band; its classes, which say that it is done, come last."""
        if band.seen.size:
            write_image(self._path(band.row, "seen"), band.seen)
        if band.confidence is not None:
            write_image(self._path(band.row, "confidence"), band.confidence)
        write_image(self._path(band.row), band.classes)

    def load_seen(self, row: int) -> Image | None:
        """Return what of a band is in the overlay; None where it was not kept, as by earlier versions."""
        path = self._path(row, "seen")
        return read_image(path) if path.exists() else None

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
        remove_own(self.folder, "band_*.png", "confidence_*.png", "seen_*.png", *_UNFINISHED, _MADE_FROM)

    def _path(self, row: int, what: str = "band") -> Path:
        return self.folder / f"{what}_{row:06d}.png"


def _key_in(folder: Path) -> Any:
    try:
        return json.loads((folder / _MADE_FROM).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
