import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from rsseg_tf.metrics import BoundaryF1, boundary_f1

relaxed = settings(deadline=None, max_examples=50)
CLASSES = 3
SHAPES = st.tuples(st.integers(1, 14), st.integers(1, 14))
TOLERANCES = st.sampled_from([0.02, 0.0751, 0.1, 0.25, 0.9])


@st.composite
def pairs(draw, *, ignore=True):
    """Blocky masks: single pixels have boundaries everywhere and test little."""
    shape = draw(SHAPES)
    labels = [0, 1, 2, 255] if ignore else [0, 1, 2]
    truth = draw(arrays(np.uint8, shape, elements=st.sampled_from(labels)))
    prediction = draw(arrays(np.uint8, shape, elements=st.integers(0, CLASSES - 1)))
    repeats = draw(st.integers(1, 3))
    return tuple(mask.repeat(repeats, axis=0).repeat(repeats, axis=1) for mask in (truth, prediction))


def boundary_pixels(mask, index, known):
    """Pixels of a class beside another known class or the edge of the image, one by one."""
    height, width = mask.shape
    found = []
    for y, x in zip(*np.nonzero((mask == index) & known), strict=True):
        for other_y, other_x in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            outside = not (0 <= other_y < height and 0 <= other_x < width)
            if outside or (known[other_y, other_x] and mask[other_y, other_x] != index):
                found.append((y, x))
                break
    return found


def share_near(points, targets, limit_px):
    near = sum(any((y - v) ** 2 + (x - u) ** 2 < limit_px**2 for v, u in targets) for y, x in points)
    return near / len(points)


def brute_force(truth, prediction, tolerance):
    known = truth != 255
    limit_px = tolerance * np.hypot(*truth.shape)
    scores = []
    for index in range(CLASSES):
        true, predicted = boundary_pixels(truth, index, known), boundary_pixels(prediction, index, known)
        if not true or not predicted:
            scores.append(0.0 if true else np.nan)
            continue
        precision, recall = share_near(predicted, true, limit_px), share_near(true, predicted, limit_px)
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return scores


@relaxed
@given(pairs(), TOLERANCES)
def test_scores_equal_comparing_every_pair_of_boundary_pixels(pair, tolerance):
    scores = boundary_f1(*pair, num_classes=CLASSES, tolerance=tolerance)
    np.testing.assert_allclose(scores, brute_force(*pair, tolerance), atol=1e-12)


@relaxed
@given(pairs(ignore=False), TOLERANCES)
def test_truth_and_prediction_can_change_places(pair, tolerance):
    truth, prediction = pair
    there = boundary_f1(truth, prediction, num_classes=CLASSES, tolerance=tolerance)
    back = boundary_f1(prediction, truth, num_classes=CLASSES, tolerance=tolerance)
    both = ~np.isnan(there) & ~np.isnan(back)
    np.testing.assert_allclose(there[both], back[both])


@relaxed
@given(pairs(), TOLERANCES)
def test_what_is_predicted_on_ignored_pixels_changes_nothing(pair, tolerance):
    truth, prediction = pair
    changed = np.where(truth == 255, (prediction + 1) % CLASSES, prediction)
    scores = [boundary_f1(truth, each, num_classes=CLASSES, tolerance=tolerance) for each in (prediction, changed)]
    np.testing.assert_array_equal(*scores)


@relaxed
@given(pairs(ignore=False))
def test_a_perfect_prediction_scores_one_for_every_class_there_is(pair):
    truth = pair[0]
    scores = boundary_f1(truth, truth, num_classes=CLASSES, tolerance=0.9)
    present = np.isin(np.arange(CLASSES), truth)
    assert (scores[present] == 1).all()
    assert np.isnan(scores[~present]).all()


