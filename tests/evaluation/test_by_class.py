"""What one class lost, and whether the one line about it says what happened."""

from __future__ import annotations

import numpy as np
import pytest

from rsseg_tf.evaluation.by_class import class_differences, loss_in_words, lost_most
from rsseg_tf.evaluation.counting import ImageCounts
from rsseg_tf.evaluation.scoring import evaluate
from tests.evaluation.test_scoring import Masks, Reader, blocks

NAMES = ("road", "vehicle", "tree")


def counts(*, wrong: list[int], found: list[int], images: int = 6) -> ImageCounts:
    """Of each class 100 pixels an image, `wrong` of them taken for the next class, and 10 objects, `found` of them."""
    confusion = np.zeros((3, 3), np.int64)
    for k, number in enumerate(wrong):
        confusion[k, k], confusion[k, (k + 1) % 3] = 100 - number, number
    objects = np.array([[10, number] for number in found])
    return ImageCounts(np.stack([confusion] * images), np.stack([objects] * images))


GOOD = counts(wrong=[0, 0, 0], found=[10, 10, 10])


def test_a_difference_is_of_each_class_with_its_counts() -> None:
    found = class_differences(NAMES, GOOD, counts(wrong=[0, 50, 0], found=[10, 2, 10]))
    assert found["vehicle"].iou.difference == pytest.approx(-0.5)
    assert found["tree"].iou.difference == pytest.approx(100 / 150 - 1)
    assert found["road"].iou.difference == 0
    assert found["vehicle"].counts == "12 of 60 instead of 60"
    assert found["vehicle"].small_object_recall.difference == pytest.approx(-0.8)
    assert [each.iou.is_clear for each in found.values()] == [False, True, True]


def test_the_line_names_the_class_that_lost_most_with_its_interval_and_objects() -> None:
    found = class_differences(NAMES, GOOD, counts(wrong=[0, 50, 0], found=[10, 2, 10]))
    assert lost_most(found) == "vehicle"
    assert (
        loss_in_words(found)
        == "lost most: vehicle -50.00 IoU points [-50.00, -50.00], small objects found 12 of 60 instead of 60"
    )


def test_another_class_that_lost_more_small_objects_is_named_too() -> None:
    found = class_differences(NAMES, GOOD, counts(wrong=[0, 50, 0], found=[10, 9, 1]))
    assert loss_in_words(found).endswith("; small objects lost most: tree, found 6 of 60 instead of 60")


def test_what_may_be_chance_and_a_gain_are_called_so() -> None:
    mixed = ImageCounts(
        np.concatenate([GOOD.confusions[:3], counts(wrong=[0, 9, 0], found=[1, 1, 1]).confusions[:3]]), GOOD.objects
    )
    other = ImageCounts(mixed.confusions[::-1].copy(), mixed.objects)
    other.confusions[0, 1] = [0, 90, 10]
    assert "which may be chance" in loss_in_words(class_differences(NAMES, mixed, other))
    better = loss_in_words(class_differences(NAMES, counts(wrong=[9, 9, 9], found=[1, 1, 1]), GOOD))
    assert better.startswith("no class lost; least gained: road +")


def test_classes_without_a_score_or_small_objects_are_no_loss() -> None:
    first, second = (counts(wrong=[wrong, 0, 0], found=[0, 0, 0]) for wrong in (0, 20))
    for each in (first, second):
        each.confusions[:, 2] = each.confusions[:, :, 2] = 0
        each.objects[...] = 0
    found = class_differences(NAMES, first, second)
    assert np.isnan(found["tree"].iou.difference)
    assert found["tree"].counts == ""
    assert loss_in_words(found) == "lost most: road -20.00 IoU points [-20.00, -20.00]"


def test_where_no_class_has_a_score_the_line_says_so() -> None:
    nothing = ImageCounts(np.zeros((2, 3, 3), np.int64), np.zeros((2, 3, 2), np.int64))
    found = class_differences(NAMES, nothing, nothing)
    assert lost_most(found) is None
    assert "no class has an IoU" in loss_in_words(found)


def test_counts_come_back_from_json_and_from_json_of_before_objects_were_counted() -> None:
    score = evaluate(Reader(), Masks(blocks(12, 24, 0, 1, 2), blocks(12, 24, 2)), "test")
    values = score.to_dict()
    again = ImageCounts.of(values)
    assert (again.confusions == score.counts.confusions).all()
    assert again.objects.tolist() == [[[1, 1], [1, 1], [1, 1]], [[0, 0], [0, 0], [1, 1]]]
    del values["image_small_objects"], values["image_small_objects_found"]
    assert ImageCounts.of(values).objects.tolist() == np.zeros((2, 3, 2)).tolist()
