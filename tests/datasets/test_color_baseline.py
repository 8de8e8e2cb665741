import numpy as np
import pytest

from rsseg_tf.datasets.color_baseline import ColorBaseline


def test_a_color_gets_the_class_it_most_often_had():
    image = np.full((1, 5, 3), 100, np.uint8)
    baseline = ColorBaseline()
    baseline.fit([(image, np.uint8([[0, 1, 1, 255, 255]]))], num_classes=2)
    assert (baseline.predict(image) == 1).all()


def test_a_color_never_seen_gets_the_commonest_class():
    baseline = ColorBaseline()
    image = np.uint8([[[0, 0, 0], [0, 0, 0], [255, 0, 0]]])
    baseline.fit([(image, np.uint8([[2, 2, 1]]))], num_classes=3)
    assert baseline.predict(np.uint8([[[0, 255, 0]]])).tolist() == [[2]]


@pytest.mark.parametrize(("bins", "expected"), [(2, 0), (64, 1)])
def test_bins_say_which_colors_are_one(bins, expected):
    baseline = ColorBaseline()
    image = np.uint8([[[10, 0, 0], [20, 0, 0], [20, 0, 0]]])
    baseline.fit([(image, np.uint8([[1, 0, 0]]))], num_classes=2, bins=bins)
    assert baseline.predict(image[:, :1]).tolist() == [[expected]]


def test_predicting_before_learning_is_refused():
    with pytest.raises(ValueError, match="call fit first"):
        ColorBaseline().predict(np.zeros((1, 1, 3), np.uint8))
