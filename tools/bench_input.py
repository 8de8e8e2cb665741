"""Images a second that the input pipeline gives from 4K frames, from the files and prepared, against a training's need.

python tools/bench_input.py --fitting resize --size 540 960 --work bench_frames --out input_resize.json

Frames are generated in UAVid's layout and size, as noisy as a camera's, so that a PNG of them is as large. Beside
wall-clock figures stand CPU milliseconds an image, which other jobs on the machine change less. A part that `--out`
already holds is not measured again, and frames that lie in `--work` are not drawn again.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH, quiet_tensorflow
from rsseg_tf.config import Config, DataConfig, FitConfig
from rsseg_tf.datasets import open_dataset, write_image
from rsseg_tf.datasets.opening import open_prepared, prepare_now
from rsseg_tf.datasets.readers.uavid import PALETTE
from rsseg_tf.errors import ConfigError
from rsseg_tf.runs import cpu_model, git_state, package_versions, write_json

HEIGHT, WIDTH = 2160, 3840
_CAMERA_NOISE = 5.0


@dataclass(frozen=True)
class Work:
    """What is measured: frames, how they become network inputs, windows a batch, batches, backbone."""

    frames: int
    fitting: str
    size: tuple[int, int]
    batch: int
    steps: int
    backbone: str


def write_frames(root: Path, count: int) -> None:
    """Write frames for training and one for validation, with labels, at UAVid's places below `root`, where missing."""
    for index in range(count + 1):
        folder = root / ("uavid_train" if index < count else "uavid_val") / f"seq{index + 1}"
        image, label = (folder / f"{kind}/000000.png" for kind in ("Images", "Labels"))
        if not label.exists():
            log(f"drawing frame {index + 1}/{count + 1}")
            pixels, ids = frame(np.random.default_rng(index))
            write_image(image, pixels)
            write_image(label, PALETTE.colorize(ids))


