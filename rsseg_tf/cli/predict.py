"""`rsseg-tf predict`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.cli.shared.workers import are_wanted, model_for, opened_workers, workers_options
from rsseg_tf.errors import ConfigError
from rsseg_tf.progress import advance_line
from rsseg_tf.steps.opening import config_for, find_model, is_keras, open_model

if TYPE_CHECKING:
    from rsseg_tf.datasets.images.channels import Channels
    from rsseg_tf.inference.predict import Products

Number = TypeVar("Number", int, float)

_BRACKETS = str.maketrans("", "", "[]")


@click.command(name="predict")
@options.model_argument
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@options.out_option("Folder for the results.")
@options.config_option
@click.option(
    "--overlap", type=click.IntRange(min=0, max=16_384), help="Pixels that tiles share; by default as the model says."
)
@click.option(
    "--gsd",
    type=options.Number(min=0, max=100_000),
    help="Meters per pixel, for areas; by default as the image says, or else the model.",
)
@click.option("--resample", is_flag=True, help="See images, and make maps, with pixels as large as the model learned.")
@click.option(
    "--bands",
    metavar="R,G,B,…",
    help="Numbers of the bands that the model sees, such as 4,3,2; by default as the model says, or else the image.",
)
@click.option(
    "--scale",
    metavar="LOW,HIGH,…",
    help="Values that become 0 and 255, for all bands or each, if not 8-bit; by default as the model says.",
)
@click.option(
    "--polygons", type=click.Choice(["gpkg", "geojson"]), help="Write NAME_polygons too: class, area, mean confidence."
)
@click.option("--simplify", is_flag=True, help="Smooth the outlines of polygons by half a pixel.")
@click.option(
    "--least-area",
    type=options.Number(min=0, max=1e15),
    default=0,
    metavar="M2",
    help="Leave out polygons of less, in m².",
)
@click.option("--confidence", is_flag=True, help="Write NAME_confidence too: how sure the model is, 0 to 250.")
@click.option(
    "--threshold",
    type=options.Number(min=0, max=1),
    default=0,
    metavar="P",
    help="Give no class (255) to pixels that the model is less sure of, 0 to 1.",
)
@click.option(
    "--every", type=click.IntRange(min=1, max=10**9), default=1, metavar="N", help="Predict every Nth frame of a video."
)
@click.option(
    "--most-frames",
    type=click.IntRange(min=0, max=10**9),
    default=0,
    metavar="N",
    help="Stop a video or camera after N frames.",
)
@click.option("--frames", is_flag=True, help="Write class maps of a video's frames instead of an overlay video.")
@options.opening_options
@workers_options
@click.option("--overwrite", is_flag=True, help="Predict again what was predicted before.")
@options.json_option
def command(
    model: Path,
    images: tuple[str, ...],
    out: Path,
    config_path: Path | None,
    overlap: int | None,
    gsd: float | None,
    resample: bool,
    bands: str | None,
    scale: str | None,
    polygons: Literal["gpkg", "geojson"] | None,
    simplify: bool,
    least_area: float,
    confidence: bool,
    threshold: float,
    every: int,
    most_frames: int,
    frames: bool,
    workers: int | None,
    address: str | None,
    overwrite: bool,
    as_json: bool,
    **opening: Any,
) -> None:
    """Predict the class of every pixel of images and videos: files, folders, glob patterns, or camera:0.

    Writes for each image NAME_classes.png (class numbers) with NAME_classes.qml (its names and colors, for QGIS),
    NAME_overlay.jpg (colors over the image) and NAME.json (area of each class). Images and videos that were
    predicted before are skipped, so a killed run resumes where it stopped, within a large image too. Videos in folders
    are skipped and named.

    Without a georeference and --gsd the size of a pixel comes from the altitude above take-off that a DJI drone wrote
    into its photo, if the camera looked straight down (extra `geo`).

    An image with a georeference, a world file or ground control points, and a PNG or TIFF of more than 50
    megapixels, is read a few rows at a time (extra `geo`). Its class map is a tiled, compressed GeoTIFF,
    NAME_classes.tif, with the same georeference, and overviews. Where an image has no data, the class map has 255.

    A model learned things at one size on the ground. Where an image's pixels are a third larger or smaller than those
    that it learned from, that is said; with --resample (extra `geo`) the image is brought to the model's resolution,
    and its maps have that grid, with the georeference that fits it.

    Polygons (extra `geo`) lie where the image lies, GeoJSON in longitude and latitude; without a georeference they
    are in pixels, the second coordinate below 0. Each is of one class, connected by the sides of its pixels.

    For a video or camera it writes NAME_overlay.mp4, or a class map for each frame, and NAME_video.json. With
    --gsd and --resample frames are seen at the model's resolution, and maps have the video's size. Ctrl-C ends a
    camera.

    With --workers or --cluster (extra `cluster`) many images, and the bands of large ones, are predicted side by side:
    the files are the same. See docs/cluster.md.

    For example: rsseg-tf predict dubai.tflite survey/ -o maps
    """
    path = find_model(model)
    from rsseg_tf.inference.files.names import names_of
    from rsseg_tf.inference.files.videos import video_names
    from rsseg_tf.inference.folders import predict_files
    from rsseg_tf.inference.predict import with_overlap, with_pixels_of
    from rsseg_tf.inference.video import VideoSettings, find_videos, is_video, predict_video, videos_within

    channels, settings = _channels(bands, scale), VideoSettings(every, most_frames, frames)
    videos = find_videos([word for word in images if is_video(word)], out)
    pictures = [word for word in images if not is_video(word)]
    products = _products(polygons, simplify, least_area, confidence, threshold)
    if videos and products.need_confidence:
        given = {"--polygons": polygons, "--confidence": confidence, "--threshold": threshold}
        named = " and ".join(option for option, value in given.items() if value)
        raise ConfigError(f"{named}: of images, not of videos", hint="predict the videos apart")
    is_dealt = are_wanted(workers, address, [path])
    config = config_for(path, config_path) if config_path or is_keras(path) else None
    if is_keras(path):
        options.quiet_tensorflow()
    predictor = open_model(path, config, **options.opening(opening))
    if overlap is not None:
        predictor = with_overlap(predictor, overlap)
    if gsd is not None:
        predictor = with_pixels_of(predictor, gsd)
    predictor = dataclasses.replace(predictor, resamples=resample)
    wanted: dict[str, Any] = {"channels": channels, "products": products, "overwrite": overwrite}
    if pictures and is_dealt:
        from rsseg_tf.cluster.survey import predict_shared

        with opened_workers(workers, address, path, options.opening(opening)) as (cluster, shared):
            model_there = model_for(path, predictor, shared)
            with advance_line("predict") as progress:
                records = predict_shared(cluster, model_there, predictor, pictures, out, progress=progress, **wanted)
    else:
        with advance_line("predict") as progress:
            records = predict_files(predictor, pictures, out, progress=progress, **wanted)
    played = []
    how: dict[str, Any] = {"channels": channels, "settings": settings, "overwrite": overwrite}
    for video, name in zip(videos, video_names(videos, names_of(records)), strict=True):
        with advance_line(video) as progress:
            played.append(predict_video(predictor, video, out, name=name, progress=progress, **how))
    skipped = [word for word in videos_within(pictures) if word not in videos]
    result = {"out": str(out), "images": records, "videos": played, "skipped": skipped}
    options.print_result(result, "\n".join([_text(records, played, out), *_named(skipped)]), as_json=as_json)


def _products(
    polygons: Literal["gpkg", "geojson"] | None,
    simplify: bool,
    least_area_m2: float,
    confidence: bool,
    threshold: float,
) -> Products:
    from rsseg_tf.inference.predict import Products

    if not polygons and (simplify or least_area_m2):
        raise ConfigError("--simplify and --least-area are about polygons", hint="add --polygons gpkg")
    return Products(polygons or "", simplify, least_area_m2, confidence, threshold)


def _channels(bands: str | None, scale: str | None) -> Channels:
    from rsseg_tf.datasets.images.channels import Channels

    return Channels.of(_numbers(bands, int, "--bands 4,3,2"), _numbers(scale, float, "--scale 0,4000"))


def _numbers(text: str | None, kind: Callable[[str], Number], example: str) -> tuple[Number, ...]:
    if text is None:
        return ()
    try:
        numbers = tuple(kind(word) for word in text.translate(_BRACKETS).split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        option, _, _ = example.partition(" ")
        nouns = "whole numbers" if kind is int else "numbers"
        raise ConfigError(f"`{option}` takes {nouns} with commas between, got `{text}`", hint=f"for example {example}")
    return numbers


def _text(records: Sequence[Mapping[str, Any]], played: Sequence[Mapping[str, Any]], out: Path) -> str:
    images = [
        f"{record['image']}: {'; '.join([_shares(record['classes']), *filter(None, [record.get('scale_note')])])}"
        for record in records
    ]
    videos = [
        f"{record['video']}: {record['frames']} frames, {record['run']['fps']:.1f} per second; "
        f"{_shares(record['classes'])}{'' if record['keeps_times'] else _ONE_RATE}{_damage_of(record)}"
        for record in played
    ]
    pairs = ((records, "image"), (played, "video"))
    counted = [f"{len(items)} {noun}{'s' * (len(items) != 1)}" for items, noun in pairs if items]
    return "\n".join([*images, *videos, f"{' and '.join(counted)} in {out}"])


def _damage_of(record: Mapping[str, Any]) -> str:
    """Return what to say of a video that was not read as a whole."""
    if not record.get("is_damaged"):
        return ""
    promised = f" of the {record['frames_in_file']} that it promises" if record["frames_in_file"] else ""
    return f"\n  warning: the file is damaged or ends early: these are the frames{promised} that play"


_ONE_RATE = "\n  its frames came at varying times; the overlay has one rate (pip install 'rsseg-tf[video]' keeps them)"


def _shares(classes: Mapping[str, Mapping[str, Any]]) -> str:
    largest = sorted(classes.items(), key=lambda item: -item[1]["share"])
    return ", ".join(f"{name} {values['share']:.1%}" for name, values in largest if values["pixels"])


def _named(skipped: Sequence[str]) -> list[str]:
    noun = "video in a folder is" if len(skipped) == 1 else "videos in folders are"
    return [f"{len(skipped)} {noun} skipped; name what is to be predicted: {' '.join(skipped)}"] if skipped else []