def test_boundaries_equal_an_erosion():
    disc = np.hypot(*np.mgrid[-20:21, -20:21]) < 15
    truth = disc.astype(np.uint8)
    prediction = np.roll(truth, 3, axis=1)
    outlines = [mask & ~ndimage.binary_erosion(mask, border_value=0) for mask in (truth == 1, prediction == 1)]
    limit_px = 0.04 * np.hypot(*truth.shape)
    near = [ndimage.distance_transform_edt(~outline) < limit_px for outline in outlines]
    precision, recall = near[0][outlines[1]].mean(), near[1][outlines[0]].mean()
    expected = 2 * precision * recall / (precision + recall)
    assert boundary_f1(truth, prediction, num_classes=2, tolerance=0.04)[1] == pytest.approx(expected)


def square(shift=0, size=400):
    mask = np.zeros((300, size), np.uint8)
    mask[100:200, 100 + shift : 200 + shift] = 1
    return mask


def test_the_tolerance_is_a_share_of_the_diagonal_and_not_reached_itself():
    # The diagonal is 500 px: a shift by 3 px matches below 4 px but not below 3 px.
    assert boundary_f1(square(), square(3), num_classes=2, tolerance=4 / 500)[1] == 1
    assert boundary_f1(square(), square(3), num_classes=2, tolerance=3 / 500)[1] < 1


@relaxed
@given(pairs(), st.permutations(range(CLASSES)))
def test_renaming_the_classes_permutes_the_scores(pair, order):
    renamed = np.full(256, 255, np.uint8)
    renamed[:CLASSES] = order
    there = boundary_f1(*pair, num_classes=CLASSES)
    back = boundary_f1(renamed[pair[0]], renamed[pair[1]], num_classes=CLASSES)
    np.testing.assert_array_equal(back[list(order)], there)


def test_a_class_that_is_missed_scores_zero_and_one_that_is_not_there_nothing():
    scores = boundary_f1(square(), np.zeros_like(square()), num_classes=3)
    assert scores[1] == 0
    assert np.isnan(scores[2])


def test_a_class_that_is_only_predicted_has_no_score():
    assert np.isnan(boundary_f1(np.zeros_like(square()), square(), num_classes=2)[1])


def test_a_class_enclosed_by_ignored_pixels_has_no_boundary_to_score():
    truth = np.full((30, 30), 255, np.uint8)
    truth[10:20, 10:20] = 1
    assert np.isnan(boundary_f1(truth, np.ones_like(truth), num_classes=2)).all()


def test_a_class_is_averaged_over_the_images_that_hold_it():
    scores = BoundaryF1(2)
    scores.update(square(), square())
    scores.update(square(), np.zeros_like(square()))
    scores.update(np.zeros_like(square()), np.zeros_like(square()))
    assert scores.scores[1] == pytest.approx(0.5)
    # A missed square leaves background whose inner outline is missed, too: 1, x and 1 on average.
    assert 2 / 3 < scores.scores[0] < 1
    assert scores.mean == pytest.approx(scores.scores.mean())


def test_before_any_image_there_is_no_score():
    scores = BoundaryF1(2)
    assert np.isnan(scores.scores).all()
    assert np.isnan(scores.mean)


def test_a_tolerance_in_pixels_is_that_distance_whatever_the_size():
    in_pixels = boundary_f1(square(), square(3), num_classes=2, tolerance_px=4)
    np.testing.assert_array_equal(in_pixels, boundary_f1(square(), square(3), num_classes=2, tolerance=4 / 500))
    wide = boundary_f1(square(size=900), square(3, size=900), num_classes=2, tolerance_px=4)
    assert wide[1] == in_pixels[1] == 1


def test_images_add_up_with_a_tolerance_in_pixels():
    scores = BoundaryF1(2, tolerance_px=2)
    scores.update(square(), square(1))
    scores.update(square(), square(3))
    one_by_one = [boundary_f1(square(), square(shift), num_classes=2, tolerance_px=2) for shift in (1, 3)]
    np.testing.assert_allclose(scores.scores, np.mean(one_by_one, axis=0))


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="of one size"):
        boundary_f1(square(), square()[1:], num_classes=2)


@pytest.mark.parametrize("tolerance", [0, -0.1, float("nan")])
def test_a_tolerance_that_matches_nothing_is_refused(tolerance):
    with pytest.raises(ValueError, match="must be positive"):
        boundary_f1(square(), square(), num_classes=2, tolerance=tolerance)