def frame(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return colored patches under camera noise, uint8 (2160, 3840, 3), and their classes, uint8 (2160, 3840)."""
    ids = rng.integers(0, PALETTE.num_classes, (27, 48), dtype=np.uint8)
    ids = cv2.resize(ids, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    soft = cv2.GaussianBlur(PALETTE.colorize(ids), (31, 31), 0).astype(np.float32) * 0.5 + 60
    noise = rng.standard_normal(soft.shape, dtype=np.float32) * _CAMERA_NOISE
    return np.clip(soft + noise, 0, 255).astype(np.uint8), ids


@dataclass(frozen=True)
class Clock:
    """Wall and CPU seconds of `images` images."""

    images: int
    wall_s: float
    cpu_s: float

    def figures(self) -> dict[str, float]:
        """Return `images_per_s`, `cpu_ms_per_image`, `images`."""
        per_s = self.images / self.wall_s
        return {"images_per_s": per_s, "cpu_ms_per_image": 1e3 * self.cpu_s / self.images, "images": self.images}


def timed(work: Callable[[], int]) -> Clock:
    """Return the clock of a job that returns how many images it went through."""
    wall, cpu = time.perf_counter(), time.process_time()
    images = work()
    return Clock(images, time.perf_counter() - wall, time.process_time() - cpu)


def config_of(work: Work, root: Path, *, cache_dir: str = "") -> Config:
    """Return the settings that read the frames."""
    data = DataConfig(
        name="uavid",
        root=str(root),
        input_size=work.size,
        fitting="resize" if work.fitting == "resize" else "crop",
        cache=False,
        cache_dir=cache_dir,
    )
    return Config(data=data)


def batches(work: Work, config: Config) -> Iterator[int]:
    """Yield the windows in each batch of the pipeline, as a training gets them."""
    from rsseg_tf.steps.shared.training_data import windows_of
    from rsseg_tf.training.pipeline import BatchSchedule

    dataset = open_prepared(config.data) if config.data.cache_dir else open_dataset(config.data)
    source = windows_of(dataset, config, FitConfig().augment)
    schedule = BatchSchedule.of(source, batch_size=work.batch, steps=work.steps)
    schedule.order(0)  # in `crop` fitting the areas of all images are needed first; a training knows them once
    for images, _ in schedule.batches(0):
        yield int(images.shape[0])


def drained(stream: Iterator[int]) -> dict[str, float]:
    """Return the clock of a pipeline after its first batch."""
    next(stream)
    return timed(lambda: sum(stream)).figures()


def prepared_now(config: Config) -> dict[str, float]:
    """Return seconds to prepare all frames again, and their bytes."""
    shutil.rmtree(config.data.cache_dir, ignore_errors=True)
    started = time.perf_counter()
    result = prepare_now(config.data)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "images_per_s": result["made"] / seconds, "bytes": result["bytes"]}


def found_again(config: Config) -> dict[str, float]:
    """Time opening a store and reading and checking every byte of it, which a command does at most once."""

    def read_all() -> int:
        dataset = open_prepared(config.data)
        return len([dataset.read(sample) for sample in dataset.samples("train")])

    return timed(read_all).figures()


def needed(work: Work) -> dict[str, float]:
    """Return the images a second that a training step goes through: what the pipeline has to give."""
    import tensorflow as tf

    from rsseg_tf.models.deeplab import deeplab_v3_plus
    from rsseg_tf.tracing.precision import use_precision
    from rsseg_tf.training.loop import new_optimizer, train_step
    from rsseg_tf.training.losses import cross_entropy

    settings = FitConfig(precision="auto")
    use_precision(settings.precision)
    model = deeplab_v3_plus(work.backbone, PALETTE.num_classes, (*work.size, 3))
    optimizer = new_optimizer(settings)
    optimizer.build(model.trainable_variables)
    step = train_step(model, optimizer, settings, loss=cross_entropy())
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (work.batch, *work.size, 3), dtype=np.uint8))
    labels = tf.constant(rng.integers(0, PALETTE.num_classes, (work.batch, *work.size), dtype=np.uint8))
    float(step(images, labels))
    return timed(lambda: work.batch * sum(bool(float(step(images, labels))) for _ in range(2))).figures()


def log(text: str) -> None:
    """Print a line with the time of day on stderr."""
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


def parts_to_measure(work: Work, folder: Path) -> Mapping[str, Callable[[], Mapping[str, float]]]:
    """Return name of a part → what measures it."""
    files = config_of(work, folder / "frames")
    stored = config_of(work, folder / "frames", cache_dir=str(folder / f"prepared-{work.fitting}"))
    return {
        "files": lambda: drained(batches(replace(work, steps=min(work.steps, 4)), files)),
        "preparing": lambda: prepared_now(stored),
        "opening": lambda: found_again(stored),
        "prepared": lambda: drained(batches(work, stored)),
        "training_step": lambda: needed(work),
    }


def measure(out: Path, work: Work, folder: Path) -> Mapping[str, Any]:
    """Measure the parts that `out` does not hold yet, and renew it after each.

    Raises:
        ConfigError: if `out` holds results of other work.
    """
    facts = json.loads(json.dumps(asdict(work)))
    held = {"work": facts, "cpu": cpu_model(), "versions": package_versions(), "git": git_state()}
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else held
    if result.get("work") != facts:
        raise ConfigError(f"`{out}` holds results of other work: {result.get('work')}", hint="choose another --out")
    write_frames(folder / "frames", work.frames)
    for name, part in parts_to_measure(work, folder).items():
        if name not in result:
            log(f"measuring {name}")
            result[name] = part()
            write_json(out, result)
    return result


def markdown(result: Mapping[str, Any]) -> str:
    """Return the result as a table."""
    need = result["training_step"]
    rows = [("", "images/s", "CPU ms an image", "of what the training step needs")]
    for name, title in (("files", "from the files"), ("prepared", "prepared"), ("training_step", "training step")):
        part = result[name]
        share = part["images_per_s"] / need["images_per_s"]
        rows.append((title, f"{part['images_per_s']:.2f}", f"{part['cpu_ms_per_image']:.1f}", f"{share:.1f} ×"))
    lines = [f"| {' | '.join(row)} |" for row in (rows[0], ("---",) * 4, *rows[1:])]
    made, opened = result["preparing"], result["opening"]
    lines.append(
        f"\nPreparing: {made['images_per_s']:.2f} images/s, {made['bytes'] / 1e6:.0f} MB; "
        f"opening again: {opened['cpu_ms_per_image']:.1f} CPU ms an image."
    )
    return "\n".join(lines)


@click.command(name="bench_input")
@click.option("--frames", type=click.IntRange(2), default=16, show_default=True, help="4K frames.")
@click.option("--fitting", type=click.Choice(["resize", "crop"]), default="resize", show_default=True)
@click.option("--size", type=(click.IntRange(32), click.IntRange(32)), default=(540, 960), show_default=True)
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Windows a batch.")
@click.option("--steps", type=click.IntRange(2), default=20, show_default=True, help="Batches; 4 from the files.")
@click.option("--backbone", type=click.Choice(["resnet18", "resnet50"]), default="resnet18", show_default=True)
@click.option("--work", "folder", type=ANY_PATH, required=True, help="Folder for the frames and prepared pairs.")
@click.option("--out", type=ANY_PATH, required=True, help="JSON file; parts that it holds are not measured again.")
def main(folder: Path, out: Path, **options: Any) -> None:
    """Measure the input pipeline on 4K frames, from the files and prepared, and what a training step needs."""
    quiet_tensorflow()
    click.echo(markdown(measure(out, Work(**options), folder)))


if __name__ == "__main__":
    sys.exit(run(command=main, name="bench_input"))
