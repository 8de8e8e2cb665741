import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.config import AugmentConfig
from rsseg_tf.training.augment import Framing, random_window

STILL = AugmentConfig(flip_horizontal=False, translate_px=0)


def picture(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 5, (height, width), dtype=np.uint8)
    return np.repeat(mask[..., None] * 40, 3, axis=2), mask


def window(image, mask, settings, *, size, crop=True, around=None, seed=0):
    framing = Framing(size, crop, around)
    return random_window(image, mask, settings, framing=framing, rng=np.random.default_rng(seed))


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


@given(height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 99), flip=st.booleans())
def test_a_window_holds_the_images_own_pixels_whatever_its_size(height, width, seed, flip):
    image, mask = picture(height, width)
    settings = AugmentConfig(flip_horizontal=flip, flip_vertical=flip, translate_px=0)

    pixels, labels = window(image, mask, settings, size=(32, 32), seed=seed)

    inside = labels != 255
    assert inside.sum() == min(height, 32) * min(width, 32)
    np.testing.assert_array_equal(pixels[..., 0][inside], labels[inside] * 40)


def test_crops_reach_every_corner():
    image, mask = picture(20, 20)
    found = {"top left": False, "bottom right": False}
    for seed in range(400):
        _, labels = window(image, mask, STILL, size=(16, 16), seed=seed)
        found["top left"] |= np.array_equal(labels, mask[:16, :16])
        found["bottom right"] |= np.array_equal(labels, mask[4:, 4:])

    assert all(found.values())


def test_beyond_the_border_nothing_is_labeled():
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


def test_color_changes_leave_the_mask_alone():
    image, mask = picture(32, 32)

    pixels, labels = window(image, mask, AugmentConfig(flip_horizontal=False, translate_px=0, color=0.3), size=(32, 32))

    assert (pixels != image).any()
    np.testing.assert_array_equal(labels, mask)


@given(
    seed=st.integers(0, 2**32 - 1),
    row=st.integers(0, 39),
    column=st.integers(0, 49),
    zoom=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_a_window_around_a_pixel_holds_it(seed, row, column, zoom):
    image, mask = picture(40, 50)
    mask[:] = 0
    mask[row, column] = 1
    settings = AugmentConfig(translate_px=0, scale=(zoom, zoom))

    _, labels = window(image, mask, settings, size=(16, 16), around=(row, column), seed=seed)

    if zoom >= 1:  # a window that shrinks the picture leaves pixels out
        assert (labels == 1).any()
    assert (labels != 255).all() or zoom < 1


def test_windows_around_a_pixel_lie_in_more_places_than_one():
    image, mask = picture(60, 60)
    seen = {window(image, mask, STILL, size=(16, 16), around=(30, 30), seed=seed)[1].tobytes() for seed in range(40)}

    assert len(seen) > 20


def test_blur_keeps_the_mask_and_lowers_the_contrast_of_half_of_the_windows():
    image, mask = picture(32, 32)
    settings = AugmentConfig(flip_horizontal=False, translate_px=0, blur_px=3.0)
    windows = [window(image, mask, settings, size=(32, 32), seed=seed) for seed in range(40)]
    blurred = [pixels.std() < image.std() - 1 for pixels, _ in windows]

    assert 10 <= sum(blurred) <= 30
    assert all(np.array_equal(labels, mask) for _, labels in windows)


def test_noise_is_as_strong_as_it_says():
    image = np.full((64, 64, 3), 128, np.uint8)
    settings = AugmentConfig(flip_horizontal=False, translate_px=0, noise=10.0)
    spread = [
        window(image, image[..., 0], settings, size=(64, 64), seed=seed)[0].astype(float).std() for seed in range(40)
    ]

    assert 8 < max(spread) < 10.5
    assert min(spread) < 2


def test_what_is_erased_has_no_label_and_the_rest_keeps_its_own():
    image, mask = picture(40, 40)
    settings = AugmentConfig(flip_horizontal=False, translate_px=0, erase=0.5)
    windows = [window(image, mask, settings, size=(40, 40), seed=seed) for seed in range(40)]
    shares = [(labels == 255).mean() for _, labels in windows]

    assert 8 <= sum(share > 0 for share in shares) <= 30
    assert max(shares) <= 0.25
    for pixels, labels in windows:
        kept = labels != 255
        np.testing.assert_array_equal(labels[kept], mask[kept])
        np.testing.assert_array_equal(pixels[kept], image[kept])
        assert len(np.unique(pixels[~kept], axis=0)) <= 1


def test_options_that_are_off_draw_nothing():
    image, mask = picture(40, 40)
    plain = AugmentConfig(color=0.2, scale=(0.8, 1.2))
    louder = AugmentConfig(color=0.2, scale=(0.8, 1.2), noise=1e-9)

    for one, other in zip(*(window(image, mask, s, size=(16, 16), seed=3) for s in (plain, louder)), strict=True):
        np.testing.assert_array_equal(one, other)


GEOMETRY = AugmentConfig(flip_horizontal=True, rotate_deg=40, scale=(0.7, 1.4), blur_px=2)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 16))
def test_every_band_moves_as_it_would_alone(seed, count):
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(0, 256, (30, 40, count), dtype=np.uint8), rng.integers(0, 5, (30, 40), dtype=np.uint8)

    pixels, labels = window(image, mask, GEOMETRY, size=(16, 24), seed=seed)

    assert pixels.shape == (16, 24, count)
    for band in range(count):
        alone, as_before = window(np.repeat(image[..., [band]], 3, axis=2), mask, GEOMETRY, size=(16, 24), seed=seed)
        np.testing.assert_array_equal(pixels[..., band], alone[..., 0])
        np.testing.assert_array_equal(labels, as_before)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 16))
def test_changes_of_color_are_of_what_people_see_alone(seed, count):
    image, mask = (
        np.random.default_rng(seed).integers(0, 256, (8, 8, count), dtype=np.uint8),
        np.zeros((8, 8), np.uint8),
    )
    colored = AugmentConfig(flip_horizontal=False, translate_px=0, color=0.5)
    seen = min(count, 3) if count != 2 else 1

    pixels, _ = window(image, mask, colored, size=(8, 8), seed=seed)

    np.testing.assert_array_equal(pixels[..., seen:], image[..., seen:])
    assert (pixels[..., :seen] != image[..., :seen]).any()
    if count >= 3:
        np.testing.assert_array_equal(pixels[..., :3], window(image[..., :3], mask, colored, size=(8, 8), seed=seed)[0])
