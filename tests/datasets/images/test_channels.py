"""Laws of pictures of any number of bands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.config import load_config
from rsseg_tf.datasets.images.channels import Channels, visible
from rsseg_tf.datasets.images.pixels import read_image
from rsseg_tf.datasets.images.resize import resized_image
from rsseg_tf.errors import ConfigError, DataError
from tests.datasets.images.formats import tiff

counts = st.integers(1, 16)


def bands(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (20, 30, count), dtype=np.uint8)


@given(counts, st.sampled_from([(9, 11), (41, 67), (20, 31)]))
def test_every_band_is_resized_as_it_would_be_alone(count: int, size: tuple[int, int]) -> None:
    image = bands(count)
    resized = resized_image(image, size)
    assert resized.shape == (*size, count)
    for band in range(count):
        alone = resized_image(np.repeat(image[..., [band]], 3, axis=2), size)
        np.testing.assert_array_equal(resized[..., band], alone[..., 0])


@given(counts)
def test_people_see_the_first_three_bands_or_a_gray_one(count: int) -> None:
    image = bands(count)
    expected = image[..., :3] if count >= 3 else np.repeat(image[..., :1], 3, axis=2)
    np.testing.assert_array_equal(visible(image), expected)


@given(counts)
def test_two_numbers_are_the_range_of_every_band(count: int) -> None:
    numbers = tuple(range(1, count + 1))
    assert Channels(numbers, (0, 4000)).ranges(count) == Channels(numbers, (0, 4000) * count).ranges(count)
    assert Channels(numbers).ranges(count) == ()
    assert Channels().over(Channels(numbers, (5, 9))) == Channels(numbers, (5, 9))
    assert Channels(numbers).count == count


@pytest.mark.parametrize(
    ("numbers", "scale", "words"),
    [
        ((0, 1), None, "1 to 16 band numbers"),
        (tuple(range(1, 18)), None, "1 to 16 band numbers"),
        ((1, 2, 3, 4), (0.0, 1.0, 0.0), "ascending"),
        ((1, 2, 3, 4), (0.0, 1.0, 5.0, 5.0), "ascending"),
        ((1, 2, 3, 4), (0.0, 1.0) * 3, "6 numbers for 4 bands"),
    ],
)
def test_senseless_channels_are_refused(numbers: tuple[int, ...], scale: tuple[float, ...] | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Channels(numbers, scale)


@pytest.mark.parametrize("nodata", [None, 0])
@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.float32])
def test_the_scale_that_an_error_suggests_shows_most_numbers_of_each_band(
    tmp_path: Path, kind: type, nodata: int | None
) -> None:
    values = np.random.default_rng(0).normal((300, 900, 2000, 5000), (10, 200, 300, 1500), (60, 80, 4)).clip(1)
    stored = (values / (1 if kind is not np.float32 else 10_000)).astype(kind)
    stored[:20] = stored[:20] if nodata is None else nodata
    tiff(stored, nodata=nodata)(tmp_path / "a.tif")
    with pytest.raises(DataError, match="expected 8 bits") as caught:
        read_image(tmp_path / "a.tif", channels=Channels((1, 2, 3, 4)))
    (word,) = re.findall(r"data\.scale=\S+", caught.value.hint)
    data = load_config(overrides=["data.name=folder", "data.bands=[1,2,3,4]", word]).data
    levels = read_image(tmp_path / "a.tif", channels=Channels.of(data.bands, data.scale))[20:]
    for band in range(4):
        assert np.mean((levels[..., band] > 0) & (levels[..., band] < 255)) == pytest.approx(0.98, abs=0.015)
