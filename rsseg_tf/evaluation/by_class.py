"""What each class lost or gained from one model to another, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rsseg_tf.evaluation.counting import ImageCounts
from rsseg_tf.metrics import Interval, iou_differences, recall_differences
from rsseg_tf.runs import json_ready

CLEAR = "*"
"""Marks a difference whose interval is clear of zero."""


@dataclass(frozen=True)
class ClassDifference:
    """How a class fares with one model against another, on the same images.

    Attributes:
        iou: its IoU less the other's; nan where either has none.
        small_objects: small objects of the class in the truth.
        found: how many of them the model found.
        found_before: how many the other model found.
        small_object_recall: the share that was found less the other's; nan where there are no small objects.
    """

    iou: Interval
    small_objects: int
    found: int
    found_before: int
    small_object_recall: Interval

    @property
    def counts(self) -> str:
        """The small objects in words, such as "13 of 88 instead of 50"; empty where there are none."""
        return f"{self.found} of {self.small_objects} instead of {self.found_before}" if self.small_objects else ""

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, each interval with `is_clear`."""
        plain = asdict(self)
        return {**plain, **{key: _with_clear(getattr(self, key)) for key in ("iou", "small_object_recall")}}


def class_differences(names: Sequence[str], first: ImageCounts, second: ImageCounts) -> dict[str, ClassDifference]:
    """Return for each class how `second` differs from `first`, with 95 % intervals from the draws of the mean IoU.

    Args:
        names: of the classes, in the order of their ids.
        first: counts of the model that is compared with.
        second: counts of the other model on the same images.

    Raises:
        ValueError: if the counts are of other images, or of none.
    """
    iou = iou_differences(first.confusions, second.confusions)
    recall = recall_differences(first.objects, second.objects)
    (objects, before), (_, found) = (counts.objects.sum(axis=0).T.tolist() for counts in (first, second))
    values = zip(iou, objects, found, before, recall, strict=True)
    return {name: ClassDifference(*each) for name, each in zip(names, values, strict=True)}


def lost_most(differences: Mapping[str, ClassDifference]) -> str | None:
    """Return the class whose IoU fell most, or rose least; None where no class has an IoU in both models."""
    known = [name for name, each in differences.items() if not math.isnan(each.iou.difference)]
    return min(known, key=lambda name: differences[name].iou.difference, default=None)


def loss_in_words(differences: Mapping[str, ClassDifference]) -> str:
    """Return one line about the class that lost most, and about small objects where another class clearly lost more.

    Such as "lost most: vehicle -12.30 IoU points [-15.10, -9.00], small objects found 13 of 88 instead of 50".
    """
    name = lost_most(differences)
    if name is None:
        return "lost most: unknown, no class has an IoU in both models"
    each = differences[name]
    head = "lost most" if each.iou.difference < 0 else "no class lost; least gained"
    doubt = "" if each.iou.is_clear or each.iou.difference >= 0 else ", which may be chance"
    objects = f", small objects found {each.counts}" if each.counts else ""
    points, ends = in_points(each.iou)
    return f"{head}: {name} {points} IoU points [{ends}]{doubt}{objects}{_fewer_found(differences, but=name)}"


def in_points(interval: Interval, between: str = ", ") -> tuple[str, str]:
    """Return a difference and its ends as text, in points of a hundred; dashes where there is none."""
    values = [
        "–" if math.isnan(value) else f"{100 * value:+.2f}"
        for value in (interval.difference, interval.low, interval.high)
    ]
    return values[0], between.join(values[1:])


def difference_facts(miou: Interval, classes: Mapping[str, ClassDifference]) -> dict[str, Any]:
    """Return how a model differs from another as JSON values.

    Returns:
        The interval of the mean IoU with `is_clear`; `lost_most` (a class or null) and `loss` (in words); and
        `classes`: name → what `ClassDifference.to_dict` gives.
    """
    facts: dict[str, Any] = json_ready(
        {
            **_with_clear(miou),
            **{"lost_most": lost_most(classes), "loss": loss_in_words(classes)},
            "classes": {name: each.to_dict() for name, each in classes.items()},
        }
    )
    return facts


def _with_clear(interval: Interval) -> dict[str, Any]:
    return {**asdict(interval), "is_clear": interval.is_clear}


def _fewer_found(differences: Mapping[str, ClassDifference], *, but: str) -> str:
    """Return what to add about the class that clearly lost most of its small objects, if it is not `but`."""
    recall = {name: each.small_object_recall for name, each in differences.items() if each.small_objects}
    worst = min(recall, key=lambda name: recall[name].difference, default=but)
    if worst == but or recall[worst].high >= 0 or math.isnan(recall[worst].high):
        return ""
    return f"; small objects lost most: {worst}, found {differences[worst].counts}"
