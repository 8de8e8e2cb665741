"""Windows a second out of a large mosaic against a training's need, and polygons of a large map against its prediction.

python tools/bench_survey.py r18_int8.tflite --work survey --out survey.json

The mosaic and its mask are generated frames side by side, noisy as a camera's, in tiles compressed by deflate. The map
is made of blobs of four classes. Each figure is taken in turns, and the medians are told; beside wall-clock figures
stand CPU seconds, which other jobs on the machine change less.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from bench_input import PALETTE, Work, drained, frame, log, needed, timed
from bench_mosaic import write_mosaic

from rsseg_tf.benchmark.system import memory_mb
from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH, quiet_tensorflow
from rsseg_tf.config import Config, DataConfig, FitConfig, FolderConfig
from rsseg_tf.datasets import open_dataset
from rsseg_tf.datasets.files.place import Place
from rsseg_tf.inference.folders import predict_files
from rsseg_tf.inference.polygons.layer import create_layer
from rsseg_tf.inference.predict import Products, TiledPredictor
from rsseg_tf.runs import cpu_model, git_state, write_json
from rsseg_tf.steps.opening import open_model

_CLASSES = 4
_BLOB_PX = 6
_ROWS = 512
_FRAMES = 3


def write_survey(root: Path, side: int) -> Config:
    """Write a mosaic and its mask below `root`, where missing, and return the settings that read them."""
    pictures, labels = zip(*(frame(np.random.default_rng(number)) for number in range(_FRAMES)), strict=True)
    for name, parts in (("mosaic", pictures), ("labels", labels)):
        if not (root / f"{name}{side}.tif").exists():
            log(f"writing {name}{side}.tif")
            write_mosaic(root / f"{name}{side}.tif", parts, side=side)
    line = f"mosaic{side}.tif,labels{side}.tif"
    (root / "pairs.csv").write_text(f"image,mask,split\n{line},train\n{line},val\n", encoding="utf-8")
    classes = {name: str(number) for number, name in enumerate(PALETTE.names)}
    folder = FolderConfig(pairs="pairs.csv", classes=classes)
    return Config(data=DataConfig(name="folder", root=str(root), folder=folder, fitting="crop"))


def windows(config: Config, work: Work) -> dict[str, float]:
    """Return the clock of the pipeline as a training gets its batches, and by how much the process grew."""
    from rsseg_tf.steps.shared.training_data import windows_of
    from rsseg_tf.training.pipeline import BatchSchedule

    settings = replace(config, data=replace(config.data, input_size=work.size))
    source = windows_of(open_dataset(settings.data), settings, FitConfig().augment)
    schedule = BatchSchedule.of(source, batch_size=work.batch, steps=work.steps)
    before, most = memory_mb("VmRSS") or 0.0, 0.0

    def counted() -> Iterator[int]:
        nonlocal most
        for images, _ in schedule.batches(0):
            most = max(most, memory_mb("VmRSS") or 0.0)
            yield int(images.shape[0])

    return {**drained(counted()), "grew_mb": most - before}


def blobs(side: int) -> Iterator[np.ndarray]:
    """Yield a class map of many regions, uint8 (rows, side), a few rows at a time."""
    rng = np.random.default_rng(0)
    for top in range(0, side, _ROWS):
        shape = (min(_ROWS, side - top), side)
        fields = [cv2.GaussianBlur(rng.random(shape, np.float32), (0, 0), _BLOB_PX) for _ in range(_CLASSES)]
        yield np.argmax(np.stack(fields), axis=0).astype(np.uint8)


def polygons(path: Path, side: int) -> dict[str, float]:
    """Return wall and CPU seconds of writing the polygons of a map of side × side pixels."""
    import rasterio

    spent: list[Any] = []
    place = Place(rasterio.CRS.from_epsg(32640), rasterio.Affine(0.1, 0, 325_000, 0, -0.1, 2_780_000))
    made = Products(polygons="gpkg")
    with create_layer(path, made, PALETTE, place, width=side, has_areas=True) as layer:
        for rows in blobs(side):
            sure, areas = np.full(rows.shape, 0.7, np.float32), np.full(len(rows), 0.01)
            add: Callable[[], int] = lambda now=(rows, sure, areas): (  # type: ignore[misc]  # noqa: E731
                layer.add(now[0], confidence=now[1], row_areas_m2=now[2]) or 1
            )
            spent.append(timed(add))
        started = time.perf_counter(), time.process_time()
    ended = time.perf_counter() - started[0], time.process_time() - started[1]
    wall, cpu = (sum(getattr(each, name) for each in spent) for name in ("wall_s", "cpu_s"))
    return {"wall_s": wall + ended[0], "cpu_s": cpu + ended[1], "bytes": path.stat().st_size}


def prediction(predictor: TiledPredictor, image: Path, folder: Path) -> dict[str, float]:
    """Return wall and CPU seconds a megapixel of predicting a mosaic without polygons."""
    import rasterio

    with rasterio.open(image) as dataset:
        megapixels = dataset.height * dataset.width / 1e6
    clock = timed(lambda: len(predict_files(predictor, image, folder, overwrite=True)))
    return {"wall_s_per_mp": clock.wall_s / megapixels, "cpu_s_per_mp": clock.cpu_s / megapixels}


def medians(turns: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of every figure, and of memory the most: later turns find what earlier ones took."""
    return {
        name: (max if name.endswith("_mb") else statistics.median)(turn[name] for turn in turns) for name in turns[0]
    }


