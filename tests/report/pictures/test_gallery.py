import base64

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rsseg_tf.datasets.palette import Palette
from rsseg_tf.report.pictures.gallery import Gallery, place_facts

PALETTE = Palette(("land", "sea", "ice"), ((200, 100, 0), (0, 0, 250), (9, 9, 9)))
SHAPE = (7, 9)
MASKS = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2]))
TRUTHS = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 255]))
IMAGE = np.zeros((*SHAPE, 3), np.uint8)


@settings(max_examples=30)
@given(TRUTHS, MASKS, MASKS, MASKS, st.integers(1, 12))
def test_no_other_window_has_more_disagreement(truth, first, second, third, size):
    gallery = Gallery(1, window_px=size)
    gallery.watch("a", IMAGE, truth, [first, second, third])
    (place,) = gallery.places
    height, width = min(size, SHAPE[0]), min(size, SHAPE[1])
    split = ((first != second) | (first != third)) & (truth != 255)
    shares = [
        split[top : top + height, left : left + width].mean()
        for top in range(SHAPE[0] - height + 1)
        for left in range(SHAPE[1] - width + 1)
    ]
    assert place.disagreement == pytest.approx(max(shares))
    window = np.s_[place.top : place.top + height, place.left : place.left + width]
    assert split[window].mean() == pytest.approx(max(shares))
    np.testing.assert_array_equal(place.predictions[1], second[window])


def test_the_images_with_most_disagreement_are_kept_most_first():
    gallery = Gallery(2)
    flat = np.zeros(SHAPE, np.uint8)
    for name, wrong in (("few", 3), ("most", 40), ("none", 0), ("many", 20)):
        other = flat.copy()
        other.flat[:wrong] = 1
        gallery.watch(name, IMAGE, flat, [flat, other])
    assert [place.name for place in gallery.places] == ["most", "many"]


def test_a_single_model_is_shown_where_it_is_most_wrong():
    truth, prediction = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    prediction[4, 6] = 2
    gallery = Gallery(1, window_px=1)
    gallery.watch("a", IMAGE, truth, [prediction])
    assert [(place.top, place.left) for place in gallery.places] == [(4, 6)]


def test_pictures_have_the_colors_of_the_classes_and_are_clear_where_ignored():
    truth, prediction = np.zeros(SHAPE, np.uint8), np.full(SHAPE, 1, np.uint8)
    truth[0] = 255
    gallery = Gallery(1)
    gallery.watch("a", IMAGE, truth, [prediction, prediction])
    facts = place_facts(gallery.places[0], PALETTE, ["dense", "int8"])
    assert facts["differ"] == pytest.approx(
        {"ground truth|dense": 600 / 7, "ground truth|int8": 600 / 7, "dense|int8": 0}
    )
    data = base64.b64decode(facts["masks"][0]["url"].partition(",")[2])
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (pixels[0, :, 3] == 0).all()
    assert (pixels[1:] == (0, 100, 200, 255)).all()


@pytest.mark.parametrize(("count", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (6, [0, 1, 2])])
def test_people_see_the_first_three_bands(count, shown):
    gallery, flat = Gallery(1), np.zeros(SHAPE, np.uint8)
    image = np.random.default_rng(0).integers(0, 256, (*SHAPE, count), dtype=np.uint8)
    gallery.watch("a", image, flat, [flat])
    np.testing.assert_array_equal(gallery.places[0].image, image[..., shown])
    place_facts(gallery.places[0], PALETTE, ["one"])
