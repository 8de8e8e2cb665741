"""Files that other programs made, read as the commands read them, and sound ones to begin with.

Exports of annotation programs, polygons, GeoTIFFs, and networks as `.keras` and `.onnx`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from rsseg_tf.datasets.drawn.burning import Burning, burn
from rsseg_tf.datasets.drawn.initial import initialize
from rsseg_tf.datasets.images.picture import open_picture
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.errors import ModelError, RssegError
from rsseg_tf.inference.folders import predict_files
from rsseg_tf.inference.predict import Products, open_predictor
from tools.faults.jobs import squares, write_mosaic

_SIZE = 20, 30
_LARGE_PIXELS = 1 << 16
_GUARD_S = 5
_MOMENT_S = 0.001


def read_outlines(path: Path) -> None:
    """Make a data set of an export of outlines, beside the image that it names."""
    with tempfile.TemporaryDirectory() as place:
        write_image(Path(place, "in", "a.png"), np.zeros((*_SIZE, 3), np.uint8))
        shutil.copyfile(path, Path(place, "in", "case.json"))
        initialize(Path(place, "in"), Path(place, "out"), background="land")


def read_polygons(path: Path) -> None:
    """Burn polygons on a mosaic."""
    with tempfile.TemporaryDirectory() as out:
        burn(_mosaic(), path, Path(out, "set"), Burning("kind", block=130, gap=20))


def read_geotiff(path: Path) -> None:
    """Predict an image with its place; of one that claims to be large, read a part."""
    with open_picture(path) as picture:
        if picture.height * picture.width > _LARGE_PIXELS:
            picture.read((slice(0, 64), slice(0, 64)))
            return
    with tempfile.TemporaryDirectory() as out:
        predict_files(_predictor(), path, out, products=Products(confidence=True))


def read_archive(path: Path) -> None:
    """Read what is known of a `.keras` file without Keras."""
    from rsseg_tf.models.weights.archive import foreign_classes, require_archive
    from rsseg_tf.steps.shared.model_classes import classes_of, pixel_m_of

    require_archive(path)
    foreign_classes(path)
    classes_of(path)
    pixel_m_of(path)


def read_keras(path: Path) -> None:
    """Open a `.keras` file and look at its network."""
    import keras

    from rsseg_tf.models.weights import keras_file
    from rsseg_tf.models.weights.pretrained import load_keras_model

    read_archive(path)
    try:
        with _in_a_fork(keras_file, keras_file.read_once):
            load_keras_model(path).count_params()
    finally:
        keras.utils.clear_session(free_memory=False)


def read_onnx(path: Path) -> None:
    """Run an `.onnx` file."""
    from rsseg_tf.inference.runtimes import guard
    from rsseg_tf.inference.runtimes.exchanged import OnnxRunner

    with _in_a_fork(guard, guard.run_once):
        runner = OnnxRunner(path)
    runner.classes(np.zeros((*runner.input_size, runner.num_bands), np.uint8))


@contextlib.contextmanager
def _in_a_fork(module: ModuleType, work: Callable[[Iterator[Any]], Iterator[Any]]) -> Iterator[None]:
    """Have a guard try its files in forks of this process, which take milliseconds where a new one takes a second."""

    def prove(_module: str, request: object, *, crash: str, late: str, hint: str, **_: object) -> None:
        came, goes = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                list(work(iter([request])))
                code = 0
            except RssegError as error:
                os.write(goes, error.message.encode(errors="replace"))
                code = error.exit_code
            finally:
                os._exit(code)
        os.close(goes)
        try:
            code = _ended(pid)
            said = os.read(came, 1 << 16).decode(errors="replace")
        finally:
            os.close(came)
        if code:
            raise ModelError(said or (late if code == -signal.SIGKILL else crash), hint=hint)

    with mock.patch.object(module, "prove", prove):
        yield


def _ended(pid: int) -> int:
    """Return how a fork ended; one that takes too long, or is not waited for any more, is killed."""
    until = time.monotonic() + _GUARD_S
    found = status = 0
    try:
        while not found and time.monotonic() < until:
            found, status = os.waitpid(pid, os.WNOHANG)
            time.sleep(0 if found else _MOMENT_S)
    finally:
        if not found:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


@functools.cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@functools.cache
def _mosaic() -> Path:
    path = Path(_home().name, "mosaic.tif")
    write_mosaic(path, height=320)
    return path


@functools.cache
def _predictor() -> Any:
    from rsseg_tf.tflite.metadata import embed_metadata
    from tests.tflite.networks import METADATA, tiny_model

    path = Path(_home().name, "sealed.tflite")
    path.write_bytes(embed_metadata(tiny_model("int8"), METADATA))
    return open_predictor(path)


def load_for_maps() -> None:
    """Import and make what reading GeoTIFFs and polygons needs."""
    _mosaic()
    _predictor()
    read_geotiff(_mosaic())


def load_for_networks() -> None:
    """Import Keras, and what reads its files."""
    import rsseg_tf.models.weights.pretrained
    import rsseg_tf.steps.shared.model_classes  # noqa: F401


def write_foreign(folder: Path) -> None:
    """Write sound files of these kinds."""
    import keras

    from rsseg_tf.datasets.palette import Palette
    from rsseg_tf.steps.shared.model_classes import keep_classes
    from tests.inference.runtimes.test_guard import described

    _write_outlines(folder)
    (folder / "polygons.geojson").write_text(json.dumps(squares()))
    write_mosaic(folder / "ortho.tif", height=48, width=32)
    _write_packed_geotiff(folder / "packed.tif")
    (folder / "network.onnx").write_bytes(described().replace(b"rsseg_tf_seal", b"rsseg_tf_sold"))
    pixels = keras.Input((8, 8, 3), name="image")
    keras.Model(pixels, keras.layers.Conv2D(2, 1, name="logits")(pixels)).save(folder / "network.keras")
    keep_classes(folder / "network.keras", Palette(("land", "sea"), ((0, 0, 0), (9, 9, 9))), pixel_m=0.5)


def _write_outlines(folder: Path) -> None:
    from tests.datasets.drawn.test_initial import CAR, ROOF, packed, packed_brush, polygon_mask, studio_task

    sides = {"height": _SIZE[0], "width": _SIZE[1]}
    flat = [value for point in ROOF for value in point]
    areas = [[flat], {"size": _SIZE, "counts": packed([100, 20, 480])}, {"size": _SIZE, "counts": [90, 30, 480]}]
    coco = {
        "images": [{"id": 5, "file_name": "a.png", **sides}],
        "categories": [{"id": 4, "name": "roof"}, {"id": 7, "name": "car"}],
        "annotations": [
            {"id": number, "image_id": 5, "category_id": 4 + 3 * (number % 2), "area": 9, "segmentation": area}
            for number, area in enumerate(areas)
        ],
    }
    shapes = [
        {"label": "roof", "points": ROOF, "shape_type": "polygon"},
        {"label": "car", "points": [CAR[0], CAR[2]], "shape_type": "rectangle"},
        {"label": "pool", "points": CAR[:2], "shape_type": "circle"},
    ]
    labelme = {"shapes": shapes, "imagePath": "a.png", "imageHeight": _SIZE[0], "imageWidth": _SIZE[1]}
    rle = packed_brush(polygon_mask(ROOF), 0)
    studio = studio_task(
        "/data/upload/1/0123abcd-a.png",
        ("brushlabels", {"format": "rle", "rle": rle, "brushlabels": ["roof"]}),
        ("rectanglelabels", {"x": 80, "y": 0, "width": 20, "height": 50, "rectanglelabels": ["sky"]}),
    )
    for name, content in {"coco": coco, "labelme": labelme, "studio": [studio]}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def _write_packed_geotiff(path: Path) -> None:
    """Write a tiled and packed image with alpha, a number for nothing, tags, in degrees."""
    import rasterio
    from rasterio.transform import Affine

    pixels = np.random.default_rng(0).integers(0, 256, (4, 40, 56), np.uint8)
    pixels[3] = 255
    place = {"crs": "EPSG:4326", "transform": Affine(2e-5, 0, 55, 0, -2e-5, 25), "nodata": 0}
    shape = {"count": 4, "height": 40, "width": 56, "dtype": "uint8", "photometric": "RGB", "alpha": "YES"}
    packing = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate", "predictor": 2}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place, **packing) as image:
        image.write(pixels)
        image.update_tags(AREA_OR_POINT="Area", TIFFTAG_SOFTWARE="a camera")
