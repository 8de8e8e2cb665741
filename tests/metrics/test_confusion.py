import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn

from rsseg_tf.metrics import ConfusionMatrix

relaxed = settings(deadline=None, max_examples=50)
few = settings(deadline=None, max_examples=15)
CLASSES = 4
SHAPE = (5, 7)
TRUTHS = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 3, 255]))
PREDICTIONS = arrays(np.uint8, SHAPE, elements=st.integers(0, CLASSES - 1))


def matrix_of(*pairs):
    matrix = ConfusionMatrix(CLASSES)
    for truth, prediction in pairs:
        matrix.update(truth, prediction)
    return matrix


def naive_counts(truth, prediction):
    counts = [[0] * CLASSES for _ in range(CLASSES)]
    for true, predicted in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if true != 255:
            counts[true][predicted] += 1
    return counts


def naive_iou(truth, prediction, index):
    inside = [(t == index, p == index) for t, p in zip(truth.ravel(), prediction.ravel(), strict=True) if t != 255]
    union = sum(t or p for t, p in inside)
    return sum(t and p for t, p in inside) / union if union else np.nan


@relaxed
@given(TRUTHS, PREDICTIONS)
def test_counts_equal_a_naive_loop(truth, prediction):
    assert matrix_of((truth, prediction)).counts.tolist() == naive_counts(truth, prediction)


@relaxed
@given(TRUTHS, PREDICTIONS)
def test_iou_equals_sets_of_pixels(truth, prediction):
    expected = [naive_iou(truth, prediction, index) for index in range(CLASSES)]
    np.testing.assert_allclose(matrix_of((truth, prediction)).iou, expected)


@relaxed
@given(TRUTHS, PREDICTIONS)
def test_miou_is_the_mean_of_the_classes_that_occur(truth, prediction):
    matrix = matrix_of((truth, prediction))
    occurring = matrix.iou[~np.isnan(matrix.iou)]
    if occurring.size:
        assert matrix.miou == pytest.approx(occurring.mean())
    else:
        assert np.isnan(matrix.miou)


@relaxed
@given(TRUTHS)
def test_a_perfect_prediction_scores_one(truth):
    matrix = matrix_of((truth, np.where(truth == 255, 0, truth)))
    assert np.isnan(matrix.iou).sum() + (matrix.iou == 1).sum() == CLASSES
    assert matrix.miou == 1 or (truth == 255).all()


@relaxed
@given(TRUTHS, PREDICTIONS, PREDICTIONS)
def test_what_is_predicted_on_ignored_pixels_changes_nothing(truth, prediction, other):
    mixed = np.where(truth == 255, other, prediction)
    assert (matrix_of((truth, mixed)).counts == matrix_of((truth, prediction)).counts).all()


def test_even_what_is_no_class_may_be_predicted_on_ignored_pixels():
    assert matrix_of((np.uint8([255, 1]), np.uint8([255, 1]))).accuracy == 1


def test_a_class_that_never_occurs_does_not_make_the_mean_nan():
    matrix = matrix_of((np.uint8([0, 1]), np.uint8([0, 1])))
    assert np.isnan(matrix.iou[2:]).all()
    assert matrix.miou == 1


def test_a_class_that_is_only_predicted_counts_as_zero():
    assert matrix_of((np.uint8([0, 0]), np.uint8([0, 2]))).miou == pytest.approx((0.5 + 0) / 2)


def test_nothing_counted_has_no_scores():
    matrix = matrix_of((np.uint8([255]), np.uint8([0])))
    assert np.isnan([matrix.accuracy, matrix.miou]).all()


def test_counts_stay_exact_beyond_one_block():
    truth = np.tile(np.uint8([0, 1, 2, 3]), 600_000)
    assert matrix_of((truth, truth[::-1])).counts.tolist() == (np.eye(CLASSES, dtype=int)[::-1] * 600_000).tolist()


