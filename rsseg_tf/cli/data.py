"""`rsseg-tf data`: check, show and make data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.config import load_config
from rsseg_tf.errors import CheckFailedError
from rsseg_tf.progress import progress_bar


@click.group(name="data")
def command() -> None:
    """Check, show and make data sets."""


@command.command(name="check")
@options.config_option
@options.json_option
@options.overrides_argument
def check(config_path: Path | None, as_json: bool, overrides: tuple[str, ...]) -> None:
    """Read a whole data set and report everything wrong with it at once.

    Exits with 3 if it finds a problem, with 1 if there is no data set.

    For example: rsseg-tf data check -c configs/dubai_r18.yaml
    """
    config = load_config(config_path, overrides)
    from rsseg_tf.datasets.catalog import list_dataset
    from rsseg_tf.datasets.check import check_dataset, described, with_overlaps

    dataset = list_dataset(config.data, seed=config.seed)
    with progress_bar("checking") as progress:
        report = check_dataset(dataset, progress=progress)
    with progress_bar("comparing splits") as progress:
        report = with_overlaps(report, dataset, progress=progress)
    options.print_result(asdict(report), described(report), as_json=as_json)
    if report.problems:
        raise CheckFailedError(f"the data set has {report.verdict}", hint="fix them: each is listed with its file")


@command.command(name="show")
@options.config_option
@options.split_option("Split to show.", default="train")
@click.option(
    "--count", type=click.IntRange(min=1, max=200), default=4, show_default=True, help="Number of samples, one per row."
)
@click.option(
    "--cell", type=click.IntRange(min=32, max=4096), default=256, show_default=True, help="Picture size in pixels."
)
@options.out_option("PNG, JPEG or TIFF file to write.")
@options.json_option
@options.overrides_argument
def show(config_path: Path | None, out: Path, as_json: bool, overrides: tuple[str, ...], **look: Any) -> None:
    """Write a contact sheet: image, mask and overlay side by side.

    For example: rsseg-tf data show -c configs/scenes.yaml --count 3 --out sheet.png
    """
    config = load_config(config_path, overrides)
    from rsseg_tf.datasets import open_dataset
    from rsseg_tf.datasets.sheet import write_sheet

    result = write_sheet(out, open_dataset(config.data, seed=config.seed), **look)
    options.print_result(result, str(out), as_json=as_json)


@command.command(name="prepare")
@options.config_option
@options.json_option
@options.overrides_argument
def prepare(config_path: Path | None, as_json: bool, overrides: tuple[str, ...]) -> None:
    """Decode and resize all images of a data set now, into `data.cache_dir`.

    Every command that reads the data set does so when needed; this command does it beforehand.

    For example: rsseg-tf data prepare -c configs/uavid_r18.yaml
    """
    config = load_config(config_path, overrides)
    from rsseg_tf.datasets.opening import prepare_now

    with progress_bar("preparing") as progress:
        result = prepare_now(config.data, progress=progress)
    text = f"{result['folder']}: {result['samples']} samples, {result['bytes'] / 1e9:.2f} GB, {result['made']} made now"
    options.print_result(result, text, as_json=as_json)


@command.command(name="scenes")
@click.option(
    "--count",
    type=click.IntRange(min=1, max=10**6),
    default=100,
    show_default=True,
    help="Number of scenes, all splits together.",
)
@click.option(
    "--size", type=click.IntRange(min=32, max=16384), default=256, show_default=True, help="Height and width, pixels."
)
@click.option(
    "--seed", type=click.IntRange(min=0, max=2**32 - 1), default=0, show_default=True, help="Seed of everything random."
)
@options.out_option("Folder for the scenes.")
@click.option("--overwrite", is_flag=True, help="Replace an existing data set in the output folder.")
@options.json_option
def scenes(count: int, size: int, seed: int, out: Path, overwrite: bool, as_json: bool) -> None:
    """Write generated scenes as a folder data set, with a configuration that reads it.

    For example: rsseg-tf data scenes --count 200 --out runs/scenes
    """
    from rsseg_tf.datasets.scenes.files import split_counts, write_scenes

    with progress_bar("writing") as progress:
        result = write_scenes(out, split_counts(count, size=size), seed=seed, overwrite=overwrite, progress=progress)
    counts = ", ".join(f"{number} {split}" for split, number in result["splits"].items())
    options.print_result(result, f"{counts} scenes: use -c {result['config']}", as_json=as_json)


@command.command(name="burn")
@click.argument("mosaic", type=options.ANY_PATH)
@click.argument("labels", type=options.ANY_PATH)
@click.option("--attribute", required=True, help="Attribute of the polygons that names their class.")
@click.option("--classes", metavar="A,B,…", help="Class names, in order; by default all values, sorted.")
@click.option("--ignore", "ignored", multiple=True, metavar="VALUE", help="A value that is ignored; may be repeated.")
@click.option("--background", default="", metavar="NAME", help="Class of what lies in no polygon; else it is ignored.")
@click.option("--layer", default="", help="Layer of a GeoPackage that holds several.")
@click.option(
    "--block",
    type=click.IntRange(min=64, max=65_536),
    default=2048,
    show_default=True,
    help="Side of a block, in pixels.",
)
@click.option(
    "--gap",
    type=click.IntRange(min=0, max=65_536),
    default=64,
    show_default=True,
    help="Pixels between blocks of two splits.",
)
@options.out_option("New folder for the data set.")
@options.json_option
def burn(mosaic: Path, labels: Path, classes: str | None, out: Path, as_json: bool, **how: Any) -> None:
    """Make a data set of an orthomosaic and polygons drawn over it (GeoPackage, GeoJSON, Shapefile).

    Polygons are turned into the coordinates of the mosaic and burned on its grid; the mosaic is cut into blocks, which
    are dealt to the splits with a gap between them, each split with its share of every class. The blocks read
    the mosaic where it lies. Needs the extra `geo`.

    For example: rsseg-tf data burn ortho.tif labels.gpkg --attribute class -o survey
    """
    from rsseg_tf.datasets.drawn.burning import Burning, burn
    from rsseg_tf.datasets.drawn.listing import new_folder

    names = tuple(name.strip() for name in (classes or "").split(",") if name.strip())
    wanted = Burning(classes=names, **how)
    with new_folder(out), progress_bar("burning") as progress:
        result = burn(mosaic, labels, out, wanted, progress=progress)
    counts = ", ".join(f"{number} {split}" for split, number in result["splits"].items())
    options.print_result(result, f"{counts} blocks: use -c {result['config']}", as_json=as_json)


@command.command(name="init")
@click.argument("folder", type=options.ANY_PATH)
@click.option("--background", default="", metavar="NAME", help="Class of what lies in no outline; else it is ignored.")
@options.out_option("New folder for data.yaml, and for masks where there are outlines alone.")
@options.json_option
def init(folder: Path, background: str, out: Path, as_json: bool) -> None:
    """Look at a folder, say what it is, count the values in its masks, and write the settings that read it.

    Knows exports of CVAT, Roboflow, labelme, COCO and Label Studio, several published data sets, and folders of
    images and masks under many names. Outlines become masks (extra `train` or `geo`).

    For example: rsseg-tf data init downloads/export -o survey
    """
    from rsseg_tf.datasets.drawn.initial import initialize
    from rsseg_tf.datasets.drawn.listing import new_folder
    from rsseg_tf.errors import extras_named

    with new_folder(out), progress_bar("looking") as progress, extras_named():
        result = initialize(folder, out, background=background, progress=progress)
    options.print_result(result, _found(result), as_json=as_json)


_NO_CLASS = "is no class: add it, or to ignore_colors"
_NO_LABEL = "is ignored, as no label: add it, if it is a class"


def _found(result: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{number} {split}" for split, number in result["splits"].items())
    name_of = {value: name for name, value in result.get("classes", {}).items()}
    total = max(1, sum(result.get("values", {}).values()))
    lines = [
        f"  {value}: {pixels / total:.2%} {name_of.get(value, _NO_LABEL if value == '255' else _NO_CLASS)}"
        for value, pixels in result.get("values", {}).items()
    ]
    pairs = f": {counts}" if counts else ""
    return "\n".join([f"{result['layout']}{pairs}", *lines, f"use -c {result['config']}"])
