"""How models differ from what they are judged against, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rsseg_tf.evaluation.by_class import ClassDifference, class_differences, loss_in_words
from rsseg_tf.evaluation.counting import ImageCounts
from rsseg_tf.metrics import Interval, miou_difference
from rsseg_tf.report.facts import Facts
from rsseg_tf.report.models import ModelRow, base_of, scored_pixels
from rsseg_tf.report.tables import Column, Table, Value
from rsseg_tf.runs import json_ready

_ENDS = (Column("low"), Column("high"), Column("clear of 0"))

_NOTE = (
    "95 % interval: the images are drawn again, the same for both models. It tells how far the choice of test "
    "images matters, not how far another training would; only models scored on the same pixels are compared."
)
_LONGER = (
    "A pruned network was trained for longer than the dense one; prune.control=both trains that one on as a control."
)


def difference_tables(rows: Sequence[ModelRow]) -> list[Table]:
    """Return each model's mean IoU less that of its base, and the same by class, with intervals over the images."""
    scored = [row for row in rows if _by_image(row)]
    overall: list[tuple[Value, ...]] = []
    by_class: list[tuple[Value, ...]] = []
    for row, base in ((row, base_of(row, scored)) for row in scored):
        if row is base or not is_comparable(base, row):
            continue
        counts, classes = [_by_image(each)["image_confusions"] for each in (base, row)], classes_between(base, row)
        found = miou_difference(*(np.asarray(each, np.int64) for each in counts))
        overall.append((row.name, base.name, *_points(found), found.images, loss_in_words(classes)))
        by_class += [(row.name, base.name, name, *_class_values(each)) for name, each in classes.items()]
    heads = (Column("model"), Column("against"))
    note = _NOTE if any(row.control for row in rows) or not any(row.is_pruned for row in rows) else f"{_NOTE} {_LONGER}"
    return [
        Table(
            "differences",
            "Is the difference in mIoU more than chance?",
            (*heads, Column("Δ mIoU points"), *_ENDS, Column("images"), Column("which class")),
            tuple(overall),
            note,
        ),
        Table(
            "class_differences",
            "What each class lost or gained",
            (
                *(*heads, Column("class"), Column("Δ IoU points"), *_ENDS),
                *(Column("small objects"), Column("found"), Column("found before"), Column("Δ found points"), *_ENDS),
            ),
            tuple(by_class),
            "Found before: by the model that it is compared with. The intervals are those of the table above.",
        ),
    ]


def control_table(ablation: Facts, place: int = 1) -> Table:
    """Return what each pruned network of an ablation lost against the controls of its seed, as a whole and by class.

    It has no rows where the ablation had no controls.
    """
    values = []
    for each in ablation.get("differences") or ():
        first = (each["backbone"], each["seed"], each["quantized"], f"control-{each['control']}")
        values.append((*first, *_points_of(each), each["images"], each["loss"]))
    columns = (
        *(Column("backbone"), Column("seed"), Column("Q"), Column("against"), Column("Δ mIoU points"), *_ENDS),
        *(Column("images"), Column("which class")),
    )
    note = (
        "Pruned less control, of one number format: the dense network trained on for as many steps, with (teacher) or "
        f"without it (plain). {_NOTE}"
    )
    name = "control" if place == 1 else f"control_{place}"
    return Table(name, "What pruning cost: against the dense network trained as long", columns, tuple(values), note)


def _points(interval: Interval) -> tuple[Value, ...]:
    """Return a difference, its ends and whether it is clear of zero as cells, in points of a hundred."""
    return _points_of({**json_ready(vars(interval)), "is_clear": interval.is_clear})


def _points_of(facts: Facts) -> tuple[Value, ...]:
    values = (facts.get(key) for key in ("difference", "low", "high"))
    return (*(None if value is None else 100 * value for value in values), "yes" if facts["is_clear"] else "no")


def _by_image(row: ModelRow) -> Facts:
    """Return the model's scores if they are known of each image, else nothing."""
    return row.scores if row.scores and row.scores.get("image_confusions") else {}


def is_comparable(base: ModelRow, row: ModelRow) -> bool:
    """Return whether both were scored, image by image, on the same pixels."""
    first, second = _by_image(base), _by_image(row)
    is_same = bool(first) and bool(second) and first["class_names"] == second["class_names"]
    return is_same and scored_pixels(first) == scored_pixels(second)


def classes_between(base: ModelRow, row: ModelRow) -> Mapping[str, ClassDifference]:
    """Return class name → how it fares in a model against its base; both are comparable."""
    first, second = _by_image(base), _by_image(row)
    return class_differences(second["class_names"], ImageCounts.of(first), ImageCounts.of(second))


def _class_values(each: ClassDifference) -> tuple[Value, ...]:
    objects: tuple[Value, ...] = (each.small_objects, each.found, each.found_before)
    return (*_points(each.iou), *objects, *_points(each.small_object_recall))
