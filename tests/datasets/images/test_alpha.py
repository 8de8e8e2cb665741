"""A fourth band: nothing to see there, or near infrared."""

from __future__ import annotations

from pathlib import Path

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
