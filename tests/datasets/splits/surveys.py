"""Surveys as cameras leave them: photos that overlap, with the place of the camera in each."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

METERS_A_DEGREE = 111_320.0


def ground(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Ground with details of every size, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for size in (4, 8, 16, 64):
        coarse = rng.uniform(0, 255, (height // size + 2, width // size + 2, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(total / 4, 0, 255).astype(np.uint8)


def with_place(path: Path, pixels: np.ndarray, latitude: float, longitude: float) -> Path:
    """Write a photo whose EXIF data hold where the camera was."""
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    where = exif.get_ifd(0x8825)
    for sign, angle, value, names in ((1, 2, latitude, "NS"), (3, 4, longitude, "EW")):
        minutes, seconds = divmod(abs(value) * 3600, 60)
        degrees, minutes = divmod(minutes, 60)
        where[sign] = names[value < 0]
        where[angle] = (degrees, minutes, seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, exif=exif.tobytes())
    return path
