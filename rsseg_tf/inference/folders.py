"""Class maps of files and folders of images, each with an overlay and the area of every class."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.finding import find_images
from rsseg_tf.datasets.files.opening import OPENCV_SUFFIXES
from rsseg_tf.datasets.files.photo import photo_scale
from rsseg_tf.datasets.files.place import Place, place_of, world_file_of
from rsseg_tf.datasets.files.raster import required_library
from rsseg_tf.datasets.files.stored import LARGE_PIXELS
from rsseg_tf.datasets.images.channels import AS_THEY_ARE, Channels, visible
from rsseg_tf.datasets.images.header import read_header
from rsseg_tf.datasets.images.picture import Picture, open_picture
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.errors import ConfigError, extras_named, unreadable
from rsseg_tf.inference.areas import as_learned, check_resamples, class_areas, row_areas_m2, shown
from rsseg_tf.inference.confidence import restored
from rsseg_tf.inference.mosaic import OVERLAY_SHARE, Mosaic, predict_raster, predicted
from rsseg_tf.inference.polygons.layer import check_place, create_layer
from rsseg_tf.inference.predict import CLASS_MAP, Products, TiledPredictor, with_pixels_of
from rsseg_tf.inference.style import write_style
from rsseg_tf.inference.tiling import Image
from rsseg_tf.progress import Advance, Progress, warn
from rsseg_tf.run_folder import only_writer
from rsseg_tf.runs import atomic_path, file_hash, write_json


def output_names(images: Sequence[Path]) -> list[str]:
    """Return a name for each image's outputs: its stem, with its folder and ending where stems repeat.

    Examples:
        >>> output_names([Path("a/1.png"), Path("b/1.png"), Path("b/2.png")])
        ['a_1_png', 'b_1_png', '2']
    """
    repeats = collections.Counter(image.stem for image in images)
    taken: dict[str, int] = {}
    names: list[str] = []
    for image in images:
        name = image.stem if repeats[image.stem] == 1 else f"{image.parent.name}_{image.stem}_{image.suffix[1:]}"
        names.append(_unused(name, taken))
    return names


@extras_named()
def predict_files(  # noqa: PLR0913 - the door's arguments are settled
    predictor: TiledPredictor,
    images: Path | str | Iterable[Path | str],
    out: Path | str,
    *,
    channels: Channels = AS_THEY_ARE,
    products: Products = CLASS_MAP,
    overwrite: bool = False,
    progress: Callable[[Advance], None] | None = None,
) -> list[dict[str, Any]]:
    """Predict images and write, for each, `NAME_classes.png`, `NAME_overlay.png` and `NAME.json`.

    Beside the class map lies `NAME_classes.qml`, by which QGIS shows names and colors of the classes.

    An image that says where it lies (in it, or in a world file beside it), and a PNG or TIFF of more than 50
    megapixels, needs rasterio: it is read in rows, its class map is `NAME_classes.tif` with the same georeference or
    ground control points, its overlay at most 2048 pixels wide and high. Without rasterio a world file is copied
    beside the class map.

    The JSON file is written last and holds what is returned: pixels, share and, where the size of a pixel is known,
    square meters of every class. An image that was predicted before by the same model is not predicted again, and a
    large one is resumed where it stopped, so a killed run needs no more than the same call.

    Args:
        predictor: the model.
        images: an image file, a folder of them or a glob pattern, or several of these.
        out: the folder for the results.
        channels: what the network gets from images that are not 8-bit RGB; what the model says, where they say nothing.
        products: what is made besides: polygons, a map of confidence, in steps of 1/250.
        overwrite: predict again what lies in `out`.
        progress: called after every image, and after every few rows of a large one.

    Returns:
        One record an image, in order.

    Raises:
        DataError: if there is no such image, or one that cannot be read.
        ConfigError: if `out` holds the images, or results of another model, another process writes to it, `products`
            cannot be made, an image lacks a band that is asked for, or the model sees another number of them.
        MissingExtraError: if an image is to be read through rasterio, which is not installed.
    """
    folder = Path(out)
    found = find_images([str(images)] if isinstance(images, str | Path) else map(str, images))
    found = _but_results(found, folder)
    if any(image.resolve().parent == folder.resolve() for image in found):
        raise ConfigError(f"`{out}` holds images to predict", hint="choose another --out")
    if products.need_confidence and not predictor.score_unit:
        raise ConfigError(
            "the model gives class numbers alone, not how sure it is of them", hint="export it with export.head=logits"
        )
    check_resamples(predictor)
    channels = predictor.channels_for(channels)
    records: list[dict[str, Any]] = []
    pixels, tell = 0, _warning_once()
    with only_writer(folder):
        for image, name in zip(found, output_names(found), strict=True):
            key = {**_key(predictor, image, channels), **_asked(products)}
            record = None if overwrite else _earlier(folder / f"{name}.json", key)
            if record is None:
                job = _Job(predictor, image, folder / name, channels, products, key, overwrite, tell)
                made = _predict_image(job, _report(progress, Advance(len(records), len(found), pixels)))
                record = {"image": str(image), **made, "made_from": key}
                write_json(folder / f"{name}.json", record)
                pixels += record["height"] * record["width"]
            records.append(record)
            if progress:
                progress(Advance(len(records), len(found), pixels))
    return records


@dataclass(frozen=True)
class _Job:
    """An image to predict; `target` is the folder and the name of its results, `key` what they depend on.

    What is wrong with many images is said with `tell`, once for all.
    """

    predictor: TiledPredictor
    image: Path
    target: Path
    channels: Channels
    products: Products
    key: Mapping[str, Any]
    overwrite: bool
    tell: Callable[[str, str], None]


def _report(progress: Callable[[Advance], None] | None, before: Advance) -> Progress:
    """Return a function to call with the pixels done, and the pixels in all, of the current image."""

    def report(done: int, total: int) -> None:
        if progress:
            progress(Advance(before.images + done / total, before.total, before.pixels + done))

    return report


def _unused(name: str, taken: dict[str, int]) -> str:
    """Return a name that is not taken, whatever its case, and note how often each was asked for."""
    candidate, number = name, taken.get(name.lower(), 1)
    while candidate.lower() in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken[name.lower()] = number
    taken.setdefault(candidate.lower(), 1)
    return candidate


def _key(predictor: TiledPredictor, image: Path, channels: Channels) -> dict[str, Any]:
    """Return what a result depends on."""
    try:
        image_hash = file_hash(image)
    except OSError as error:
        raise unreadable(image, error) from error
    return {
        "model_sha256": predictor.model_sha256,
        "image_sha256": image_hash,
        "fitting": predictor.fitting,
        "overlap_px": predictor.overlap,
        "ground_sampling_distance_m": predictor.ground_sampling_distance_m,
        **({"overrides_georeference": True} if predictor.overrides_georeference else {}),
        **({"resamples": True} if predictor.resamples else {}),
        "bands": list(channels.bands),
        "scale": channels.scale and list(channels.scale),
    }


def _asked(products: Products) -> dict[str, Any]:
    """Return what is wished besides a class map."""
    usual = dataclasses.asdict(CLASS_MAP)
    return {name: value for name, value in dataclasses.asdict(products).items() if value != usual[name]}


def _but_results(images: Sequence[Path], out: Path) -> list[Path]:
    """Return the images without those that an earlier call wrote into `out`, which may lie below a folder of images."""
    home = out.resolve()
    inside = {image for image in images if image.resolve().parent == home}
    if not inside:
        return list(images)
    made: set[str] = set()
    for path in home.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            made.update(map(str, json.loads(path.read_text(encoding="utf-8"))["files"].values()))
    return [image for image in images if image not in inside or image.name not in made]


def _earlier(path: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record of an earlier run, if there is one and it was made the same way."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError):
        record = {}
    if not isinstance(record, dict) or record.get("made_from") != dict(key):
        raise ConfigError(
            f"`{path}` is the result of another model, image or setting", hint="choose another --out, or --overwrite"
        )
    return record


def _predict_image(job: _Job, report: Progress) -> dict[str, Any]:
    """Return what the record says about an image, after its files are written."""
    header = read_header(job.image)
    if header.is_geotiff or header.pixels > LARGE_PIXELS:
        required_library()
    place = place_of(job.image)
    job, note = _scaled(job, place)
    predictor, place, size = as_learned(job.predictor, job.image, place, tell=job.tell)
    job = dataclasses.replace(job, predictor=predictor)
    note |= {"scale_note": f"seen at {shown(job.predictor.learned_pixel_m)} a pixel"} if size else {}
    with open_picture(job.image, job.channels, size=size) as picture:
        known = job.image.suffix.lower() in OPENCV_SUFFIXES and size is None
        pixels = header.pixels if known else picture.height * picture.width
        areas = _row_areas(job, picture, place)
        check_place(job.image, place or Place(), job.products, has_areas=areas is not None)
        if place is None and pixels <= LARGE_PIXELS:
            return {**_predict_whole(job, picture, areas), **note}
        mosaic = Mosaic(picture, place or Place(), areas, job.products)
        made = predict_raster(job.predictor, mosaic, job.target, key=job.key, overwrite=job.overwrite, progress=report)
        return {**made, **note}


def _write_products(job: _Job, classes: Image, steps: Image, areas: NDArray[np.float64] | None) -> dict[str, str]:
    files: dict[str, str] = {}
    if job.products.confidence:
        files["confidence"] = f"{job.target.name}_confidence.png"
        write_image(job.target.with_name(files["confidence"]), steps)
    if job.products.polygons:
        files["polygons"] = f"{job.target.name}_polygons.{job.products.polygons}"
        with atomic_path(job.target.with_name(files["polygons"])) as path:
            settings = {"width": classes.shape[1], "has_areas": areas is not None}
            with create_layer(path, job.products, job.predictor.palette, Place(), **settings) as layer:
                layer.add(classes, confidence=restored(steps), row_areas_m2=areas)
    return files


def _scaled(job: _Job, place: Place | None) -> tuple[_Job, dict[str, str]]:
    """Return the job with the size of a pixel that the photo tells, where nothing else does, and what to say of it."""
    if place is not None or job.predictor.overrides_georeference:
        return job, {}
    scale = photo_scale(job.image)
    if scale is None:
        return job, {}
    if scale.pixel_m:
        job = dataclasses.replace(job, predictor=with_pixels_of(job.predictor, scale.pixel_m))
    return job, {"scale_note": scale.note}


def _warning_once() -> Callable[[str, str], None]:
    """Return what warns the first time that it is called."""
    told: list[str] = []

    def tell(message: str, hint: str) -> None:
        if not told:
            told.append(message)
            warn(message, hint=hint)

    return tell


def _row_areas(job: _Job, picture: Picture, place: Place | None) -> NDArray[np.float64] | None:
    """Return the square meters of a pixel in each row (H,); None where unknown."""
    if place is not None and not job.predictor.overrides_georeference:
        areas = row_areas_m2(place, picture.height, picture.width)
        if areas is not None:
            return areas
    side = job.predictor.ground_sampling_distance_m
    return np.full(picture.height, side**2) if side else None


def _predict_whole(job: _Job, picture: Picture, areas: NDArray[np.float64] | None) -> dict[str, Any]:
    pixels, valid = picture.read()
    classes, steps = predicted(job.predictor, pixels, valid, job.products)
    files = {kind: f"{job.target.name}_{kind}.png" for kind in ("classes", "overlay")}
    files["style"] = f"{job.target.name}_classes.qml"
    write_image(job.target.with_name(files["classes"]), classes)
    palette = job.predictor.palette
    write_style(job.target.with_name(files["style"]), palette)
    if steps is not None:
        files |= _write_products(job, classes, steps, areas)
    overlay: Image = cv2.addWeighted(visible(pixels), 1 - OVERLAY_SHARE, palette.colorize(classes), OVERLAY_SHARE, 0)
    write_image(job.target.with_name(files["overlay"]), overlay)
    if world_file := world_file_of(job.image):  # rasterio, which would write it into a GeoTIFF, is not installed
        files["world"] = f"{job.target.name}_classes.pgw"
        with atomic_path(job.target.with_name(files["world"])) as temporary:
            shutil.copyfile(world_file, temporary)
    side = job.predictor.ground_sampling_distance_m
    return {
        "height": classes.shape[0],
        "width": classes.shape[1],
        "classes": class_areas(classes, palette.names, ground_sampling_distance_m=side),
        "nodata_pixels": int(np.count_nonzero(classes == IGNORE)),
        "files": files,
    }
