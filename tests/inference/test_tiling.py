from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.lib.stride_tricks import sliding_window_view

from rsseg_tf.errors import ConfigError
from rsseg_tf.inference.blending import (
    best_class,
    best_in,
    blend_weights,
    blended,
    predict_classes,
    scored,
    strips_of,
)
from rsseg_tf.inference.tiling import Infer, TileGrid
from tests.tflite.networks import frame

sides = st.integers(1, 40)


@st.composite
def tilings(draw: st.DrawFn) -> tuple[int, int, tuple[int, int], int]:
    size = draw(st.tuples(st.integers(1, 16), st.integers(1, 16)))
    return draw(sides), draw(sides), size, draw(st.integers(0, min(size) - 1))


def pointwise(images: np.ndarray) -> np.ndarray:
    """Whole-number scores of five classes that depend on nothing but the pixel."""
    red, green, blue = np.moveaxis(images.astype(np.int16), -1, 0)
    scores = np.stack([red // 2, green // 2, blue // 2, (red + green) // 4, 127 - blue // 2], axis=-1)
    return scores.astype(np.int8)


def scores_in_tiles(image: np.ndarray, infer: Infer, *, size: tuple[int, int], overlap: int) -> np.ndarray:
    """The blended scores of every pixel, (H, W, C)."""
    grid = TileGrid(*image.shape[:2], size, overlap)
    bands = blended(scored(strips_of(image, grid), infer, grid), grid)
    return np.concatenate([band.sums / band.weights[..., None] for band in bands])


@given(tilings())
def test_windows_cover_every_pixel(tiling: tuple[int, int, tuple[int, int], int]) -> None:
    grid = TileGrid(*tiling)
    covered = np.zeros((grid.height, grid.width), bool)
    for top, left in itertools.product(grid.tops, grid.lefts):
        covered[top : top + grid.size[0], left : left + grid.size[1]] = True
    assert covered.all()


@given(tilings())
def test_windows_stay_inside_the_padded_image(tiling: tuple[int, int, tuple[int, int], int]) -> None:
    grid = TileGrid(*tiling)
    assert (grid.padded_height, grid.padded_width) == (max(grid.height, grid.size[0]), max(grid.width, grid.size[1]))
    assert min(*grid.tops, *grid.lefts) == 0
    assert max(grid.tops) + grid.size[0] == grid.padded_height
    assert max(grid.lefts) + grid.size[1] == grid.padded_width


@given(tilings())
def test_neighbors_share_the_overlap_and_none_is_made_twice(tiling: tuple[int, int, tuple[int, int], int]) -> None:
    grid = TileGrid(*tiling)
    for starts, side in ((grid.tops, grid.size[0]), (grid.lefts, grid.size[1])):
        assert all(first < second <= first + side - grid.overlap for first, second in itertools.pairwise(starts))


@pytest.mark.parametrize(
    ("height", "width", "size", "overlap"),
    [(4, 4, (2, 2), 2), (4, 4, (2, 2), 3), (4, 4, (2, 2), -1), (0, 4, (2, 2), 0), (4, 4, (0, 2), 0)],
)
def test_senseless_tilings_are_refused(height: int, width: int, size: tuple[int, int], overlap: int) -> None:
    with pytest.raises(ConfigError):
        TileGrid(height, width, size, overlap)


@given(st.integers(1, 300), st.data())
def test_weights_are_positive_whole_symmetric_and_rise_to_the_middle(length: int, data: st.DataObject) -> None:
    weights = blend_weights(length, data.draw(st.integers(0, length - 1)))
    assert weights.min() >= 1
    assert np.array_equal(weights, np.rint(weights))
    assert np.array_equal(weights, weights[::-1])
    assert np.all(np.diff(weights[: (length + 1) // 2]) >= 0)


def test_without_overlap_every_pixel_counts_the_same() -> None:
    assert len(set(blend_weights(32, 0).tolist())) == 1


@given(tilings(), st.integers(0, 2**32 - 1))
def test_a_network_that_sees_single_pixels_gives_the_same_classes_in_tiles(
    tiling: tuple[int, int, tuple[int, int], int], seed: int
) -> None:
    height, width, size, overlap = tiling
    image = frame(seed, height, width)
    classes = predict_classes(image, pointwise, size=size, overlap=overlap)
    assert classes.dtype == np.uint8
    assert np.array_equal(classes, pointwise(image).argmax(-1))


@given(tilings(), st.integers(0, 2**32 - 1))
def test_a_network_that_sees_single_pixels_gives_the_same_scores_in_tiles(
    tiling: tuple[int, int, tuple[int, int], int], seed: int
) -> None:
    height, width, size, overlap = tiling
    image = frame(seed, height, width)
    logits = scores_in_tiles(image, pointwise, size=size, overlap=overlap)
    assert logits.dtype == np.float32
    assert np.array_equal(logits, pointwise(image))


@given(tilings(), st.integers(0, 2**32 - 1))
def test_blended_scores_lie_between_those_of_the_tiles(
    tiling: tuple[int, int, tuple[int, int], int], seed: int
) -> None:
    height, width, size, overlap = tiling
    rng = np.random.default_rng(seed)

    def infer(images: np.ndarray) -> np.ndarray:
        levels = rng.uniform(-1, 1, (len(images), 1, 1, 3)).astype(np.float32)
        return np.broadcast_to(levels, (*images.shape[:3], 3))

    logits = scores_in_tiles(frame(0, height, width), infer, size=size, overlap=overlap)
    assert logits.shape == (height, width, 3)
    assert np.abs(logits).max() <= 1 + 1e-6


@settings(max_examples=20)
@given(tilings())
def test_classes_are_the_best_of_the_blended_scores(tiling: tuple[int, int, tuple[int, int], int]) -> None:
    height, width, size, overlap = tiling

    def infer(images: np.ndarray) -> np.ndarray:  # depends on where the pixel lies in its window
        ramp = np.arange(size[0] * size[1]).reshape(1, *size, 1) % 7
        return (pointwise(images) // 4 + ramp * np.arange(5)).astype(np.int8)

    image = frame(1, height, width)
    classes = predict_classes(image, infer, size=size, overlap=overlap)
    scores = scores_in_tiles(image, infer, size=size, overlap=overlap)
    chosen = np.take_along_axis(scores, classes[..., None].astype(int), axis=-1)
    assert np.allclose(chosen, scores.max(-1, keepdims=True), rtol=1e-6)


def test_memory_does_not_grow_with_the_number_of_rows() -> None:
    def peak(height: int) -> int:
        image = np.zeros((height, 128, 3), np.uint8)
        tracemalloc.start()
        predict_classes(image, pointwise, size=(32, 32), overlap=8)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    more_rows = 4096
    assert peak(128 + more_rows) - peak(128) < 2 * more_rows * 128  # the class map itself is one byte a pixel


@given(
    hnp.arrays(
        st.sampled_from([np.int8, np.uint8, np.float32, np.float64, np.int64]),
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=20),
        elements={"min_value": 0, "max_value": 3},
    ),
    st.permutations([0, 1, 2]),
)
def test_best_class_is_argmax_with_the_first_of_equals(scores: np.ndarray, axes: list[int]) -> None:
    seen = scores.transpose(axes)
    assert np.array_equal(best_class(seen), seen.argmax(-1))


@given(tilings())
def test_bands_follow_one_another_and_no_later_window_reaches_into_them(
    tiling: tuple[int, int, tuple[int, int], int],
) -> None:
    grid = TileGrid(*tiling)
    bands = [grid.band(row) for row in range(len(grid.tops))]
    assert [top for top, _ in bands] == [0, *(bottom for _, bottom in bands[:-1])]
    assert bands[-1][1] == grid.height
    assert all(grid.tops[row] + grid.size[0] > bands[row][0] for row in range(len(bands)))


@given(tilings())
def test_a_band_is_whole_from_the_first_row_of_windows_that_reaches_into_it(
    tiling: tuple[int, int, tuple[int, int], int],
) -> None:
    grid = TileGrid(*tiling)
    strips = list(strips_of(frame(0, grid.height, grid.width), grid))
    whole = {band.row: best_in(band) for band in blended(scored(strips, pointwise, grid), grid)}
    for row in range(len(grid.tops)):
        late = blended(scored(strips[grid.first_row_into(row) :], pointwise, grid), grid)
        assert all(np.array_equal(best_in(band), whole[band.row]) for band in late if band.row >= row)


def local_means(images: np.ndarray) -> np.ndarray:
    """A network that sees 5 × 5 pixels around each, zeros beyond the window as a padded convolution does."""
    padded = np.pad(images.astype(np.float32), ((0, 0), (2, 2), (2, 2), (0, 0)))
    return sliding_window_view(padded, (5, 5), axis=(1, 2)).mean((-1, -2))


def near_edge(images: np.ndarray) -> np.ndarray:
    """1 for the pixels where `local_means` sees beyond its window."""
    marked = np.ones((*images.shape[:3], 1), np.float32)
    marked[:, 2:-2, 2:-2] = 0
    return marked


@settings(max_examples=20)
@given(st.integers(33, 70), st.integers(33, 70), st.integers(8, 16))
def test_seams_are_as_faint_as_the_weight_of_what_tiles_see_at_their_edges(
    height: int, width: int, overlap: int
) -> None:
    image = frame(0, height, width)
    inside = (slice(2, -2), slice(2, -2))  # of the whole image, which has the same edge of its own
    tiled = scores_in_tiles(image, local_means, size=(32, 32), overlap=overlap)[inside]
    share = scores_in_tiles(image, near_edge, size=(32, 32), overlap=overlap)[inside]
    assert np.all(np.abs(tiled - local_means(image[None])[0][inside]) <= 255 * share + 1e-3)
    assert np.median(share) == 0


def test_in_the_middle_of_an_overlap_the_seam_is_gone() -> None:
    image = frame(0, 32, 48)
    tiled = scores_in_tiles(image, local_means, size=(32, 32), overlap=16)
    middle = (slice(2, -2), slice(18, 30))  # two pixels from the edges of both tiles
    assert np.allclose(tiled[middle], local_means(image[None])[0][middle], atol=1e-3)
