"""`rsseg-tf predict`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg_tf.cli.models import is_keras, open_keras
from rsseg_tf.cli.progress import progress_bar
from rsseg_tf.cli.shared import ANY_PATH, config_for, config_option, json_option, model_in, print_result

if TYPE_CHECKING:
    from rsseg_tf.edge.predict import TiledPredictor


@click.command(name="predict")
@click.argument("model", type=ANY_PATH)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-o", "--out", type=ANY_PATH, required=True, help="Folder for the results.")
@config_option
@click.option("--overlap", type=click.IntRange(min=0), help="Pixels that tiles share; by default as the model says.")
@click.option("--gsd", type=click.FloatRange(min=0), help="Metres a pixel, for areas; by default as the model says.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads (TFLite).")
@click.option("--overwrite", is_flag=True, help="Predict again what was predicted before.")
@json_option
def command(model: Path, images: tuple[str, ...], out: Path, **options: Any) -> None:
    """Predict the class of every pixel of images: files, folders or glob patterns.

    Writes for each image NAME_classes.png (class numbers), NAME_overlay.png (colours over the image)
    and NAME.json (area of each class). Images that were predicted before are skipped, so a killed run goes
    on where it stopped.

    For example: rsseg-tf predict dubai.tflite survey/ -o maps
    """
    path = model_in(model)
    from rsseg_tf.edge.folders import find_images, predict_files

    found = find_images(images)
    predictor = _open(path, options)
    with progress_bar("predict") as progress:
        records = predict_files(predictor, found, out, overwrite=options["overwrite"], progress=progress)
    print_result({"out": str(out), "images": records}, _text(records, out), as_json=options["as_json"])


def _open(path: Path, options: Mapping[str, Any]) -> TiledPredictor:
    from rsseg_tf.edge.predict import open_predictor, with_overlap

    if is_keras(path):
        predictor = open_keras(path, config_for(path, options["config_path"], ()))
    else:
        predictor = open_predictor(path, threads=options["threads"])
    if options["overlap"] is not None:
        predictor = with_overlap(predictor, options["overlap"])
    if options["gsd"] is not None:
        predictor = dataclasses.replace(predictor, ground_sampling_distance_m=options["gsd"])
    return predictor


def _text(records: Sequence[Mapping[str, Any]], out: Path) -> str:
    lines = [f"{record['image']}: {_shares(record['classes'])}" for record in records]
    return "\n".join([*lines, f"{len(records)} images in {out}"])


def _shares(classes: Mapping[str, Mapping[str, Any]]) -> str:
    largest = sorted(classes.items(), key=lambda item: -item[1]["share"])
    return ", ".join(f"{name} {values['share']:.1%}" for name, values in largest if values["pixels"])