@pytest.mark.parametrize("bad", [4, 200, 255])
def test_a_prediction_that_is_no_class_is_refused(bad):
    with pytest.raises(ValueError, match=f"prediction holds ids 0 … {bad}, expected 0 … 3"):
        matrix_of((np.uint8([0, 1]), np.uint8([0, bad])))


def test_a_negative_prediction_is_refused():
    with pytest.raises(ValueError, match="prediction holds ids -1"):
        matrix_of((np.int64([0]), np.int64([-1])))


def test_a_truth_that_is_no_class_is_refused():
    with pytest.raises(ValueError, match="truth holds ids 4"):
        matrix_of((np.uint8([4]), np.uint8([0])))


def test_a_refused_image_counts_nothing():
    matrix = ConfusionMatrix(CLASSES)
    long = np.zeros(3_000_000, np.uint8)
    bad = long.copy()
    bad[-1] = 9
    with pytest.raises(ValueError, match="prediction"):
        matrix.update(long, bad)
    assert matrix.counts.sum() == 0


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"truth is \(2,\) but the prediction is \(3,\)"):
        matrix_of((np.uint8([0, 1]), np.uint8([0, 1, 1])))


def test_scores_instead_of_classes_are_refused():
    with pytest.raises(ValueError, match="expected integer class ids, got float32"):
        matrix_of((np.uint8([0]), np.float32([0.5])))


@pytest.mark.parametrize("count", [0, 255])
def test_a_number_of_classes_that_ids_cannot_hold_is_refused(count):
    with pytest.raises(ValueError, match="1 to 254 classes"):
        ConfusionMatrix(count)


def test_classes_that_occur_nowhere_are_listed():
    assert matrix_of((np.uint8([0, 1, 255]), np.uint8([0, 2, 3]))).absent == (3,)


@few
@given(TRUTHS, PREDICTIONS)
def test_scores_by_class_equal_scikit_learn(truth, prediction):
    matrix, known = matrix_of((truth, prediction)), truth != 255
    if not known.any():
        return
    pair, labels = (truth[known], prediction[known]), np.arange(CLASSES)
    precision, recall, f1, _ = sklearn.precision_recall_fscore_support(*pair, labels=labels, zero_division=np.nan)
    np.testing.assert_allclose(matrix.precision, precision)
    np.testing.assert_allclose(matrix.recall, recall)
    np.testing.assert_allclose(matrix.f1, f1)
    occurring = np.setdiff1d(labels, matrix.absent)
    np.testing.assert_allclose(matrix.iou[occurring], sklearn.jaccard_score(*pair, labels=occurring, average=None))
    assert matrix.counts.tolist() == sklearn.confusion_matrix(*pair, labels=labels).tolist()


@few
@given(TRUTHS, PREDICTIONS)
def test_means_equal_scikit_learn(truth, prediction):
    matrix, known = matrix_of((truth, prediction)), truth != 255
    if not known.any():
        assert np.isnan([matrix.mean_accuracy, matrix.frequency_weighted_iou]).all()
        return
    pair, held = (truth[known], prediction[known]), np.unique(truth[known])
    assert matrix.mean_accuracy == pytest.approx(sklearn.recall_score(*pair, labels=held, average="macro"))
    weighted = sklearn.jaccard_score(*pair, average="weighted", zero_division=0)
    assert matrix.frequency_weighted_iou == pytest.approx(weighted)


@relaxed
@given(TRUTHS, PREDICTIONS, st.permutations(range(CLASSES)))
def test_renaming_the_classes_permutes_the_scores_and_keeps_the_means(truth, prediction, order):
    renamed = np.full(256, 255, np.uint8)
    renamed[:CLASSES] = order
    there, back = matrix_of((truth, prediction)), matrix_of((renamed[truth], renamed[prediction]))
    for name in ("iou", "precision", "recall", "f1"):
        np.testing.assert_allclose(getattr(back, name)[list(order)], getattr(there, name))
    for name in ("accuracy", "mean_accuracy", "miou", "frequency_weighted_iou"):
        np.testing.assert_allclose(getattr(back, name), getattr(there, name))
