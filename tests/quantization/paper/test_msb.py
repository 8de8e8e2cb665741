import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.quantization.paper.msb import Histogram, Window, choose_window, exponent_counts, histogram_of

numbers = st.lists(st.floats(-(2.0**30), 2.0**30, width=32, allow_subnormal=False), min_size=1, max_size=40)
histograms = st.builds(
    lambda lowest, first, inner, last: Histogram(lowest, (first, *inner, last), zeros=0),
    st.integers(-40, 40),
    st.integers(1, 9),
    st.lists(st.integers(0, 9), max_size=20),
    st.integers(1, 9),
)


def histogram(values: list[float]) -> Histogram:
    return histogram_of(exponent_counts(np.array(values, np.float32)))


@given(numbers)
def test_every_value_is_counted_at_its_most_significant_bit(values):
    found = histogram(values)
    expected: dict[int, int] = {}
    for value in values:
        if value:
            position = math.frexp(value)[1] - 1
            expected[position] = expected.get(position, 0) + 1

    assert {found.lowest + at: count for at, count in enumerate(found.counts) if count} == expected
    assert found.zeros == values.count(0)


@pytest.mark.parametrize(("value", "position"), [(1, 0), (0.999, -1), (2, 1), (16.25, 4), (-0.03125, -5), (255, 7)])
def test_positions_of_numbers_done_by_hand(value, position):
    assert (histogram([value]).lowest, histogram([value]).counts) == (position, (1,))


def test_zeros_have_no_bit_and_numbers_that_float32_denormalizes_count_as_zeros():
    assert histogram([0.0, -0.0, 1e-40]) == Histogram(lowest=0, counts=(), zeros=3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_an_error(value):
    with pytest.raises(ValueError, match="1 values are NaN or infinite"):
        histogram([1.0, value])


def covered(window: Window, histogram: Histogram) -> int:
    return sum(
        count
        for position, count in enumerate(histogram.counts, start=histogram.lowest)
        if window.low <= position <= window.high
    )


@given(histograms)
def test_no_other_window_covers_more_bits(histogram):
    best = choose_window(histogram)
    others = [Window(high) for high in range(histogram.lowest - 8, histogram.highest + 8)]
    equal = [other for other in others if covered(other, histogram) == covered(best, histogram)]

    assert covered(best, histogram) == max(covered(other, histogram) for other in others)
    assert best.overflow(histogram) == min(other.overflow(histogram) for other in equal)
    assert best.high == min(other.high for other in equal if other.overflow(histogram) == best.overflow(histogram))


@given(histograms)
def test_shares_are_those_of_the_histogram(histogram):
    window = choose_window(histogram)
    positions = [
        position for position, count in enumerate(histogram.counts, start=histogram.lowest) for _ in range(count)
    ]

    assert window.underflow(histogram) == pytest.approx(np.mean(np.array(positions) < window.low - 1))
    assert window.overflow(histogram) == pytest.approx(np.mean(np.array(positions) > window.high))


def test_a_narrow_tensor_gets_the_finest_step_that_holds_its_largest_value():
    assert choose_window(histogram([3.0, 2.5, 1.0])) == Window(high=1)


def test_one_outlier_is_given_up_for_many_small_values():
    spread = histogram([2.0**10, *[2.0**-position for position in range(7)]])

    window = choose_window(spread)

    assert (window.high, window.overflow(spread), window.underflow(spread)) == (0, 1 / 8, 0)


def test_a_tensor_of_zeros_has_a_window_and_loses_nothing():
    zeros = histogram([0.0])
    window = choose_window(zeros)

    assert (window.high, window.underflow(zeros), window.overflow(zeros)) == (0, 0, 0)


def test_the_window_of_the_smallest_numbers_has_a_step_that_float32_can_hold():
    window = choose_window(histogram([2.0**-126]))

    assert np.float32(window.step) >= np.finfo(np.float32).tiny


def test_seven_bits_and_a_sign():
    assert (Window(high=3).low, Window(high=3).step, Window(high=3).limit) == (-3, 0.125, 15.875)
