from pathlib import Path

import numpy as np
import pytest

from rsseg_tf.config import ScenesConfig
from rsseg_tf.datasets.palette import Palette, distinct_colors
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.datasets.scenes.dataset import Scenes
from rsseg_tf.datasets.sheet import caption, contact_sheet, legend, overlay
from rsseg_tf.errors import DataError

PALETTE = Palette(("a", "b"), ((200, 0, 0), (0, 0, 200)))
SCENES = Scenes(ScenesConfig(train=5, val=0, test=0, size=64))


def test_a_sheet_has_a_row_a_sample_of_image_mask_and_overlay():
    sheet = contact_sheet(SCENES, "train", count=2, cell=64)
    image, mask = SCENES.read(SCENES.samples("train")[0])
    np.testing.assert_array_equal(sheet[4:68, 4:68], image)
    np.testing.assert_array_equal(sheet[4:68, 72:136], SCENES.palette.colorize(mask))
    np.testing.assert_array_equal(sheet[4:68, 140:204], overlay(image, mask, SCENES.palette))
    last, _ = SCENES.read(SCENES.samples("train")[-1])
    np.testing.assert_array_equal(sheet[90:154, 4:68], last)


def test_every_row_names_its_file():
    sheet = contact_sheet(SCENES, "train", count=2, cell=64)
    samples = SCENES.samples("train")
    for top, sample in ((68, samples[0]), (154, samples[-1])):
        np.testing.assert_array_equal(sheet[top : top + 18], caption(sample, sheet.shape[1]))
    assert (caption(samples[0], 200) != caption(samples[1], 200)).any()


def test_a_long_name_keeps_its_end():
    def drawn(name):
        return caption(Sample(name, Path(f"{name}.jpg"), None), 170)

    long = "a/very/long/path/of/folders/to/DJI_0012"
    np.testing.assert_array_equal(drawn(long), drawn(f"more/{long}"))
    assert (drawn(long) != drawn(long.replace("12", "13"))).any()
    assert (drawn(long)[:, -4:] == drawn("x")[:, -4:]).all()


def test_a_sheet_shows_no_sample_twice():
    few = contact_sheet(SCENES, "train", count=5, cell=64)
    np.testing.assert_array_equal(contact_sheet(SCENES, "train", count=100, cell=64), few)


def test_an_absent_split_is_an_error():
    with pytest.raises(DataError, match="no split `test`"):
        contact_sheet(SCENES, "test", count=1)


def test_an_overlay_leaves_ignored_pixels_alone():
    image = np.full((1, 2, 3), 100, np.uint8)
    tinted = overlay(image, np.uint8([[0, 255]]), PALETTE)
    assert tinted[0, 1].tolist() == [100, 100, 100]
    assert tinted[0, 0, 0] > tinted[0, 0, 1]


@pytest.mark.parametrize("count", [1, 6, 40])
def test_a_legend_holds_a_swatch_of_every_class(count):
    palette = Palette(tuple(f"Straße {index}" for index in range(count)), distinct_colors(count))
    shown = {tuple(pixel) for pixel in legend(palette, 400).reshape(-1, 3).tolist()}
    assert set(palette.colors) <= shown


def test_a_sheet_shows_the_first_three_bands():
    class Wide(Scenes):
        def read(self, sample):
            image, mask = super().read(sample)
            return np.dstack([image, 255 - image]), mask

    wide = contact_sheet(Wide(ScenesConfig(train=5, val=0, test=0, size=64)), "train", count=2, cell=32)
    np.testing.assert_array_equal(wide, contact_sheet(SCENES, "train", count=2, cell=32))
