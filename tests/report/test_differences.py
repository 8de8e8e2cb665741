"""What a report judges models against, and what it says each class lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rsseg_tf.evaluation.by_class import class_differences
from rsseg_tf.metrics import miou_difference
from rsseg_tf.report.differences import difference_tables
from rsseg_tf.report.headline import headline
from rsseg_tf.report.models import ModelRow, base_of
from rsseg_tf.report.results import result_tables
from rsseg_tf.report.tables import Part
from tests.evaluation.test_by_class import NAMES, counts


def row(name: str, *, wrong: int, found: int, file_bytes: int = 9, **more: Any) -> ModelRow:
    """A scored model that takes `wrong` of 100 vehicle pixels for trees and finds `found` of 10 vehicles an image."""
    images = counts(wrong=[0, wrong, 0], found=[10, found, 10])
    scores = {
        "miou": 0.5,
        "class_names": NAMES,
        "image_confusions": images.confusions.tolist(),
        "image_small_objects": images.objects[..., 0].tolist(),
        "image_small_objects_found": images.objects[..., 1].tolist(),
        "small_object_recall": {"road": 1, "vehicle": found / 10, "tree": 1},
        "small_objects": dict.fromkeys(NAMES, 60),
        "small_objects_found": {"road": 60, "vehicle": 6 * found, "tree": 60},
    }
    facts = {"backbone": "resnet18", "is_pruned": False, "control": "", "number_format": "float32", **more}
    sizes = {"params": 1, "macs": 1, "file_bytes": file_bytes, "latency_ms": None}
    return ModelRow(name=name, run=None, path=Path(name), sha256=name, scores=scores, **facts, **sizes)


DENSE = row("dense", wrong=20, found=8)
PLAIN = row("plain", wrong=10, found=9, control="plain")
TEACHER = row("teacher", wrong=5, found=9, control="teacher")
PRUNED = row("pruned", wrong=15, found=5, is_pruned=True, file_bytes=3)


@pytest.mark.parametrize(
    ("rows", "base"),
    [([DENSE, PRUNED], DENSE), ([DENSE, PLAIN, PRUNED], PLAIN), ([DENSE, PLAIN, TEACHER, PRUNED], TEACHER)],
)
def test_a_model_is_judged_against_the_control_where_there_is_one(rows, base):
    assert base_of(PRUNED, rows) is base
    differences, by_class = difference_tables(rows)
    assert {line[1] for line in (*differences.rows, *by_class.rows)} == {base.name}
    compression = next(table for table in result_tables(rows, [], data_name="scenes") if table.name == "compression")
    assert {line[1] for line in compression.rows} == {base.name}
    assert ("prune.control" in differences.note) == (base is DENSE)


def test_a_control_of_another_backbone_judges_nothing():
    other = row("other", wrong=1, found=9, control="teacher", backbone="resnet50")
    assert base_of(PRUNED, [DENSE, PRUNED, other]) is DENSE


def test_each_class_has_its_difference_its_interval_and_its_objects():
    pair = [counts(wrong=[0, wrong, 0], found=[10, found, 10]) for wrong, found in ((5, 9), (15, 5))]
    expected = class_differences(NAMES, *pair)["vehicle"]
    differences, by_class = difference_tables([DENSE, TEACHER, PRUNED])

    line = next(line for line in by_class.rows if line[0] == "pruned" and line[2] == "vehicle")
    assert line[3:7] == (*(100 * value for value in _ends(expected.iou)), "yes")
    assert line[7:10] == (60, 30, 54)
    assert line[10:] == (*(100 * value for value in _ends(expected.small_object_recall)), "yes")
    whole = next(line for line in differences.rows if line[0] == "pruned")
    assert whole[2] == pytest.approx(100 * miou_difference(*(each.confusions for each in pair)).difference)
    assert whole[-1].startswith("lost most: vehicle -10.00 IoU points")
    assert headline([DENSE, TEACHER, PRUNED])[1] == f"By class: {whole[-1]}."


def test_small_objects_are_counted_beside_their_shares():
    tables = {table.name: table for table in result_tables([DENSE, PRUNED], [], data_name="scenes")}
    assert tables["small_object_recall"].rows[1] == ("vehicle", Part(48, 60), Part(30, 60))
    assert tables["small_object_recall"].cells()[1][2].text == "30 of 60 (50.0 %)"


def test_scores_of_before_objects_were_counted_still_compare():
    old = [row("dense", wrong=20, found=8), row("pruned", wrong=30, found=5)]
    for each in old:
        for key in ("image_small_objects", "image_small_objects_found", "small_objects_found", "small_object_recall"):
            del each.scores[key]

    _, by_class = difference_tables(old)

    assert by_class.rows[1][3] == pytest.approx(-10)
    assert by_class.rows[1][7:] == (0, 0, 0, None, None, None, "no")
    assert not any(table.name == "small_object_recall" for table in result_tables(old, [], data_name="scenes"))


def _ends(interval):
    return interval.difference, interval.low, interval.high
