"""Class maps of files and folders of images, each with an overlay and the area of every class."""

from __future__ import annotations

import collections
import glob
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rsseg_tf.datasets.image import SUFFIXES, read_image, write_image
from rsseg_tf.edge.predict import TiledPredictor
from rsseg_tf.edge.tiling import Image
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.runs import file_hash, write_json

_OVERLAY_SHARE = 0.5

Progress = Callable[[int, int], None]


def find_images(words: Iterable[str]) -> list[Path]:
    """The images that files, folders (searched through) and glob patterns name, each once, in order.

    Raises:
        DataError: a word names nothing, or a folder holds no image.
    """
    found: dict[Path, Path] = {}
    for word in words:
        for path in _images_of(word):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def output_names(images: Sequence[Path]) -> list[str]:
    """A name for each image's outputs: its stem, with its folder and ending where stems repeat.

    Example:
        >>> output_names([Path("a/1.png"), Path("b/1.png"), Path("b/2.png")])
        ['a_1_png', 'b_1_png', '2']
    """
    repeats = collections.Counter(image.stem for image in images)
    names: list[str] = []
    for image in images:
        name = image.stem if repeats[image.stem] == 1 else f"{image.parent.name}_{image.stem}_{image.suffix[1:]}"
        names.append(_unused(name, names))
    return names


def predict_files(
    predictor: TiledPredictor,
    images: Sequence[Path],
    out: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Predict images and write, for each, `NAME_classes.png`, `NAME_overlay.png` and `NAME.json`.

    The JSON file is written last and holds what is returned: pixels, share and, where the ground
    sampling distance is known, square metres of every class. An image that was predicted before by
    the same model is not predicted again, so a killed run goes on where it stopped.

    Args:
        predictor: the model.
        images: image files.
        out: the folder for the results.
        overwrite: predict again what lies in `out`.
        progress: called after every image with how many are done and how many there are.

    Returns:
        One record an image, in order.

    Raises:
        DataError: an image cannot be read.
        ConfigError: `out` holds the images, or results of another model.
    """
    if any(image.resolve().parent == out.resolve() for image in images):
        raise ConfigError(f"`{out}` holds images to predict", hint="choose another --out")
    records = []
    for done, (image, name) in enumerate(zip(images, output_names(images), strict=True), start=1):
        key = _key(predictor, image)
        record = None if overwrite else _earlier(out / f"{name}.json", key)
        records.append(record or _predict_file(predictor, image, out / name, key=key))
        if progress:
            progress(done, len(images))
    return records


def class_areas(classes: Image, predictor: TiledPredictor) -> dict[str, dict[str, Any]]:
    """Class name → `pixels`, `share` of the image and `area_m2` (None where the pixel's size is unknown)."""
    names = predictor.palette.names
    counts = np.bincount(classes.ravel(), minlength=len(names))
    pixel_m2 = predictor.ground_sampling_distance_m**2
    return {
        name: {
            "pixels": int(count),
            "share": float(count / classes.size),
            "area_m2": float(count * pixel_m2) if pixel_m2 else None,
        }
        for name, count in zip(names, counts, strict=True)
    }


def _images_of(word: str) -> list[Path]:
    path = Path(word)
    if path.is_file():
        return [path]
    if path.is_dir():
        images = sorted(item for item in path.rglob("*") if item.suffix.lower() in SUFFIXES and item.is_file())
        if not images:
            raise DataError(f"`{path}` holds no image", hint=f"images end in {', '.join(SUFFIXES)}")
        return images
    matches = [Path(match) for match in sorted(glob.glob(word, recursive=True))]  # noqa: PTH207 - absolute patterns
    images = [match for match in matches if match.suffix.lower() in SUFFIXES and match.is_file()]
    if not images:
        raise DataError(f"no image at `{word}`", hint="give image files, folders or glob patterns")
    return images


def _unused(name: str, taken: Sequence[str]) -> str:
    candidate, number = name, 2
    while candidate.lower() in {other.lower() for other in taken}:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def _key(predictor: TiledPredictor, image: Path) -> dict[str, Any]:
    """What a result depends on."""
    try:
        image_hash = file_hash(image)
    except OSError as error:
        raise DataError(f"cannot read `{image}`: {error.strerror}") from error
    return {
        "model_sha256": predictor.model_sha256,
        "image_sha256": image_hash,
        "fitting": predictor.fitting,
        "overlap_px": predictor.overlap,
        "ground_sampling_distance_m": predictor.ground_sampling_distance_m,
    }


def _earlier(path: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of an earlier run, if there is one and it was made the same way."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        record = {}
    if not isinstance(record, dict) or record.get("made_from") != dict(key):
        raise ConfigError(
            f"`{path}` is the result of another model, image or setting", hint="choose another --out, or --overwrite"
        )
    return record


def _predict_file(predictor: TiledPredictor, image: Path, target: Path, *, key: Mapping[str, Any]) -> dict[str, Any]:
    pixels = read_image(image)
    classes = predictor.classes(pixels)
    files = {kind: f"{target.name}_{kind}.png" for kind in ("classes", "overlay")}
    write_image(target.with_name(files["classes"]), classes)
    colors = predictor.palette.colorize(classes)
    overlay: Image = cv2.addWeighted(pixels, 1 - _OVERLAY_SHARE, colors, _OVERLAY_SHARE, 0)
    write_image(target.with_name(files["overlay"]), overlay)
    record = {
        "image": str(image),
        "height": classes.shape[0],
        "width": classes.shape[1],
        "classes": class_areas(classes, predictor),
        "files": files,
        "made_from": dict(key),
    }
    write_json(target.with_name(f"{target.name}.json"), record)
    return record
