from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from rsseg_tf.datasets.images.channels import Channels
from rsseg_tf.datasets.images.pixels import read_image, write_image
from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.errors import ConfigError, DataError, RssegError
from rsseg_tf.inference.class_raster import ClassRaster
from rsseg_tf.inference.files import images
from rsseg_tf.inference.folders import predict_files
from tests.inference.rasters import PALETTE, geotiff, predictor, smooth, stored
from tests.tflite.networks import frame


@settings(max_examples=15)
@given(st.integers(5, 60), st.integers(5, 60), st.integers(0, 15))
def test_a_geotiff_gets_the_classes_of_the_same_image_in_memory(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, overlap: int
) -> None:
    folder = tmp_path_factory.mktemp("map")
    image = frame(0, height, width)
    model = predictor(overlap=overlap)
    predict_files(model, [geotiff(folder / "in/a.tif", image)], folder / "out")
    assert np.array_equal(stored(folder / "out/a_classes.tif"), model.predict(image))


def test_the_map_keeps_the_georeference_and_is_tiled_compressed_and_colored(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 700, 900))
    predict_files(predictor(input_size=(256, 256)), [image], tmp_path / "out")
    with rasterio.open(tmp_path / "out/a_classes.tif") as made, rasterio.open(image) as source:
        assert (made.crs, made.transform, made.shape) == (source.crs, source.transform, source.shape)
        assert made.profile["tiled"]
        assert made.profile["compress"] == "deflate"
        assert made.overviews(1) == [2]
        assert made.nodata == IGNORE
        assert [made.colormap(1)[number][:3] for number in range(3)] == list(PALETTE.colors)
        assert made.tags()["CLASS_1"] == "bright"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.json",
        "a_classes.qml",
        "a_classes.tif",
        "a_overlay.jpg",
    ]


def test_pixels_without_data_have_no_class_and_are_not_predicted(tmp_path: Path) -> None:
    pixels = np.maximum(frame(0, 48, 64), 1)
    pixels[:, 32:] = 0
    seen: list[int] = []

    def infer(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return smooth(images)

    image = geotiff(tmp_path / "in/a.tif", pixels, nodata=0)
    (record,) = predict_files(predictor(infer, overlap=0), [image], tmp_path / "out")
    classes = stored(tmp_path / "out/a_classes.tif")
    assert np.all(classes[:, 32:] == IGNORE)
    assert np.array_equal(classes[:, :32], predictor(overlap=0).predict(pixels)[:, :32])
    assert record["nodata_pixels"] == 48 * 32
    assert sum(values["pixels"] for values in record["classes"].values()) == 48 * 32
    assert sum(seen) == 6


def test_an_image_without_any_data_is_all_gap(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", np.zeros((20, 20, 3), np.uint8), nodata=0)
    (record,) = predict_files(predictor(), [image], tmp_path / "out")
    assert record["nodata_pixels"] == 400


def test_a_large_png_goes_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LARGE_PIXELS", 100)
    write_image(tmp_path / "in/a.png", frame(0, 40, 50))
    (record,) = predict_files(predictor(), [tmp_path / "in/a.png"], tmp_path / "out")
    assert record["files"]["classes"] == "a_classes.tif"
    assert np.array_equal(stored(tmp_path / "out/a_classes.tif"), predictor().predict(frame(0, 40, 50)))


class Interrupted(Exception):
    """What stops a run in these tests."""


@pytest.mark.parametrize("calls", [1, 4, 9])
def test_an_interrupted_mosaic_goes_on_where_it_stopped(tmp_path: Path, calls: int) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 200, 90))
    done = 0

    def failing(images: np.ndarray) -> np.ndarray:
        nonlocal done
        done += 1
        if done > calls:
            raise Interrupted
        return smooth(images)

    with pytest.raises(Interrupted):
        predict_files(predictor(failing), [image], tmp_path / "out")
    assert not (tmp_path / "out/a_classes.tif").exists()
    kept = len(list((tmp_path / "out/a_parts").glob("band_*.png")))
    (record,) = predict_files(predictor(), [image], tmp_path / "out")
    assert record["run"]["bands_resumed"] == kept
    whole = predict_files(predictor(), [image], tmp_path / "whole")[0]
    assert np.array_equal(stored(tmp_path / "out/a_classes.tif"), stored(tmp_path / "whole/a_classes.tif"))
    assert record["classes"] == whole["classes"]
    assert np.array_equal(read_image(tmp_path / "out/a_overlay.jpg"), read_image(tmp_path / "whole/a_overlay.jpg"))
    assert not (tmp_path / "out/a_parts").exists()


