"""From files of images to class maps beside their records: read ahead and written behind in threads."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.ground import row_areas_m2, shown
from rsseg_tf.datasets.files.opening import OPENCV_SUFFIXES
from rsseg_tf.datasets.files.photo import photo_scale
from rsseg_tf.datasets.files.place import Place, place_of, world_file_of
from rsseg_tf.datasets.files.raster import required_library
from rsseg_tf.datasets.files.remote import fetch, state_of
from rsseg_tf.datasets.files.stored import LARGE_PIXELS
from rsseg_tf.datasets.images.channels import Channels, visible
from rsseg_tf.datasets.images.header import read_header, size_of
from rsseg_tf.datasets.images.picture import Picture, open_picture
from rsseg_tf.datasets.images.pixels import ending_to_look_at, write_image
from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.inference.areas import as_learned, class_areas
from rsseg_tf.inference.confidence import restored
from rsseg_tf.inference.files.bands import Mosaic, predicted
from rsseg_tf.inference.files.records import asked, earlier_image, key_of, record_of, remove_others
from rsseg_tf.inference.mosaic import OVERLAY_SHARE, predict_raster
from rsseg_tf.inference.polygons.layer import check_place, create_layer
from rsseg_tf.inference.predict import Products, TiledPredictor, with_pixels_of
from rsseg_tf.inference.prefetch import in_threads
from rsseg_tf.inference.style import write_style
from rsseg_tf.inference.tiling import Image
from rsseg_tf.progress import Progress
from rsseg_tf.runs import atomic_path, write_json

_READERS, _WRITERS = 2, 4
_MOST_PIXELS = 8_000_000
"""Pixels that are read ahead, and as many that wait to be written; a larger image goes alone."""


@dataclass(frozen=True)
class Wanted:
    """What is made of every image of a call.

    Attributes:
        folder: for the results.
        channels: what the network gets.
        products: what is made besides a class map.
        overwrite: whether what lies there is made again.
        resumes: whether files there that no record names can only be of an unfinished call.
    """

    folder: Path
    channels: Channels
    products: Products
    overwrite: bool = False
    resumes: bool = False


@dataclass(frozen=True)
class Named:
    """An image to predict.

    Attributes:
        path: of the file.
        name: of its results.
        said: how it was named, which the record repeats.
        url: where it is fetched from, to `path`, when its turn comes; empty for a file that is there.
    """

    path: Path
    name: str
    said: str
    url: str = ""


@dataclass(frozen=True)
class Job:
    """What is to be done with an image; `target` is the folder and the name of its results, `key` what they depend on.

    The record calls it what it `said`. What is wrong with many images is said with `tell`, once for all.
    """

    predictor: TiledPredictor
    image: Path
    said: str
    target: Path
    channels: Channels
    products: Products
    key: Mapping[str, Any]
    overwrite: bool
    tell: Callable[[str, str], None]
    url: str = ""
    resumes: bool = False


@dataclass(frozen=True)
class Opened:
    """An image as it is to be predicted: where it lies, what to say of it, and the size in which it is seen.

    Its pixels and the square meters of them are there if it is not predicted in rows.
    """

    job: Job
    place: Place | None
    note: Mapping[str, str]
    size: tuple[int, int] | None
    pixels: Image | None = None
    valid: NDArray[np.bool_] | None = None
    areas: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class _Next:
    """What is to be done next with an image, of so many pixels in memory."""

    pixels: int
    call: Callable[[], Any]
    said: Sequence[tuple[str, str]] = ()


def predict_images(
    predictor: TiledPredictor,
    named: Iterable[Named],
    wanted: Wanted,
    *,
    report: Progress,
    tell: Callable[[str, str], None],
) -> Generator[tuple[dict[str, Any], int]]:
    """Yield the record of each image, in order, once its files are written, and how many pixels were predicted for it.

    The network runs in the caller's thread; the next images are read, and the last ones written, in others meanwhile.

    Args:
        predictor: the model.
        named: the images.
        wanted: what is made of them.
        report: called after every few rows of a large image.
        tell: takes a message and a hint that hold for many images, once.

    Raises:
        RssegError: as `rsseg_tf.inference.folders.predict_files`.
    """

    def read(each: Named) -> _Next:
        said: list[tuple[str, str]] = []
        job = job_of(predictor, each, wanted, lambda *message: said.append(message))
        if (record := earlier_of(job)) is not None:
            return _Next(0, lambda: _Next(0, lambda: (record, 0)))
        return _Next(0, functools.partial(_predicted, opened_for(job), report), said)

    def call(work: _Next) -> Any:
        for message in work.said:
            tell(*message)
        return work.call()

    ahead = in_threads(read, named, weight=_pixels_in, most=_MOST_PIXELS, threads=_READERS)
    with contextlib.closing(ahead):
        made: Iterable[_Next] = map(call, ahead)
        yield from in_threads(call, made, weight=lambda work: work.pixels, most=_MOST_PIXELS, threads=_WRITERS)


def job_of(predictor: TiledPredictor, named: Named, wanted: Wanted, tell: Callable[[str, str], None]) -> Job:
    """Return what is to be done with an image, whose results have a name.

    Raises:
        DataError: if it cannot be read.
    """
    state = state_of(named.url) if named.url else {}
    if named.url and not state:  # only its bytes tell whether it is the same image
        fetch(named.url, named.path)
    key = {**key_of(predictor, named.path, wanted.channels, state), **asked(wanted.products)}
    place = named.path, named.said, wanted.folder / named.name
    what = wanted.channels, wanted.products, key
    return Job(predictor, *place, *what, wanted.overwrite, tell, named.url, wanted.resumes)


def earlier_of(job: Job) -> dict[str, Any] | None:
    """Return the record of an earlier call, if there is one that holds.

    Raises:
        ConfigError: if it was made from something else, or there is none and a file is where a result is to be.
    """
    return None if job.overwrite else earlier_image(job.target, job.key, resumes=job.resumes)


def _pixels_in(named: Named) -> int:
    """Return how many pixels an image has by its header; one that does not say is taken for a large one."""
    if named.url:
        return _MOST_PIXELS // 4
    try:
        height, width = size_of(named.path)
    except OSError:  # said when it is read
        return 0
    return height * width or LARGE_PIXELS


def opened_for(job: Job) -> Opened:
    """Return an image as it is to be predicted.

    Raises:
        RssegError: as `rsseg_tf.inference.folders.predict_files`.
    """
    if job.url and "image_state" in job.key:  # else it was fetched for its bytes already
        fetch(job.url, job.image)
    header = read_header(job.image)
    if header.is_geotiff or header.pixels > LARGE_PIXELS:
        required_library()
    place = place_of(job.image)
    job, note = _scaled(job, place)
    predictor, place, size = as_learned(job.predictor, job.image, place, tell=job.tell)
    job = dataclasses.replace(job, predictor=predictor)
    note |= {"scale_note": f"seen with pixels of {shown(job.predictor.learned_pixel_m)} on average"} if size else {}
    with open_picture(job.image, job.channels, size=size) as picture:
        known = job.image.suffix.lower() in OPENCV_SUFFIXES and size is None
        pixels = header.pixels if known else picture.height * picture.width
        areas = _row_areas(job, picture, place)
        check_place(job.image, place or Place(), job.products, has_areas=areas is not None)
        opened = Opened(job, place, note, size, areas=areas)
        if place is not None or pixels > LARGE_PIXELS:
            return opened
        values, valid = picture.read()
        return dataclasses.replace(opened, pixels=values, valid=valid)


def _predicted(opened: Opened, report: Progress) -> _Next:
    """Run the network, and return what writes its results and their record."""
    job = opened.job
    if opened.pixels is None:
        with open_picture(job.image, job.channels, size=opened.size) as picture:
            mosaic = Mosaic(picture, opened.place or Place(), opened.areas, job.predictor.palette, job.products)
            made = predict_raster(
                job.predictor, mosaic, job.target, key=job.key, overwrite=job.overwrite, progress=report
            )
        return _Next(0, lambda: recorded(opened, made))
    pixels = opened.pixels
    classes, steps = predicted(job.predictor, pixels, opened.valid, job.products)
    return _Next(classes.size, lambda: recorded(opened, _write_whole(opened, pixels, classes, steps)))


def recorded(opened: Opened, made: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Write the record of an image whose files are written; return it and the pixels."""
    job = opened.job
    record = {"image": job.said, **made, **opened.note, "made_from": job.key}
    remove_others(job.target, made["files"].values())
    write_json(record_of(job.target), record)
    if job.url:
        job.image.unlink(missing_ok=True)
    return record, record["height"] * record["width"]


