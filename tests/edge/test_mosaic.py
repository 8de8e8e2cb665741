from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from rasterio.windows import Window

from rsseg_tf.datasets.image import read_image, write_image
from rsseg_tf.datasets.palette import IGNORE, Palette
from rsseg_tf.edge import folders
from rsseg_tf.edge.areas import cell_areas_m2
from rsseg_tf.edge.class_raster import ClassRaster
from rsseg_tf.edge.folders import predict_files
from rsseg_tf.edge.image_header import ImageHeader, read_header
from rsseg_tf.edge.predict import TiledPredictor
from rsseg_tf.edge.prefetch import prefetched
from rsseg_tf.edge.raster import Channels, open_raster, strips_from
from rsseg_tf.edge.tiling import TileGrid
from rsseg_tf.errors import ConfigError, DataError, RssegError
from tests.edge.networks import frame

PALETTE = Palette(("dark", "bright", "green"), ((0, 0, 90), (250, 250, 0), (0, 200, 0)))


def origin(west: float, north: float, side: float) -> Affine:
    """North-up pixels of one size."""
    return Affine(side, 0, west, 0, -side, north)


UTM = {"crs": "EPSG:32640", "transform": origin(325_000, 2_780_000, 0.5)}


def smooth(images: np.ndarray) -> np.ndarray:
    """Scores of three classes that depend on a pixel and where it lies in its window, so that blending matters."""
    ramp = np.arange(images.shape[1] * images.shape[2]).reshape(1, *images.shape[1:3]) % 5
    red, green = images[..., 0].astype(np.int16), images[..., 1].astype(np.int16)
    return np.stack([64 - red // 4, red // 4 - 64 + ramp, green // 4 - 40], axis=-1).astype(np.int8)


def predictor(infer: Any = smooth, **changes: Any) -> TiledPredictor:
    return TiledPredictor(infer, PALETTE, **{"input_size": (16, 16), "overlap": 4, "model_sha256": "m", **changes})


def geotiff(path: Path, pixels: np.ndarray, **profile: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = np.moveaxis(pixels, -1, 0)
    shape = {"count": len(planes), "height": planes.shape[1], "width": planes.shape[2], "dtype": planes.dtype}
    with rasterio.open(path, "w", driver="GTiff", **{**UTM, **shape, **profile}) as dataset:
        dataset.write(planes)
    return path


def stored(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(path)
    with dataset:
        classes: np.ndarray = dataset.read(1)
    return classes


@settings(max_examples=15)
@given(st.integers(5, 60), st.integers(5, 60), st.integers(0, 15))
def test_a_geotiff_gets_the_classes_of_the_same_image_in_memory(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, overlap: int
) -> None:
    folder = tmp_path_factory.mktemp("map")
    image = frame(0, height, width)
    model = predictor(overlap=overlap)
    predict_files(model, [geotiff(folder / "in/a.tif", image)], folder / "out")
    assert np.array_equal(stored(folder / "out/a_classes.tif"), model.classes(image))


def test_the_map_keeps_the_georeference_and_is_tiled_compressed_and_coloured(tmp_path: Path) -> None:
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
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "a_classes.tif", "a_overlay.png"]


def test_areas_come_from_the_georeference(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 20, 30))
    (record,) = predict_files(predictor(ground_sampling_distance_m=9), [image], tmp_path / "out")
    assert sum(area["area_m2"] for area in record["classes"].values()) == pytest.approx(20 * 30 * 0.25)


def test_areas_in_feet_become_metres(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 20, 30), crs="EPSG:2263", transform=origin(0, 0, 2))
    (record,) = predict_files(predictor(), [image], tmp_path / "out")
    foot = 1200 / 3937
    assert sum(area["area_m2"] for area in record["classes"].values()) == pytest.approx(600 * (2 * foot) ** 2)


def test_areas_in_degrees_shrink_towards_the_pole(tmp_path: Path) -> None:
    totals = []
    for latitude in (0.0, 60.0):
        image = geotiff(
            tmp_path / f"in/{latitude:.0f}.tif",
            frame(0, 20, 20),
            crs="EPSG:4326",
            transform=origin(55, latitude + 1e-4, 1e-5),
        )
        (record,) = predict_files(predictor(), [image], tmp_path / "out")
        totals.append(sum(area["area_m2"] for area in record["classes"].values()))
    assert totals[0] == pytest.approx((20 * 1.11319) * (20 * 1.10574), rel=1e-4)  # a degree is 111.319 × 110.574 km
    assert totals[1] == pytest.approx((20 * 0.55800) * (20 * 1.11412), rel=1e-3)  # and 55.800 × 111.412 km at 60°


def test_the_ellipsoid_s_surface_is_the_earth_s() -> None:
    whole = cell_areas_m2(np.array([-math.pi / 2, 0, math.pi / 2]), 2 * math.pi).sum()
    assert whole == pytest.approx(510_065_621.724e6, rel=1e-9)  # WGS 84 in NIMA TR8350.2


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
    assert np.array_equal(classes[:, :32], predictor(overlap=0).classes(pixels)[:, :32])
    assert record["nodata_pixels"] == 48 * 32
    assert sum(values["pixels"] for values in record["classes"].values()) == 48 * 32
    assert sum(seen) == 6


def test_an_image_without_any_data_is_all_gap(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", np.zeros((20, 20, 3), np.uint8), nodata=0)
    (record,) = predict_files(predictor(), [image], tmp_path / "out")
    assert record["nodata_pixels"] == 400


def test_an_alpha_channel_marks_gaps(tmp_path: Path) -> None:
    pixels = np.dstack([frame(0, 20, 20), np.full((20, 20), 255, np.uint8)])
    pixels[:5, :, 3] = 0
    path = geotiff(tmp_path / "in/a.tif", pixels, photometric="RGB", alpha="yes")
    (record,) = predict_files(predictor(), [path], tmp_path / "out")
    assert record["nodata_pixels"] == 100


@pytest.mark.parametrize("count", [2, 4, 5])
def test_more_bands_need_a_choice(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 20, count), dtype=np.uint8)
    path = geotiff(tmp_path / "in/a.tif", pixels)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.undefined] * count
    with pytest.raises(DataError, match=f"{count} bands") as raised:
        predict_files(predictor(), [path], tmp_path / "out")
    assert "--bands" in raised.value.hint
    predict_files(predictor(), [path], tmp_path / "out", channels=Channels(bands=(2, 1, 1)))
    chosen = np.ascontiguousarray(pixels[..., [1, 0, 0]])
    assert np.array_equal(stored(tmp_path / "out/a_classes.tif"), predictor().classes(chosen))


