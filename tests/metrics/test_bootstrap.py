import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rsseg_tf.metrics import ConfusionMatrix, iou_differences, miou_difference, recall_differences
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


def ious(images):
    """IoU of each class over the images one pixel count at a time, None where the class is nowhere."""
    found = []
    for k in range(len(images[0])):
        hits = sum(int(image[k][k]) for image in images)
        union = sum(int(image[k].sum()) + int(image[:, k].sum()) - int(image[k][k]) for image in images)
        found.append(hits / union if union else None)
    return found


def recalls(images):
    """Objects found of each class over the images, None where there are none."""
    found = []
    for k in range(len(images[0])):
        objects = sum(int(image[k][0]) for image in images)
        found.append(sum(int(image[k][1]) for image in images) / objects if objects else None)
    return found


def mean_iou(images):
    known = [value for value in ious(images) if value is not None]
    return [sum(known) / len(known) if known else None]


def by_brute_force(first, second, scores, *, draws):
    """(difference, low, high) of each score: every sample laid out image by image, what has no score left out."""

    def less(picked):
        pairs = zip(*(scores([stack[i] for i in picked]) for stack in (first, second)), strict=True)
        return [None if one is None or other is None else other - one for one, other in pairs]

    rng, images = np.random.default_rng(0), len(first)
    samples = [
        less([i for i in range(images) for _ in range(times[i])])
        for times in rng.multinomial(images, [1 / images] * images, size=draws)
    ]
    expected = []
    for k, whole in enumerate(less(range(images))):
        known = sorted(sample[k] for sample in samples if sample[k] is not None)
        ends = [np.quantile(known, share) for share in (0.025, 0.975)] if known else [np.nan, np.nan]
        expected.append((np.nan if whole is None else whole, *ends))
    return expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["iou", "miou", "recall"])
def test_intervals_equal_those_of_a_brute_force_bootstrap(kind, seed):
    """Of classes of which one is in few images, one in none, and one predicted by one model alone."""
    rng = np.random.default_rng(seed)
    if kind == "recall":
        objects = rng.integers(0, 4, (6, 4)) * (rng.random((6, 4)) < [1, 0.3, 0, 0.5])
        first, second = (np.stack([objects, rng.integers(0, objects + 1)], axis=-1) for _ in range(2))
        found, scores = recall_differences(first, second, draws=60), recalls
    else:
        first, second = (rng.integers(0, 50, (6, 4, 4)) for _ in range(2))
        first[2:, 1], first[2:, :, 1], second[2:, 1], second[2:, :, 1] = 0, 0, 0, 0
        for stack in (first, second):
            stack[:, 2], stack[:, :, 2] = 0, 0
        first[:, 3], first[:, :, 3], second[:, 3] = 0, 0, 0
        found = (miou_difference if kind == "miou" else iou_differences)(first, second, draws=60)
        found, scores = ((found,), mean_iou) if kind == "miou" else (found, ious)

    expected = by_brute_force(first, second, scores, draws=60)

    np.testing.assert_allclose([(each.difference, each.low, each.high) for each in found], expected, atol=1e-12)
    assert len(found) == (1 if kind == "miou" else 4)


def test_a_class_that_is_nowhere_differs_by_nothing_that_is_clear():
    counts = np.zeros((5, 3, 3), int)
    counts[:, 0, 0] = 9
    nowhere = iou_differences(counts, counts, draws=50)[2]
    assert np.isnan([nowhere.difference, nowhere.low, nowhere.high]).all()
    assert not nowhere.is_clear


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


@pytest.mark.parametrize("differences", [miou_difference, iou_differences, recall_differences])
def test_images_that_do_not_pair_up_are_refused(differences):
    with pytest.raises(ValueError, match="of one shape"):
        differences(np.ones((3, 2, 2), int), np.ones((4, 2, 2), int))