def _scaled(job: Job, place: Place | None) -> tuple[Job, dict[str, str]]:
    """Return the job with the size of a pixel that the photo tells, where nothing else does, and what to say of it."""
    if place is not None or job.predictor.overrides_georeference:
        return job, {}
    scale = photo_scale(job.image)
    if scale is None:
        return job, {}
    if scale.pixel_m:
        job = dataclasses.replace(job, predictor=with_pixels_of(job.predictor, scale.pixel_m))
    return job, {"scale_note": scale.note}


def _row_areas(job: Job, picture: Picture, place: Place | None) -> NDArray[np.float64] | None:
    """Return the square meters of a pixel in each row (H,); None where unknown."""
    if place is not None and not job.predictor.overrides_georeference:
        areas = row_areas_m2(place, picture.height, picture.width)
        if areas is not None:
            return areas
    side = job.predictor.ground_sampling_distance_m
    return np.full(picture.height, side**2) if side else None


def _write_products(job: Job, classes: Image, steps: Image, areas: NDArray[np.float64] | None) -> dict[str, str]:
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


def _write_whole(opened: Opened, pixels: Image, classes: Image, steps: Image | None) -> dict[str, Any]:
    job = opened.job
    files = {"classes": f"{job.target.name}_classes.png"}
    files["overlay"] = f"{job.target.name}_overlay{ending_to_look_at(*classes.shape)}"
    files["style"] = f"{job.target.name}_classes.qml"
    write_image(job.target.with_name(files["classes"]), classes)
    palette = job.predictor.palette
    write_style(job.target.with_name(files["style"]), palette)
    if steps is not None:
        files |= _write_products(job, classes, steps, opened.areas)
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
