import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rsseg_tf.datasets.palette import (
    IGNORE,
    MAX_CLASSES,
    ColorTable,
    Palette,
    color_table,
    distinct_colors,
    format_color,
    parse_color,
)

relaxed = settings(deadline=None, max_examples=50)
COLORS = st.tuples(*[st.integers(0, 255)] * 3)
BLACK = (0, 0, 0)


@st.composite
def palettes_with_masks(draw):
    colors = draw(st.lists(COLORS.filter(lambda color: color != BLACK), min_size=1, max_size=20, unique=True))
    palette = Palette(tuple(f"class {index}" for index in range(len(colors))), tuple(colors))
    ids = st.sampled_from([*range(len(colors)), IGNORE])
    return palette, draw(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=ids))


@relaxed
@given(palettes_with_masks())
def test_decoding_a_colored_mask_gives_the_mask_back(case):
    palette, mask = case
    decoded, unknown = color_table(palette, ignore=(BLACK,)).decode(palette.colorize(mask))
    np.testing.assert_array_equal(decoded, mask)
    assert unknown == {}


@relaxed
@given(COLORS)
def test_a_color_survives_being_written(color):
    assert parse_color(format_color(color)) == color


@relaxed
@given(st.integers(1, MAX_CLASSES))
def test_generated_colors_differ_from_each_other_and_from_black(count):
    colors = distinct_colors(count)
    assert len({*colors, BLACK}) == count + 1


def test_generated_colors_do_not_depend_on_how_many_are_asked_for():
    assert distinct_colors(40)[:7] == distinct_colors(7)


def test_unknown_colors_are_counted_most_frequent_first():
    image = np.uint8([[[1, 2, 3], [9, 9, 9], [9, 9, 9], [250, 0, 1]]])
    mask, unknown = ColorTable({(1, 2, 3): 5}).decode(image)
    assert mask.tolist() == [[5, IGNORE, IGNORE, IGNORE]]
    assert list(unknown.items()) == [((9, 9, 9), 2), ((250, 0, 1), 1)]


def test_unknown_colors_are_counted_across_blocks():
    image = np.zeros((3000, 1000, 3), np.uint8)
    assert ColorTable({(1, 1, 1): 0}).decode(image)[1] == {BLACK: 3_000_000}


def test_a_view_that_is_not_contiguous_decodes_like_its_copy():
    image = np.random.default_rng(0).integers(0, 2, (6, 8, 3), np.uint8)[::2, ::-1]
    table = ColorTable({(a, b, c): 4 * a + 2 * b + c for a in (0, 1) for b in (0, 1) for c in (0, 1)})
    np.testing.assert_array_equal(table.decode(image)[0], table.decode(image.copy())[0])


@pytest.mark.slow
def test_a_survey_tile_of_8192_pixels_decodes_within_two_seconds():
    colors = np.uint8(distinct_colors(6))
    image = colors[np.random.default_rng(0).integers(0, 6, (8192, 8192), np.uint8)]
    table = ColorTable({tuple(color): index for index, color in enumerate(colors.tolist())})
    started = time.process_time()
    table.decode(image)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("mask", [[[2]], [[254]], [0], [[-1]], [[256]]])
def test_a_mask_that_the_palette_cannot_show_is_refused(mask):
    palette = Palette(("a", "b"), ((1, 1, 1), (2, 2, 2)))
    with pytest.raises(ValueError, match="ids below 2 or 255"):
        palette.colorize(np.array(mask))


@pytest.mark.parametrize(
    ("names", "colors"),
    [((), ()), (("a",), ()), (("a", "a"), ((1, 1, 1), (2, 2, 2))), (("a", "b"), ((1, 1, 1), (1, 1, 1)))],
)
def test_a_palette_whose_classes_cannot_be_told_apart_is_refused(names, colors):
    with pytest.raises(ValueError, match=r"expected|must differ"):
        Palette(names, colors)


@pytest.mark.parametrize("text", ["", "12345", "1234567", "GG0000", "+12345", "0x1234", "12 456"])
def test_what_is_no_color_is_refused(text):
    with pytest.raises(ValueError, match="six hexadecimal digits"):
        parse_color(text)
