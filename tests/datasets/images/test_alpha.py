"""A fourth band: nothing to see there, or near infrared."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from rsseg_tf.datasets.images.channels import AS_THEY_ARE, Channels
from rsseg_tf.datasets.images.picture import open_picture
from rsseg_tf.errors import DataError
from tests.datasets.images.formats import tiff

SHAPE = (64, 80)
COLORS = np.random.default_rng(1).integers(1, 256, (*SHAPE, 3), np.uint8)
WATER = np.arange(SHAPE[1]) < 30
"""Where water swallows all near infrared."""
WATER_ROWS = slice(0, 5)


def seen(path: Path, band: np.ndarray, channels: Channels = AS_THEY_ARE, **profile: object) -> np.ndarray | None:
    """Where a file with this fourth band holds data; None for everywhere."""
    planes = np.dstack([COLORS, np.broadcast_to(band, SHAPE).astype(np.uint8)])
    tiff(planes, photometric="RGB", alpha="yes", **profile)(path)
    with open_picture(path, channels) as picture:
        pixels, valid = picture.read()
    if not profile:
        np.testing.assert_array_equal(pixels, COLORS)
    return valid


@pytest.mark.parametrize("bands", [(), (1, 2, 3)])
def test_where_alpha_is_nothing_there_is_no_data_and_near_infrared_says_nothing_about_it(
    tmp_path: Path, bands: tuple[int, ...]
) -> None:
    channels = Channels(bands)
    infrared = np.random.default_rng(0).integers(30, 200, SHAPE)
    np.testing.assert_array_equal(
        seen(tmp_path / "a.tif", np.where(WATER, 0, 255), channels), np.broadcast_to(~WATER, SHAPE)
    )
    assert seen(tmp_path / "b.tif", np.where(WATER, 0, infrared), channels) is None
    assert seen(tmp_path / "c.tif", np.full(SHAPE, 3), channels) is None  # a lake and nothing else
    empty = seen(tmp_path / "d.tif", np.zeros(SHAPE), channels)
    assert empty is not None
    assert not empty.any()


def test_a_band_that_may_be_either_is_refused_until_somebody_says_which_bands_are_colors(tmp_path: Path) -> None:
    either = np.where(np.arange(SHAPE[1]) < 60, 255, 100)
    with pytest.raises(DataError, match="25% of it is neither 0 nor full") as caught:
        seen(tmp_path / "a.tif", either)
    assert "data.bands=[1,2,3]" in caught.value.hint
    assert seen(tmp_path / "b.tif", either, Channels((1, 2, 3))) is None


def test_a_band_that_is_shown_is_no_alpha(tmp_path: Path) -> None:
    planes = np.dstack([COLORS, np.broadcast_to(np.where(WATER, 0, 255), SHAPE).astype(np.uint8)])
    tiff(planes, photometric="RGB", alpha="yes")(tmp_path / "a.tif")
    with open_picture(tmp_path / "a.tif", Channels((4, 1, 2))) as picture:
        pixels, valid = picture.read()
    assert valid is None
    np.testing.assert_array_equal(pixels, planes[..., [3, 0, 1]])


def test_alpha_that_jpeg_has_blurred_is_cut_at_its_middle(tmp_path: Path) -> None:
    solid = np.zeros(SHAPE, np.uint8)
    cv2.circle(solid, (40, 32), 25, 255, cv2.FILLED)
    path = tmp_path / "a.tif"
    valid = seen(path, solid, compress="jpeg", JPEG_QUALITY=75)
    assert valid is not None
    assert (valid != (solid > 0)).mean() < 0.005
    with open_picture(path, Channels((4, 4, 4))) as picture:
        blurred = picture.read()[0][..., 0]
    assert ((blurred > 0) != (solid > 0)).mean() > 0.02  # what any value above 0 would make of it


def test_gray_with_a_band_that_is_not_its_alpha_has_no_colors_of_its_own(tmp_path: Path) -> None:
    tiff(COLORS[..., :2], alpha="yes")(tmp_path / "a.tif")
    with pytest.raises(DataError, match="2 bands"), open_picture(tmp_path / "a.tif"):
        pass


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32])
def test_values_are_scaled_one_way_whatever_their_type(tmp_path: Path, kind: type) -> None:
    limits = (-120, 120) if kind is np.int8 else (0, 255) if kind is np.uint8 else (-2000, 30_000)
    low, high = (max(limits[0], 0), limits[1]) if np.dtype(kind).kind == "u" else limits
    values = np.random.default_rng(0).integers(low, high, (*SHAPE, 3)).astype(kind)
    tiff(values, photometric="RGB")(tmp_path / "a.tif")
    with open_picture(tmp_path / "a.tif", Channels(scale=(low / 2 + 3, high / 2))) as picture:
        seen = picture.read()[0]
    exact = (values.astype(np.float64) - (low / 2 + 3)) / (high / 2 - low / 2 - 3) * 255
    assert np.abs(seen - np.clip(exact, 0, 255)).max() <= 0.5001
    assert len(np.unique(seen)) > 100


@pytest.mark.parametrize("nodata", [None, np.nan, -9999.0])
def test_what_is_not_a_number_is_no_data(tmp_path: Path, nodata: float | None) -> None:
    values = COLORS.astype(np.float32)
    values[WATER_ROWS] = np.nan if nodata is None else nodata
    values[20, 3, 1] = np.nan  # the other bands are there
    tiff(values, photometric="RGB", nodata=nodata)(tmp_path / "a.tif")
    with open_picture(tmp_path / "a.tif", Channels(scale=(0, 255))) as picture:
        pixels, valid = picture.read()
    assert valid is not None
    np.testing.assert_array_equal(~valid, np.broadcast_to(np.arange(SHAPE[0])[:, None] < 5, SHAPE))
    assert pixels[20, 3].tolist() == [COLORS[20, 3, 0], 0, COLORS[20, 3, 2]]


@pytest.mark.parametrize("nodata", [-9999, 300, 0.5])
def test_a_number_for_nothing_that_no_pixel_can_hold_takes_nothing_away(tmp_path: Path, nodata: float) -> None:
    written = ElementTree.Element("VRTDataset", rasterXSize=str(SHAPE[1]), rasterYSize=str(SHAPE[0]))
    tiff(COLORS, photometric="RGB")(tmp_path / "a.tif")
    for number, color in enumerate(("Red", "Green", "Blue"), start=1):
        band = ElementTree.SubElement(written, "VRTRasterBand", dataType="Byte", band=str(number))
        ElementTree.SubElement(band, "ColorInterp").text = color
        ElementTree.SubElement(band, "NoDataValue").text = str(nodata)
        source = ElementTree.SubElement(band, "SimpleSource")
        ElementTree.SubElement(source, "SourceFilename", relativeToVRT="1").text = "a.tif"
        ElementTree.SubElement(source, "SourceBand").text = str(number)
    (tmp_path / "a.vrt").write_bytes(ElementTree.tostring(written))
    with open_picture(tmp_path / "a.vrt") as picture:
        pixels, valid = picture.read()
    assert valid is None
    np.testing.assert_array_equal(pixels, COLORS)
