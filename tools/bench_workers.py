"""One process with all threads against workers with one each, on a mosaic and on many photographs, in one run.

python tools/bench_workers.py r18_int8.tflite --images ../shared/data/dubai --work W --out F

The images should be of what the model learned: maps without sense are full of borders, which take long to pack.
Each way is taken in turns. Beside megapixels a second of the wall clock stand CPU seconds of all processes, which other
jobs on the machine change less, the share of the cores' time inside the workers' interpreters, what is left to the
command's own process, which no number of workers makes less (Amdahl 1967), and the most memory that a worker took.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from bench_input import frame, log
from bench_mosaic import pictures_below, write_mosaic

from rsseg_tf.benchmark.system import memory_mb, read_system
from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH
from rsseg_tf.cluster.engine import Cluster, open_cluster
from rsseg_tf.cluster.survey import predict_shared
from rsseg_tf.cluster.worker import Model
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.inference.folders import predict_files
from rsseg_tf.inference.predict import TiledPredictor, open_predictor
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.runs import cpu_model, git_state, write_json

PHOTO = (480, 640)
_FRAMES = 3


def write_images(root: Path, pictures: Sequence[np.ndarray], *, side: int, photos: int) -> tuple[Path, Path]:
    """Write a mosaic and a folder of photographs of pictures, (h, w, 3), where missing, and return them."""
    mosaic, folder = root / f"mosaic{side}.tif", root / f"photos{photos}"
    if not mosaic.exists():
        write_mosaic(mosaic, pictures, side=side)
    for number in range(photos):
        path = folder / f"{number:06d}.jpg"
        if not path.exists():
            height, width = PHOTO
            shifted = np.roll(pictures[number % len(pictures)], 7 * number, axis=1)
            write_image(path, cv2.resize(shifted, (width, height)))
    return mosaic, folder


def _frames() -> list[np.ndarray]:
    return [frame(np.random.default_rng(number))[0] for number in range(_FRAMES)]


def timed(work: Callable[[], list[dict[str, Any]]]) -> dict[str, float]:
    """Return wall seconds, CPU seconds of this process and the children that ended, and megapixels a second."""
    before, started = _cpu_s(), time.perf_counter()
    records = work()
    seconds = time.perf_counter() - started
    megapixels = sum(record["height"] * record["width"] for record in records) / 1e6
    return {"seconds": seconds, "cpu_s": _cpu_s() - before, "mp_per_s": megapixels / seconds}


def _cpu_s() -> float:
    spent = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def _peaks(cluster: Cluster) -> list[float]:
    return [float(peak or 0) for peak in cluster.everywhere(memory_mb, "VmHWM").values()]


def _cpu_of(cluster: Cluster) -> float:
    return sum(sum(times[:2]) for times in cluster.everywhere(os.times).values())


@click.command(name="bench_workers")
@click.argument("model", type=ANY_PATH)
@click.option("--images", type=ANY_PATH, help="Folder of images to make both of; generated frames where not given.")
@click.option("--side", type=click.IntRange(512), default=20000, show_default=True, help="Of the mosaic, in pixels.")
@click.option("--photos", type=click.IntRange(1), default=200, show_default=True, help="Of 640 × 480 pixels.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@click.option("--turns", type=click.IntRange(1), default=2, show_default=True)
@click.option("--work", "folder", type=ANY_PATH, required=True, help="Folder of the images and what is made of them.")
@click.option("--out", type=ANY_PATH, required=True, help="JSON file.")
def main(model: Path, images: Path | None, folder: Path, out: Path, workers: int, turns: int, **sizes: int) -> None:
    """Predict a mosaic and photographs with MODEL by one process and by workers, in turns."""
    cores = read_system().cores
    mosaic, small = write_images(
        folder / (images.name if images else "frames"), pictures_below(images) if images else _frames(), **sizes
    )
    alone = open_predictor(model, threads=cores)
    there = Model(str(model.absolute()), alone.model_sha256, (("threads", max(1, cores // workers)),))
    found: dict[str, list[dict[str, float]]] = {}
    with open_cluster(workers=workers) as cluster:
        predict_shared(cluster, there, alone, next(small.iterdir()), folder / "warm", overwrite=True)
        cluster.everywhere(_watch)
        for _ in range(turns):
            for name, source in (("mosaic", mosaic), ("photos", small)):
                for way, work in _ways(cluster, there, alone, source, folder / name).items():
                    log(f"measuring {name}, {way}")
                    before, inside = _cpu_of(cluster), sum(cluster.everywhere(_inside).values())
                    clock = timed(work)
                    clock["own_s"] = clock["cpu_s"]
                    clock["cpu_s"] += _cpu_of(cluster) - before
                    clock["inside_s"] = sum(cluster.everywhere(_inside).values()) - inside
                    found.setdefault(f"{name}, {way}", []).append(clock)
                    facts = {"cpu": cpu_model(), "cores": cores, "git": git_state(), "worker_mb": _peaks(cluster)}
                    write_json(out, {**facts, "turns": found})
        peaks = _peaks(cluster)
    click.echo(text(found, workers=workers, cores=cores, peak_mb=max(peaks)))


def _watch() -> None:
    """Count the CPU seconds that this process's interpreters take from now on, each in one thread."""
    invoke = TFLiteRunner.invoke

    def watched(runner: TFLiteRunner) -> None:
        started = time.thread_time()
        invoke(runner)
        TFLiteRunner.inside_s += time.thread_time() - started  # type: ignore[attr-defined]

    TFLiteRunner.inside_s = 0.0  # type: ignore[attr-defined]
    TFLiteRunner.invoke = watched  # type: ignore[method-assign]


def _inside() -> float:
    return float(TFLiteRunner.inside_s)  # type: ignore[attr-defined]


def _ways(
    cluster: Cluster, there: Model, alone: TiledPredictor, images: Path, folder: Path
) -> dict[str, Callable[[], list[dict[str, Any]]]]:
    def one() -> list[dict[str, Any]]:
        shutil.rmtree(folder / "one", ignore_errors=True)
        return predict_files(alone, images, folder / "one")

    def many() -> list[dict[str, Any]]:
        shutil.rmtree(folder / "many", ignore_errors=True)
        return predict_shared(cluster, there, alone, images, folder / "many")

    return {"one process": one, "workers": many}


def text(found: dict[str, list[dict[str, float]]], *, workers: int, cores: int, peak_mb: float) -> str:
    """Return the figures, the best turn of each way, and what they are to be compared with."""
    lines = [f"one process of {cores} threads against {workers} workers of {max(1, cores // workers)}"]
    for name in ("mosaic", "photos"):
        one, many = (
            min(found[f"{name}, {way}"], key=lambda turn: turn["seconds"]) for way in ("one process", "workers")
        )
        speed, cpu = (many[key] / one[key] for key in ("mp_per_s", "cpu_s"))
        lines.append(
            f"{name}: {one['mp_per_s']:.2f} and {many['mp_per_s']:.2f} MP/s, ratio {speed:.2f}; "
            f"{one['cpu_s']:.0f} and {many['cpu_s']:.0f} CPU s, ratio {cpu:.3f}; "
            f"workers inside interpreters {many['inside_s'] / many['seconds'] / cores:.1%} of the cores' time; "
            f"the command's own process {many['own_s']:.1f} CPU s, enough for "
            f"{(many['cpu_s'] - many['own_s']) / many['own_s']:.0f} workers"
        )
    return "\n".join([*lines, f"most memory of a worker: {peak_mb:.0f} MB"])


if __name__ == "__main__":
    sys.exit(run(command=main, name="bench_workers"))