def test_sixteen_bits_need_a_scale(tmp_path: Path) -> None:
    image = frame(0, 20, 20)
    path = geotiff(tmp_path / "in/a.tif", image.astype(np.uint16) * 16 + 100)
    with pytest.raises(DataError, match="uint16") as raised:
        predict_files(predictor(), [path], tmp_path / "out")
    assert "--scale" in raised.value.hint
    predict_files(predictor(), [path], tmp_path / "out", channels=Channels(scale=(100, 100 + 255 * 16)))
    assert np.array_equal(stored(tmp_path / "out/a_classes.tif"), predictor().classes(image))


@pytest.mark.parametrize(
    ("bands", "scale"), [((1, 2), None), ((0, 1, 2), None), ((), (5.0, 5.0)), ((), (0.0, math.inf))]
)
def test_senseless_channels_are_refused(bands: tuple[int, ...], scale: tuple[float, float] | None) -> None:
    with pytest.raises(ConfigError):
        Channels(bands, scale)


def test_a_band_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = geotiff(tmp_path / "in/a.tif", frame(0, 20, 20))
    with pytest.raises(ConfigError, match="asks for 7"):
        predict_files(predictor(), [path], tmp_path / "out", channels=Channels(bands=(1, 2, 7)))


def test_a_large_png_goes_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_LARGE_PIXELS", 100)
    write_image(tmp_path / "in/a.png", frame(0, 40, 50))
    (record,) = predict_files(predictor(), [tmp_path / "in/a.png"], tmp_path / "out")
    assert record["files"]["classes"] == "a_classes.tif"
    assert np.array_equal(stored(tmp_path / "out/a_classes.tif"), predictor().classes(frame(0, 40, 50)))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 7), st.data())
@settings(max_examples=20)
def test_strips_are_the_rows_under_their_windows(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, overlap: int, data: st.DataObject
) -> None:
    image = frame(0, height, width)
    path = geotiff(tmp_path_factory.mktemp("strips") / "a.tif", image)
    grid = TileGrid(height, width, (8, 8), overlap)
    first = data.draw(st.integers(0, len(grid.tops) - 1))
    with open_raster(path) as raster:
        for strip in strips_from(raster, grid, first=first):
            top = grid.tops[strip.row]
            assert strip.pixels.shape == (8, grid.padded_width, 3)
            expected = image[top : top + 8]
            assert np.array_equal(strip.pixels[: len(expected), :width], expected)


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
    assert np.array_equal(read_image(tmp_path / "out/a_overlay.png"), read_image(tmp_path / "whole/a_overlay.png"))
    assert not (tmp_path / "out/a_parts").exists()


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
from tests.edge.test_mosaic import predictor, smooth
from rsseg_tf.edge.folders import predict_files
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
    assert np.array_equal(stored(tmp_path / "out/a_classes.tif"), predictor().classes(frame(0, 300, 60)))


def test_a_full_disk_keeps_the_finished_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 200, 60))
    fsync, written = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal written
        written += 1
        if written > 4:
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


@pytest.mark.parametrize("options", [{}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}])
def test_a_header_says_what_rasterio_says(tmp_path: Path, options: dict[str, str]) -> None:
    geotiff(tmp_path / "a.tif", frame(0, 300, 20), **options)
    assert read_header(tmp_path / "a.tif") == ImageHeader(300, 20, is_geotiff=True)
    write_image(tmp_path / "b.tif", frame(0, 30, 20))
    assert read_header(tmp_path / "b.tif") == ImageHeader(30, 20, is_geotiff=False)
    write_image(tmp_path / "c.png", frame(0, 30, 20))
    assert read_header(tmp_path / "c.png") == ImageHeader(30, 20)


def test_items_made_ahead_are_the_same_and_errors_come_in_their_place() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise Interrupted

    seen = []
    with pytest.raises(Interrupted):
        seen.extend(prefetched(items(), depth=2))  # what was made before is lost with the list's extension
    generator = prefetched(items(), depth=2)
    assert [next(generator) for _ in range(5)] == [0, 1, 2, 3, 4]


def test_closing_ends_the_thread_and_the_items() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    before = threading.active_count()
    generator = prefetched(items(), depth=1)
    next(generator)
    generator.close()
    assert closed.is_set()
    assert threading.active_count() == before


def test_the_projection_of_utm_is_in_metres() -> None:
    assert CRS.from_string(UTM["crs"]).linear_units_factor[1] == 1.0
