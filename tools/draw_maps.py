"""Draw images of a split beside their truth and what `.tflite` files see in them, as one picture for a page.

python tools/draw_maps.py -c runs/scenes/config.yaml -o docs/maps.png --place 3 --place 4 \
    "dense int8=dense.tflite" "a quarter of it, int8=quarter.tflite"
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np

from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH
from rsseg_tf.config import load_config
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.errors import ConfigError
from rsseg_tf.inference.predict import open_predictor
from rsseg_tf.report.pictures.overlays import overlay
from rsseg_tf.runs import atomic_path


@click.command(name="draw_maps")
@click.argument("models", nargs=-1, required=True, metavar="TITLE=FILE…")
@click.option("-c", "--config", type=ANY_PATH, required=True, help="Settings of the data.")
@click.option("--split", default="test", show_default=True)
@click.option("--place", "places", type=click.IntRange(0), multiple=True, default=(0,), help="Which images of it.")
@click.option("-o", "--out", type=ANY_PATH, required=True, help="PNG file.")
def main(models: tuple[str, ...], config: Path, split: str, places: tuple[int, ...], out: Path) -> None:
    """Draw the images of --place, their truth and what MODELS see, a row an image."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    settings = load_config(config, is_record=True)
    dataset = open_dataset(settings.data, seed=settings.seed)
    pairs = [word.rpartition("=")[::2] for word in models]
    if not all(title for title, _ in pairs):
        raise ConfigError("a model is given as TITLE=FILE", hint='such as "dense int8=dense.tflite"')
    predictors = [open_predictor(Path(file)) for _, file in pairs]
    titles = ["image", "truth", *(title for title, _ in pairs)]
    figure = Figure(figsize=(2.6 * len(titles), 2.6 * len(places) + 0.7), layout="constrained")
    axes = figure.subplots(len(places), len(titles), squeeze=False)
    for row, place in zip(axes, places, strict=True):
        image, mask = dataset.read(dataset.samples(split)[place])
        maps = [overlay(image, classes, dataset.palette) for classes in (mask, *(p.predict(image) for p in predictors))]
        for axis, picture in zip(row, [image, *maps], strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=11)
    colors = np.array(dataset.palette.colors) / 255
    handles = [
        Patch(facecolor=color, edgecolor="#707a89", label=name)
        for color, name in zip(colors, dataset.palette.names, strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, dpi=96)


if __name__ == "__main__":
    sys.exit(run(command=main, name="draw_maps"))