def test_a_gap_among_the_bands_is_filled_and_nothing_else(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 200, 16))
    seen: list[int] = []

    def counting(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        if len(seen) > 14:
            raise Interrupted
        return smooth(images)

    with pytest.raises(Interrupted):
        predict_files(predictor(counting), [image], tmp_path / "out")
    parts = tmp_path / "out/a_parts"
    kept = len(list(parts.glob("band_*.png")))
    for row in (3, 4, 8):
        (parts / f"band_{row:06d}.png").unlink()
    seen.clear()
    (record,) = predict_files(predictor(counting), [image], tmp_path / "out")
    assert record["run"]["bands_resumed"] == kept - 3
    assert sum(seen) == 3 + 2 + (17 - kept + 1)  # each run of rows begins with the row above it, which reaches into it
    whole = predict_files(predictor(), [image], tmp_path / "whole")[0]
    assert np.array_equal(stored(tmp_path / "out/a_classes.tif"), stored(tmp_path / "whole/a_classes.tif"))
    assert np.array_equal(read_image(tmp_path / "out/a_overlay.jpg"), read_image(tmp_path / "whole/a_overlay.jpg"))
    assert record["classes"] == whole["classes"]


def test_parts_of_another_model_are_not_gone_on_with(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 60, 60))

    def failing(_images: np.ndarray) -> np.ndarray:
        raise Interrupted

    with pytest.raises(Interrupted):
        predict_files(predictor(failing), [image], tmp_path / "out")
    with pytest.raises(ConfigError, match="a_parts"):
        predict_files(predictor(model_sha256="other"), [image], tmp_path / "out")
    predict_files(predictor(model_sha256="other"), [image], tmp_path / "out", overwrite=True)


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.inference.rasters import predictor, smooth
from rsseg_tf.inference.folders import predict_files
calls = 0
def infer(images):
    global calls
    calls += 1
    if calls == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return smooth(images)
predict_files(predictor(infer), [Path(sys.argv[1])], Path(sys.argv[2]))
"""


def test_a_killed_mosaic_goes_on_to_the_same_map(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 300, 60))
    command = [sys.executable, "-c", _KILLED, str(image), str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not (tmp_path / "out/a.json").exists()
    predict_files(predictor(), [image], tmp_path / "out")
    assert np.array_equal(stored(tmp_path / "out/a_classes.tif"), predictor().predict(frame(0, 300, 60)))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.json",
        "a_classes.qml",
        "a_classes.tif",
        "a_overlay.jpg",
    ]


def test_a_full_disk_keeps_the_finished_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 200, 60))
    fsync, written = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal written
        written += 1
        if written > 7:  # the key, and two files a band
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RssegError, match="No space left"):
        predict_files(predictor(), [image], tmp_path / "out")
    monkeypatch.undo()
    assert not (tmp_path / "out/a_classes.tif").exists()
    (record,) = predict_files(predictor(), [image], tmp_path / "out")
    assert record["run"]["bands_resumed"] == 3


def test_a_map_that_did_not_arrive_whole_does_not_get_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL may close a file on a full disk without a word."""
    image = geotiff(tmp_path / "in/a.tif", frame(0, 200, 60))
    write = ClassRaster.write

    def losing(self: ClassRaster, top: int, classes: np.ndarray) -> None:
        write(self, top, classes)
        if top > 100:
            self._dataset.write(np.zeros_like(classes), 1, window=Window(0, top, *classes.shape[::-1]))

    monkeypatch.setattr(ClassRaster, "write", losing)
    with pytest.raises(RssegError, match="did not arrive"):
        predict_files(predictor(), [image], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_parts"]


@pytest.mark.parametrize("content", [b"", b"II*\0garbage", b"II*\0\x08\0\0\0"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "in/a.tif"
    path.parent.mkdir()
    path.write_bytes(content)
    for channels in (Channels(), Channels(bands=(1, 2, 3))):
        with pytest.raises(DataError, match=r"a\.tif"):
            predict_files(predictor(), [path], tmp_path / "out", channels=channels)


def test_a_truncated_geotiff_is_named(tmp_path: Path) -> None:
    path = geotiff(tmp_path / "in/a.tif", frame(0, 200, 200))
    path.write_bytes(path.read_bytes()[:60_000])
    with pytest.raises(DataError, match=r"a\.tif"):
        predict_files(predictor(), [path], tmp_path / "out")


def test_a_file_where_the_parts_would_lie_is_in_the_way(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", np.zeros((40, 60, 3), np.uint8))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a_parts").write_text("precious")
    with pytest.raises(ConfigError, match="in the way"):
        predict_files(predictor(), [image], tmp_path / "out")
    assert (tmp_path / "out/a_parts").read_text() == "precious"
