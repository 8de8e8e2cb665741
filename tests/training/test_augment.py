import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.settings import AugmentConfig
from rsseg_tf.training.augment import random_window

STILL = AugmentConfig(flip_horizontal=False, translate_px=0)


def picture(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 5, (height, width), dtype=np.uint8)
    return np.repeat(mask[..., None] * 40, 3, axis=2), mask


def window(image, mask, settings, *, size, crop=True, seed=0):
    return random_window(image, mask, settings, size=size, crop=crop, rng=np.random.default_rng(seed))


@given(seed=st.integers(0, 2**32 - 1), flip=st.booleans(), shift=st.integers(0, 10))
def test_image_and_mask_always_move_together(seed, flip, shift):
    image, mask = picture(40, 50)
    settings = AugmentConfig(flip_horizontal=flip, flip_vertical=flip, translate_px=shift)

    pixels, labels = window(image, mask, settings, size=(16, 24), seed=seed)

    inside = labels != 255
    np.testing.assert_array_equal(pixels[..., 0][inside], labels[inside] * 40)
    assert pixels.shape == (16, 24, 3)


def test_without_changes_the_whole_image_is_itself():
    image, mask = picture(20, 30)

    pixels, labels = window(image, mask, STILL, size=(20, 30))

    np.testing.assert_array_equal(pixels, image)
    np.testing.assert_array_equal(labels, mask)


def test_crops_reach_every_corner():
    image, mask = picture(20, 20)
    found = {"top left": False, "bottom right": False}
    for seed in range(400):
        _, labels = window(image, mask, STILL, size=(16, 16), seed=seed)
        found["top left"] |= np.array_equal(labels, mask[:16, :16])
        found["bottom right"] |= np.array_equal(labels, mask[4:, 4:])

    assert all(found.values())


def test_beyond_the_border_nothing_is_labelled():
    image, mask = picture(10, 10)

    _, labels = window(image, mask, STILL, size=(20, 20))

    assert (labels != 255).sum() == 100


def test_translation_stays_within_its_limit():
    image, mask = picture(64, 64)
    shifts = set()
    for seed in range(300):
        _, labels = window(
            image, mask, AugmentConfig(flip_horizontal=False, translate_px=2), size=(64, 64), crop=False, seed=seed
        )
        rows, columns = np.nonzero(labels != 255)
        shifts.add((64 - np.ptp(rows) - 1, 64 - np.ptp(columns) - 1))

    assert max(max(shift) for shift in shifts) == 2
    assert (0, 0) in shifts


def test_zoom_keeps_the_area_of_a_square():
    image = np.zeros((128, 128, 3), np.uint8)
    mask = np.zeros((128, 128), np.uint8)
    mask[48:80, 48:80] = 1
    settings = AugmentConfig(flip_horizontal=False, translate_px=0, scale=(2.0, 2.0), rotate_deg=180)

    _, labels = window(image, mask, settings, size=(128, 128), crop=False)

    assert abs((labels == 1).sum() - 64 * 64) < 300


def test_colour_changes_leave_the_mask_alone():
    image, mask = picture(32, 32)

    pixels, labels = window(image, mask, AugmentConfig(flip_horizontal=False, translate_px=0, color=0.3), size=(32, 32))

    assert (pixels != image).any()
    np.testing.assert_array_equal(labels, mask)