@click.command(name="bench_survey")
@click.argument("model", type=ANY_PATH)
@click.option("--side", type=click.IntRange(512), default=20000, show_default=True, help="Of the mosaic, in pixels.")
@click.option("--map-side", type=click.IntRange(64), default=10000, show_default=True, help="Of the map of polygons.")
@click.option("--probe-side", type=click.IntRange(512), default=2048, show_default=True, help="Of what is predicted.")
@click.option("--size", type=click.IntRange(32), default=512, show_default=True, help="Of a window.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Windows a batch.")
@click.option("--steps", type=click.IntRange(2), default=30, show_default=True, help="Batches a turn.")
@click.option("--turns", type=click.IntRange(1), default=3, show_default=True)
@click.option("--work", "folder", type=ANY_PATH, required=True, help="Folder of the mosaic and what is made of it.")
@click.option("--out", type=ANY_PATH, required=True, help="JSON file.")
def main(model: Path, folder: Path, out: Path, turns: int, **sides: int) -> None:
    """Read windows of a mosaic and train on them, predict with MODEL and write polygons, in turns."""
    quiet_tensorflow()
    size = (sides["size"], sides["size"])
    work = Work(frames=1, fitting="crop", size=size, batch=sides["batch"], steps=sides["steps"], backbone="resnet18")
    config = write_survey(folder, sides["side"])
    write_survey(folder / "probe", sides["probe_side"])
    probe, predictor = folder / f"probe/mosaic{sides['probe_side']}.tif", open_model(model)
    jobs: dict[str, Callable[[], dict[str, float]]] = {
        "windows": lambda: windows(config, work),
        "training_step": lambda: needed(work),
        "polygons": lambda: polygons(folder / "map.gpkg", sides["map_side"]),
        "prediction": lambda: prediction(predictor, probe, folder / "predicted"),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in jobs}
    for _ in range(turns):
        for name, job in jobs.items():
            log(f"measuring {name}")
            found[name].append(job())
            write_json(out, {"sides": sides, "turns": found, "cpu": cpu_model(), "git": git_state()})
    click.echo(text({name: medians(each) for name, each in found.items()}, megapixels=sides["map_side"] ** 2 / 1e6))


def text(found: dict[str, dict[str, float]], *, megapixels: float) -> str:
    """Return the figures and what they are to be compared with."""
    have, need = found["windows"], found["training_step"]
    made, whole = found["polygons"], found["prediction"]
    ratio = need["cpu_ms_per_image"] / have["cpu_ms_per_image"]
    seconds, cpu = (megapixels * whole[name] for name in ("wall_s_per_mp", "cpu_s_per_mp"))
    return (
        f"windows: {have['images_per_s']:.1f} a second, {have['cpu_ms_per_image']:.1f} CPU ms each, "
        f"{have['images_per_s'] / need['images_per_s']:.1f} × the need of a step ({ratio:.1f} × in CPU time); "
        f"memory grew by {have['grew_mb']:.0f} MB\n"
        f"polygons: {made['wall_s']:.0f} s ({made['cpu_s']:.0f} s CPU), {made['bytes'] / 1e6:.0f} MB; "
        f"the prediction takes {seconds:.0f} s ({cpu:.0f} s CPU)"
    )


if __name__ == "__main__":
    sys.exit(run(command=main, name="bench_survey"))
