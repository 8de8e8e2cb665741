"""Which training images the int8 ranges are measured on: a seeded choice that covers every class, and its record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import DataError


@dataclass(frozen=True)
class Candidate:
    """A training window that could be chosen: its name, image uint8 (H, W, bands) and mask uint8 (H, W)."""

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Calibration:
    """The chosen images and what the report says about them.

    Attributes:
        names: of the windows.
        images: uint8 (H, W, bands) each.
        class_pixels: pixels of each class in them.
        sha256: over all their pixels.
    """

    names: tuple[str, ...]
    images: tuple[NDArray[np.uint8], ...]
    class_pixels: tuple[int, ...]
    sha256: str

    def record(self) -> dict[str, Any]:
        """Return the count, hash and class histogram, for manifests and the model's own metadata."""
        return {"samples": len(self.names), "sha256": self.sha256, "class_pixels": list(self.class_pixels)}


def choose_calibration(candidates: Sequence[Candidate], *, count: int, num_classes: int, seed: int) -> Calibration:
    """Return a choice of `count` candidates in which the classes take turns, so that rare ones are included.

    Turn by turn, the class with the fewest pixels so far gets a random candidate that shows it; once no
    candidate shows it, the class drops out, and what is then missing is filled at random.

    Args:
        candidates: windows of the training split; where there are fewer than `count`, all are taken.
        count: how many to choose.
        num_classes: classes in the masks; ids beyond (255) are ignored.
        seed: of the choice.

    Raises:
        DataError: if there are no candidates.
    """
    if not candidates:
        raise DataError("no training images to calibrate on")
    histograms = np.stack([np.bincount(one.mask.ravel(), minlength=256)[:num_classes] for one in candidates])
    chosen = _take_turns(histograms, count=min(count, len(candidates)), rng=np.random.default_rng(seed))
    images = tuple(candidates[index].image for index in chosen)
    digest = hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()
    return Calibration(
        names=tuple(candidates[index].name for index in chosen),
        images=images,
        class_pixels=tuple(int(pixels) for pixels in histograms[chosen].sum(axis=0)),
        sha256=digest,
    )


def _take_turns(histograms: NDArray[np.int64], *, count: int, rng: np.random.Generator) -> list[int]:
    order = [int(index) for index in rng.permutation(len(histograms))]
    covered = np.zeros(histograms.shape[1])
    chosen: list[int] = []
    while len(chosen) < count:
        shown = histograms[order].sum(axis=0) > 0
        if shown.any():
            rarest = int(np.argmin(np.where(shown, covered, np.inf)))
            index = next(index for index in order if histograms[index, rarest] > 0)
        else:
            index = order[0]
        order.remove(index)
        chosen.append(index)
        covered += histograms[index]
    return chosen
