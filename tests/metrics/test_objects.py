import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from rsseg_tf.metrics import SmallObjectRecall

relaxed = settings(deadline=None, max_examples=50)
CLASSES = 3
SHAPE = (9, 11)
TRUTHS = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 255]))
PREDICTIONS = arrays(np.uint8, SHAPE, elements=st.integers(0, CLASSES - 1))


def recall_of(*pairs, below_px=6):
    recall = SmallObjectRecall(CLASSES, below_px=below_px)
    for truth, prediction in pairs:
        recall.update(truth, prediction)
    return recall


def naive(truth, prediction, below_px):
    """SciPy's components, one at a time."""
    objects, found = [0] * CLASSES, [0] * CLASSES
    for index in range(CLASSES):
        labels, count = ndimage.label(truth == index, structure=np.ones((3, 3)))
        for label in range(1, count + 1):
            inside = labels == label
            if inside.sum() < below_px:
                objects[index] += 1
                found[index] += (prediction[inside] == index).mean() >= 0.5
    return objects, found


@relaxed
@given(TRUTHS, PREDICTIONS, st.integers(1, 40))
def test_counts_equal_the_components_of_scipy(truth, prediction, below_px):
    recall = recall_of((truth, prediction), below_px=below_px)
    assert (recall.objects.tolist(), recall.found.tolist()) == naive(truth, prediction, below_px)


@relaxed
@given(TRUTHS)
def test_a_perfect_prediction_finds_everything(truth):
    recall = recall_of((truth, np.where(truth == 255, 0, truth)))
    assert recall.found.tolist() == recall.objects.tolist()


def test_large_objects_and_pixels_of_other_classes_do_not_count():
    truth = np.zeros((9, 9), np.uint8)
    truth[1:4, 1:3], truth[6, 6] = 1, 1
    recall = recall_of((truth, np.full_like(truth, 1)))
    assert recall.objects.tolist() == [0, 1, 0]
    assert np.isnan(recall.scores[[0, 2]]).all()
    assert recall.scores[1] == 1


@pytest.mark.parametrize(("hit", "is_found"), [(1, False), (2, False), (3, True), (5, True)])
def test_half_of_an_object_is_enough_and_less_is_not(hit, is_found):
    truth, prediction = np.zeros((1, 8), np.uint8), np.zeros((1, 8), np.uint8)
    truth[0, :5] = 1
    prediction[0, :hit] = 1
    assert recall_of((truth, prediction)).found[1] == int(is_found)


@pytest.mark.parametrize("shapes", [((2, 3), (3, 2)), ((6,), (6,)), ((1, 2, 3), (1, 2, 3))])
def test_other_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match="of one size"):
        recall_of(tuple(np.zeros(shape, np.uint8) for shape in shapes))
