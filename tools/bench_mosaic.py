"""Map a mosaic made of a data set's images, and tell its memory over time and how long the interpreter ran of it.

python tools/bench_mosaic.py dubai-pruned_int8.tflite ../shared/data/dubai --side 20000 --work mosaic --out mosaic.json

The mosaic is a GeoTIFF of images side by side, drawn by a fixed seed. `rsseg-tf predict` maps it in this process;
what is timed is the whole command, start of the libraries aside.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from rsseg_tf.benchmark.system import memory_mb
from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH
from rsseg_tf.datasets.files.opening import SUFFIXES
from rsseg_tf.datasets.images.pixels import read_image
from rsseg_tf.errors import ConfigError, RssegError
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.runs import atomic_path, cpu_model, git_state, write_json

_STRIP = 512
_METERS = 0.5
_PERIOD_S = 1.0


def write_mosaic(path: Path, images: Sequence[np.ndarray], *, side: int) -> None:
    """Write a tiled GeoTIFF of side × side pixels, strips of images (h, w, 3) or masks (h, w) beside each other."""
    import rasterio
    from rasterio.transform import Affine
    from rasterio.windows import Window

    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "width": side, "height": side, "dtype": "uint8", "compress": "deflate"}
    profile |= {"tiled": True, "blockxsize": _STRIP, "blockysize": _STRIP, "bigtiff": "if_safer"}
    images = [image.reshape(*image.shape[:2], -1) for image in images]
    bands = images[0].shape[2]
    profile |= {"count": bands, "photometric": "RGB" if bands == 3 else "MINISBLACK"}
    place = {"crs": "EPSG:32640", "transform": Affine(_METERS, 0, 325000, 0, -_METERS, 2780000)}
    with atomic_path(path) as temporary, rasterio.open(temporary, "w", **profile, **place) as mosaic:
        for top in range(0, side, _STRIP):
            strip = np.zeros((min(_STRIP, side - top), side, bands), np.uint8)
            left = 0
            while left < side:
                part = images[rng.integers(len(images))][: len(strip), : side - left]
                strip[: part.shape[0], left : left + part.shape[1]] = part
                left += part.shape[1]
            mosaic.write(np.moveaxis(strip, -1, 0), window=Window(0, top, side, len(strip)))


def pictures_below(folder: Path) -> list[np.ndarray]:
    """Return the images below a folder, (h, w, 3) each, without those of which the name says that they are masks.

    Raises:
        ConfigError: if there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and "mask" not in str(path))
    if not found:
        raise ConfigError(f"no images below `{folder}`")
    return [read_image(path) for path in found]


class Watch:
    """Counts the seconds inside the interpreter, and notes this process's memory every second."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.tiles = 0
        self.curve: list[tuple[float, float]] = []
        self._started = time.perf_counter()
        self._ended = threading.Event()

    def __enter__(self) -> Watch:
        """Begin; the peak of the memory is that from now on."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._invoke = TFLiteRunner.invoke
        watch = self

        def invoke(runner: TFLiteRunner) -> None:
            started = time.perf_counter()
            watch._invoke(runner)
            watch.seconds += time.perf_counter() - started
            watch.tiles += 1

        TFLiteRunner.invoke = invoke  # type: ignore[method-assign]
        threading.Thread(target=self._sample, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        TFLiteRunner.invoke = self._invoke  # type: ignore[method-assign]
        self.wall = time.perf_counter() - self._started
        self._ended.set()

    def _sample(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            self.curve.append((time.perf_counter() - self._started, memory_mb("VmRSS") or float("nan")))

    def record(self) -> dict[str, Any]:
        """Return what was seen, as JSON values."""
        return {
            "wall_s": self.wall,
            "interpreter_s": self.seconds,
            "interpreter_share": self.seconds / self.wall,
            "tiles": self.tiles,
            "peak_mb": memory_mb("VmHWM"),
            "curve_s_mb": self.curve,
        }


@click.command(name="bench_mosaic")
@click.argument("model", type=ANY_PATH)
@click.argument("images", type=ANY_PATH)
@click.option("--side", type=click.IntRange(_STRIP), default=20000, show_default=True, help="Of the mosaic, in pixels.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of the interpreter.")
@click.option("--work", type=ANY_PATH, required=True, help="Folder of the mosaic and its map.")
@click.option("--out", type=ANY_PATH, required=True, help="JSON file.")
def main(model: Path, images: Path, side: int, threads: int, work: Path, out: Path) -> None:
    """Map a mosaic of the pictures below IMAGES with MODEL, and measure."""
    mosaic = work / f"mosaic{side}.tif"
    if not mosaic.exists():
        write_mosaic(mosaic, pictures_below(images), side=side)
    with Watch() as watch:
        words = ["predict", str(model), str(mosaic), "-o", str(work / "map"), "--threads", str(threads), "--overwrite"]
        code = run(words)
    if code:
        raise RssegError("the mosaic was not mapped, so there is nothing to tell")
    result = {"side": side, "threads": threads, **watch.record(), "cpu": cpu_model(), "git": git_state()}
    write_json(out, result)
    click.echo(
        f"{side}×{side} pixels, {watch.tiles} tiles: {watch.wall:.0f} s ({side**2 / 1e6 / watch.wall:.2f} MP/s), "
        f"{result['interpreter_share']:.1%} of it inside the interpreter, peak {result['peak_mb']:.0f} MB"
    )


if __name__ == "__main__":
    sys.exit(run(command=main, name="bench_mosaic"))
