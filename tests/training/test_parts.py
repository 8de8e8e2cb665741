"""Windows and scores of pairs that are too large to be read as a whole."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.config import AugmentConfig, Config, DataConfig, FolderConfig
from rsseg_tf.datasets import parts
from rsseg_tf.datasets.catalog import list_dataset
from rsseg_tf.datasets.check import check_dataset
from rsseg_tf.datasets.files import opening
from rsseg_tf.datasets.opening import open_prepared
from rsseg_tf.datasets.readers.files import FileDataset
from rsseg_tf.datasets.sheet import contact_sheet
from rsseg_tf.errors import DataError
from rsseg_tf.evaluation.scoring import evaluate
from rsseg_tf.inference.predict import TiledPredictor
from rsseg_tf.steps.shared.training_data import windows_of
from rsseg_tf.training.augment import warped
from tests.datasets.images.formats import tiff
from tests.inference.rasters import PALETTE, UTM

CHANGES = AugmentConfig(flip_vertical=True, translate_px=40, rotate_deg=30, scale=(0.5, 2), color=0.1)
SHAPE = (600, 700)
TILES = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}


def under(matrix: np.ndarray, image: np.ndarray, mask: np.ndarray, size: tuple[int, int]) -> Any:
    """The window, the labels and the part that was read."""
    asked = []

    def read(box: Any) -> Any:
        asked.append(box)
        return image[box], mask[box]

    shape = (image.shape[0], image.shape[1])
    return *warped(shape, read, matrix, size), asked[0]


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    x=st.integers(-150, 150),
    y=st.integers(-150, 150),
    mirrored=st.booleans(),
)
def test_the_part_under_a_window_is_all_that_it_shows(height: int, width: int, x: int, y: int, mirrored: bool) -> None:
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 256, (height, width, 3), np.uint8), rng.integers(0, 5, (height, width), np.uint8)
    matrix = np.array([[-1.0 if mirrored else 1.0, 0, x], [0, 1, y]])
    window, labels, _ = under(matrix, image, mask, (32, 48))
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    expected = cv2.warpAffine(image, matrix, (48, 32), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    np.testing.assert_array_equal(window, expected)
    columns, rows = np.meshgrid(np.arange(48), np.arange(32))
    columns, rows = (-columns if mirrored else columns) + x, rows + y
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    np.testing.assert_array_equal(labels[inside], mask[rows[inside], columns[inside]])
    assert (labels[~inside] == 255).all()


@given(degrees=st.floats(-180, 180), zoom=st.floats(0.4, 2.5), x=st.floats(-30, 230), y=st.floats(-30, 230))
def test_a_turned_window_is_that_of_the_whole_image(degrees: float, zoom: float, x: float, y: float) -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8), (0, 0), 4)
    cos, sin = math.cos(math.radians(degrees)) / zoom, math.sin(math.radians(degrees)) / zoom
    matrix = np.array([[cos, -sin, x], [sin, cos, y]])
    mask = np.zeros((200, 200), np.uint8)
    window, labels, (rows, columns) = under(matrix, image, mask, (40, 40))
    flags, border = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101
    expected = cv2.warpAffine(image, matrix, (40, 40), flags=flags, borderMode=border)
    assert np.abs(window.astype(int) - expected).max() <= 1
    beyond = cv2.warpAffine(
        mask, matrix, (40, 40), flags=cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT, borderValue=255
    )
    assert (labels != beyond).mean() < 0.01
    if all(30 < place < 170 for place in (x, y)) and zoom > 1.9:
        assert (rows.stop - rows.start) * (columns.stop - columns.start) < 60 * 60


def mosaic(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two tiled TIFFs of one place, in train and val; the image has a gap."""
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (*SHAPE, 3), np.uint8), (0, 0), 2)
    mask = (cv2.GaussianBlur(image[..., 0], (0, 0), 9) > 127).astype(np.uint8)
    image[:100, :120] = 0
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    tiff(np.maximum(image, 1) * (image.max(axis=2, keepdims=True) > 0), photometric="RGB", nodata=0, **TILES)(
        root / "images/a.tif"
    )
    tiff(mask[..., None], **TILES)(root / "masks/a.tif")
    (root / "pairs.csv").write_text("image,mask,split\nimages/a.tif,masks/a.tif,train\nimages/a.tif,masks/a.tif,val\n")
    return image, mask


def settings(root: Path, **changes: Any) -> Config:
    classes = {"dark": "0", "bright": "1", "green": "2"}
    folder = FolderConfig(pairs="pairs.csv", classes=classes)
    data = DataConfig(name="folder", root=str(root), folder=folder, input_size=(64, 64), **changes)
    return Config(data=data)


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LARGE_PIXELS", 10_000)


def no_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileDataset, "read", lambda _self, sample: pytest.fail(f"read {sample.name} as a whole"))


@pytest.mark.parametrize("cache_dir", ["", "cache"])
def test_a_large_pair_gives_the_same_windows_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_dir: str
) -> None:
    mosaic(tmp_path)
    config = settings(tmp_path, cache_dir=str(tmp_path / cache_dir) if cache_dir else "")
    whole = windows_of(list_dataset(config.data), config, CHANGES).drawn_by_class(0.5, num_classes=3)
    expected = [whole.window(0, epoch=1, position=position) for position in range(30)]
    counts = whole.class_counts(3)
    monkeypatch.setattr(opening, "LARGE_PIXELS", 10_000)
    no_whole(monkeypatch)
    source = windows_of(open_prepared(config.data), config, CHANGES).drawn_by_class(0.5, num_classes=3)
    source.preload()
    for position, (image, labels) in enumerate(expected):
        window = source.window(0, epoch=1, position=position)
        np.testing.assert_array_equal(window[0], image)
        np.testing.assert_array_equal(window[1], labels)
    np.testing.assert_array_equal(source.class_counts(3), counts)
    np.testing.assert_array_equal(source.windows_per_pair(), whole.windows_per_pair())


