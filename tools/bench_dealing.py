"""What dealing images to workers costs for each, of few and of many: the network is a pause.

python tools/bench_dealing.py --counts 10,100,1000,10000 --work W --out F

Dask, the files and their records are real, the images small and the same file under many names. What is told is the
time an image by the clock, times the workers, less the pause.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from bench_input import log

from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH
from rsseg_tf.cluster.engine import Cluster, open_cluster
from rsseg_tf.cluster.survey import predict_shared
from rsseg_tf.cluster.worker import Model
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.errors import ConfigError
from rsseg_tf.inference.predict import TiledPredictor
from rsseg_tf.inference.tiling import Image, Infer
from rsseg_tf.runs import cpu_model, git_state, write_json

_SIDE = 64
_PALETTE = Palette(("dark", "bright"), ((0, 0, 90), (250, 250, 0)))


@dataclass(frozen=True)
class Pause(Model):
    """A model that takes some milliseconds an image and calls what is bright in red bright."""

    pause_ms: float = 0.0

    def network(self) -> Infer:
        """Return the pause."""

        def infer(images: Image) -> np.ndarray:
            time.sleep(len(images) * self.pause_ms / 1e3)
            red = images[..., :1].astype(np.int16)
            return np.concatenate([127 - red, red - 127], axis=-1)

        return infer

    def wrong_here(self) -> ConfigError | None:
        """Return None: a pause is had everywhere."""
        return None


def write_images(folder: Path, count: int) -> list[Path]:
    """Return so many images in a folder, made where they are missing."""
    paths = [folder / f"{number:06d}.png" for number in range(count)]
    rng = np.random.default_rng(0)
    if not paths[0].exists():
        write_image(paths[0], rng.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8))
    for path in paths:
        if not path.exists():
            os.link(paths[0], path)
    return paths


def seconds_of(cluster: Cluster, images: Sequence[Path], out: Path, *, pause_ms: float) -> float:
    """Return how long workers take for some images."""
    predictor = TiledPredictor(lambda seen: seen, _PALETTE, input_size=(_SIDE, _SIDE), model_sha256="pause")
    shutil.rmtree(out, ignore_errors=True)
    started = time.perf_counter()
    predict_shared(cluster, Pause("pause", "pause", (), pause_ms=pause_ms), predictor, images, out)
    return time.perf_counter() - started


@click.command(name="bench_dealing")
@click.option("--counts", default="10,100,1000,10000", show_default=True, help="Numbers of images.")
@click.option("--pause", "pause_ms", type=click.FloatRange(0), default=20.0, show_default=True, help="Milliseconds.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@click.option("--work", "folder", type=ANY_PATH, required=True, help="Folder of the images and what is made of them.")
@click.option("--out", type=ANY_PATH, required=True, help="JSON file.")
def main(counts: str, pause_ms: float, workers: int, folder: Path, out: Path) -> None:
    """Deal images to workers whose network is a pause."""
    found: dict[int, float] = {}
    with open_cluster(workers=workers) as cluster:
        seconds_of(cluster, write_images(folder / "in", 4), folder / "warm", pause_ms=0)
        for count in map(int, counts.split(",")):
            log(f"dealing {count} images")
            seconds = seconds_of(cluster, write_images(folder / "in", count), folder / "out", pause_ms=pause_ms)
            found[count] = 1e3 * seconds * workers / count - pause_ms
            facts = {"cpu": cpu_model(), "git": git_state(), "workers": workers, "pause_ms": pause_ms}
            write_json(out, {**facts, "overhead_ms": {str(each): value for each, value in found.items()}})
    for count, overhead_ms in found.items():
        click.echo(f"{count:6d} images: {overhead_ms:.1f} ms of a worker for an image, beside {pause_ms:g} ms")


if __name__ == "__main__":
    sys.exit(run(command=main, name="bench_dealing"))
