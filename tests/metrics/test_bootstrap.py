import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rsseg_tf.metrics import ConfusionMatrix, miou_difference
from rsseg_tf.metrics.bootstrap import miou_of

relaxed = settings(deadline=None, max_examples=20)
STACKS = arrays(np.int64, (4, 3, 3), elements=st.integers(0, 50))


@relaxed
@given(STACKS)
def test_the_mean_iou_of_a_stack_equals_that_of_each_matrix(stack):
    expected = []
    for counts in stack:
        matrix = ConfusionMatrix(3)
        matrix.counts += counts
        expected.append(matrix.miou)
    np.testing.assert_allclose(miou_of(stack), expected)


@relaxed
@given(STACKS, STACKS)
def test_changing_places_turns_the_interval_round(first, second):
    there, back = (miou_difference(*pair, draws=100) for pair in ((first, second), (second, first)))
    np.testing.assert_allclose(
        (there.difference, there.low, there.high), (-back.difference, -back.high, -back.low), atol=1e-12
    )


def noisy(rng, images, error):
    """Counts of images of two classes with about so large a share of wrong pixels."""
    wrong = rng.binomial(1000, np.clip(error + rng.normal(0, 0.05, images), 0, 1))
    return np.stack([[[1000 - w, w], [w, 1000 - w]] for w in wrong])


def test_a_model_beside_itself_differs_by_nothing():
    counts = noisy(np.random.default_rng(0), 20, 0.3)
    interval = miou_difference(counts, counts)
    assert (interval.difference, interval.low, interval.high) == (0, 0, 0)
    assert not interval.is_clear


def test_pairing_finds_what_the_spread_of_the_images_would_hide():
    rng = np.random.default_rng(1)
    first = noisy(rng, 30, 0.3)
    worse = first + np.array([[[-10, 10], [10, -10]]])
    interval = miou_difference(first, worse)
    assert interval.high < 0
    assert interval.is_clear
    apart = miou_difference(first, noisy(rng, 30, 0.3))
    assert apart.high - apart.low > 5 * (interval.high - interval.low)


def test_about_nineteen_of_twenty_intervals_hold_the_true_difference():
    rng = np.random.default_rng(2)
    intervals = [miou_difference(noisy(rng, 40, 0.3), noisy(rng, 40, 0.3), draws=300) for _ in range(150)]
    held = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    assert 0.90 <= held <= 0.98


def test_the_same_seed_draws_the_same():
    rng = np.random.default_rng(3)
    pair = noisy(rng, 9, 0.2), noisy(rng, 9, 0.3)
    assert miou_difference(*pair, seed=5) == miou_difference(*pair, seed=5)


def test_images_that_do_not_pair_up_are_refused():
    with pytest.raises(ValueError, match="of one shape"):
        miou_difference(np.ones((3, 2, 2), int), np.ones((4, 2, 2), int))
