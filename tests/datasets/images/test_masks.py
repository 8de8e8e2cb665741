import cv2
import numpy as np
import pytest

from rsseg_tf.datasets import write_image
from rsseg_tf.datasets.images import masks
from rsseg_tf.datasets.images.masks import ColorMasks, IndexMasks
from rsseg_tf.datasets.palette import ColorTable
from rsseg_tf.errors import DataError

ROAD, ROOF, STRANGE = (1, 2, 3), (250, 0, 0), (0x12, 0xAB, 0xFF)


def colored(tmp_path, *colors):
    path = tmp_path / "mask.png"
    write_image(path, np.uint8([colors]))
    return path


def test_colors_become_ids(tmp_path):
    masks = ColorMasks(ColorTable({ROAD: 0, ROOF: 1, STRANGE: 255}))
    assert masks.read(colored(tmp_path, ROOF, ROAD, STRANGE)).tolist() == [[1, 0, 255]]


def test_every_unknown_color_is_named_with_its_pixels_and_the_file(tmp_path):
    path = colored(tmp_path, STRANGE, ROAD, ROOF, STRANGE)
    with pytest.raises(DataError) as caught:
        ColorMasks(ColorTable({ROAD: 0})).read(path)
    expected = f"`{path}` holds colors outside the palette: #12ABFF (2 pixels), #FA0000 (1 pixels)"
    assert caught.value.message == expected
    assert "data.unknown_colors=ignore" in caught.value.hint


def test_a_mask_with_very_many_colors_lists_the_first_eight(tmp_path):
    path = colored(tmp_path, *[(index, 0, 0) for index in range(40)])
    with pytest.raises(DataError, match=r"and 32 more\n"):
        ColorMasks(ColorTable({ROAD: 0})).read(path)


def test_unknown_colors_can_be_ignored(tmp_path):
    masks = ColorMasks(ColorTable({ROAD: 0}), ignore_unknown=True)
    assert masks.read(colored(tmp_path, STRANGE, ROAD)).tolist() == [[255, 0]]


def numbered(tmp_path, *numbers):
    path = tmp_path / "mask.png"
    write_image(path, np.uint8([numbers]))
    return path


def test_numbers_become_ids_and_255_is_ignored(tmp_path):
    assert IndexMasks({1: 0, 7: 1, 0: 255}).read(numbered(tmp_path, 0, 1, 7, 255)).tolist() == [[255, 0, 1, 255]]


def test_a_class_may_be_number_255(tmp_path):
    assert IndexMasks({0: 0, 255: 1}).read(numbered(tmp_path, 0, 255)).tolist() == [[0, 1]]


def test_every_unknown_number_is_named_with_its_pixels(tmp_path):
    with pytest.raises(DataError, match=r"numbers that are not classes: 9 \(2 pixels\), 4 \(1 pixels\)"):
        IndexMasks({0: 0}).read(numbered(tmp_path, 4, 9, 0, 9))


def test_unknown_numbers_can_be_ignored(tmp_path):
    assert IndexMasks({0: 0}, ignore_unknown=True).read(numbered(tmp_path, 4, 0)).tolist() == [[255, 0]]


def test_a_16_bit_mask_of_colors_is_not_to_be_scaled(tmp_path):
    path = tmp_path / "mask.tif"
    cv2.imencode(".tif", np.full((4, 4), 3, np.uint16))[1].tofile(path)
    with pytest.raises(DataError, match="uint16 pixels, expected 8 bits") as caught:
        ColorMasks(ColorTable({ROAD: 0})).read(path)
    assert "-scale" not in caught.value.hint
    assert "rio convert" in caught.value.hint


def test_many_pixels_are_counted_as_few_are(tmp_path, monkeypatch):
    path = tmp_path / "mask.png"
    write_image(path, np.random.default_rng(0).integers(0, 9, (30, 50), dtype=np.uint8))
    with pytest.raises(DataError) as few:
        IndexMasks({0: 0, 1: 1}).read(path)
    monkeypatch.setattr(masks, "COUNTED_AT_ONCE", 7)
    with pytest.raises(DataError) as many:
        IndexMasks({0: 0, 1: 1}).read(path)

    assert many.value.message == few.value.message


def test_a_file_that_does_not_fit_into_memory_is_named(tmp_path):
    path = tmp_path / "vast.vrt"
    band = '<VRTRasterBand dataType="Byte" band="1"/>'
    path.write_text(f'<VRTDataset rasterXSize="2000000000" rasterYSize="2000000000">{band}</VRTDataset>')

    with pytest.raises(DataError, match=r"vast\.vrt` does not fit into the memory"):
        IndexMasks({0: 0}).read(path)