def test_a_large_pair_is_checked_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mosaic(tmp_path)
    config = settings(tmp_path)
    expected = check_dataset(list_dataset(config.data))
    monkeypatch.setattr(opening, "LARGE_PIXELS", 10_000)
    no_whole(monkeypatch)
    assert check_dataset(list_dataset(config.data)) == expected
    assert expected.splits["train"].ignored == 100 * 120


def bright(images: np.ndarray) -> np.ndarray:
    red = images[..., 0].astype(np.int16)
    return np.stack([127 - red, red - 128, np.full_like(red, -300)], axis=-1)


def test_a_large_pair_is_scored_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mosaic(tmp_path)
    dataset = list_dataset(settings(tmp_path).data)
    predictor = TiledPredictor(bright, PALETTE, input_size=(64, 64), overlap=16)
    whole = evaluate(predictor, dataset, "val")
    monkeypatch.setattr(opening, "LARGE_PIXELS", 10_000)
    monkeypatch.setattr(parts, "BLOCK_PX", 250)
    no_whole(monkeypatch)
    parted = evaluate(predictor, dataset, "val")
    assert (parted.confusion, parted.images, parted.data_sha256) == (whole.confusion, 1, whole.data_sha256)
    np.testing.assert_array_equal(parted.image_confusions, whole.image_confusions)


@pytest.mark.usefixtures("in_parts")
def test_a_mask_of_another_size_is_told_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mosaic(tmp_path)
    tiff(np.zeros((300, 300, 1), np.uint8), **TILES)(tmp_path / "masks/a.tif")
    dataset = list_dataset(settings(tmp_path).data)
    no_whole(monkeypatch)
    with pytest.raises(DataError, match=r"700×600 pixels but its mask .* is 300×300"):
        dataset.size_in_parts(dataset.samples("train")[0])


@pytest.mark.usefixtures("in_parts")
def test_a_sheet_shows_the_middle_of_a_large_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = mosaic(tmp_path)
    monkeypatch.setattr(parts, "BLOCK_PX", 200)
    dataset = list_dataset(settings(tmp_path).data)
    no_whole(monkeypatch)
    pixels, labels = parts.read_some(dataset, dataset.samples("train")[0])
    np.testing.assert_array_equal(pixels, image[200:400, 250:450])
    assert labels.shape == (200, 200)
    assert contact_sheet(dataset, "train", count=1, cell=64).shape[2] == 3


@pytest.mark.usefixtures("in_parts")
def test_a_large_image_without_labels_is_checked_in_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mosaic(tmp_path)
    with (tmp_path / "pairs.csv").open("a") as stream:
        stream.write("images/b.tif,,test\n")
    tiff(np.full((*SHAPE, 3), 7, np.uint8), photometric="RGB", **TILES)(tmp_path / "images/b.tif")
    monkeypatch.setattr(FileDataset, "read_image", lambda _self, sample: pytest.fail(f"read {sample.name} as a whole"))
    report = check_dataset(list_dataset(settings(tmp_path).data))
    assert (report.splits["test"].sizes, report.splits["test"].labeled) == (("700×600",), 0)
    whole = (tmp_path / "images/b.tif").read_bytes()
    (tmp_path / "images/b.tif").write_bytes(whole.replace(whole[-400:-300], bytes(100)))
    assert any("b.tif" in problem.message for problem in check_dataset(list_dataset(settings(tmp_path).data)).problems)


_DRAWS = """
import resource, sys
from rsseg_tf.config import AugmentConfig, Config, DataConfig, FolderConfig
from rsseg_tf.datasets.catalog import list_dataset
from rsseg_tf.steps.shared.training_data import windows_of
folder = FolderConfig(pairs="pairs.csv", classes={"ground": "0"})
config = Config(data=DataConfig(name="folder", root=sys.argv[1], folder=folder, input_size=(512, 512)))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
source = windows_of(list_dataset(config.data), config, AugmentConfig(rotate_deg=20, scale=(0.5, 2)))
before = peak()
source.preload()
drawn = [source.window(0, epoch=0, position=position) for position in range(60)]
assert all(image.shape == (512, 512, 3) for image, _ in drawn)
print(source.windows_per_pair().tolist(), peak() - before)
"""


@pytest.mark.slow
def test_windows_of_a_mosaic_of_sixty_thousand_pixels_a_side_take_little_memory(tmp_path: Path) -> None:
    side = 60_000
    for name, bands in (("image.tif", 3), ("mask.tif", 1)):
        shape = {"count": bands, "height": side, "width": side, "dtype": "uint8", "sparse_ok": True}
        tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "bigtiff": "yes"}
        rasterio.open(tmp_path / name, "w", driver="GTiff", **UTM, **shape, **tiles).close()
    (tmp_path / "pairs.csv").write_text("image,mask,split\nimage.tif,mask.tif,train\n")
    done = subprocess.run([sys.executable, "-c", _DRAWS, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    windows, mebibytes = done.stdout.split()
    assert windows == f"[{round((side / 512) ** 2)}]"
    assert int(mebibytes) < 300
