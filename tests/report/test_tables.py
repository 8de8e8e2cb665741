import csv
import io

from rsseg_tf.report.paper import CLASS_IOU, ROWS, paper_row
from rsseg_tf.report.pictures.figures import pareto
from rsseg_tf.report.results import ablation_table
from rsseg_tf.report.tables import Column, Spread, Table

TABLE = Table(
    "sizes",
    "Sizes",
    (Column("model"), Column("mIoU %", best="max"), Column("MB", 1, best="min"), Column("P")),
    (("a|b", 57.246, 16.6, True), ("c", Spread(60.0, 0.5, 5), None, False), ("d", 50, 4.0, False)),
    "A note.",
)


def test_markdown_rounds_escapes_and_dashes_what_is_unknown():
    lines = TABLE.to_markdown().splitlines()
    assert lines[2:7] == [
        "| model | mIoU % | MB | P |",
        "| --- | --: | --: | --: |",
        "| a\\|b | 57.25 | 16.6 | × |",
        "| c | 60.00 ± 0.50 | – |  |",
        "| d | 50 | 4.0 |  |",
    ]
    assert lines[-1] == "A note."


def test_csv_keeps_every_digit_and_splits_a_spread():
    rows = list(csv.reader(io.StringIO(TABLE.to_csv())))
    assert rows[0] == ["model", "mIoU % (mean)", "mIoU % (std)", "MB", "P"]
    assert rows[1:] == [
        ["a|b", "57.246", "", "16.6", "True"],
        ["c", "60.0", "0.5", "", "False"],
        ["d", "50", "", "4.0", "False"],
    ]


def test_the_best_of_a_column_is_marked_in_its_direction():
    best = [[cell.is_best for cell in row] for row in TABLE.cells()]
    assert best == [[False] * 4, [False, True, False, False], [False, False, True, False]]


def test_the_front_holds_what_no_other_beats():
    points = [(10.0, 50.0), (5.0, 50.0), (5.0, 60.0), (20.0, 61.0), (21.0, 60.5)]
    assert pareto(points) == [2, 3]


def cell(seed, miou, **more):
    figures = {"accuracy": 0.8, "boundary_f1": 0.6, "params": 1_000_000, "macs": 10**9, "file_bytes": 4_000_000}
    plain = {"backbone": "resnet18", "pruned": False, "quantized": False, "seed": seed, "miou": miou}
    return {**plain, **figures, **more}


def test_an_ablation_is_mean_and_sample_deviation_over_the_seeds():
    cells = [cell(0, 0.50), cell(1, 0.54), cell(0, 0.4, quantized=True), cell(0, 0.3, pruned=True)]
    table = ablation_table({"data": "uavid", "split": "val", "cells": cells})
    assert [row[1:4] for row in table.rows] == [(False, False, 2), (True, False, 1), (False, True, 1)]
    found = table.rows[0][5]
    assert (round(found.mean, 6), round(found.deviation, 6), found.repeats) == (52.0, 2.828427, 2)
    assert table.rows[1][5].deviation is None
    assert [row[-2] for row in table.rows] == [53.06, 51.06, 51.02]


def test_other_data_has_no_figures_of_the_paper():
    table = ablation_table({"data": "scenes", "split": "test", "cells": [cell(0, 0.5)]})
    assert not any("paper" in column.head for column in table.columns)
    assert paper_row("scenes", backbone="resnet18", pruned=False, quantized=False) is None


def test_the_papers_class_iou_average_to_its_mean_iou():
    """Tables II and IV of the paper tell of the same model."""
    classes = CLASS_IOU["uavid"]["paper: pruned resnet50"].values()
    row = paper_row("uavid", backbone="resnet50", pruned=True, quantized=False)
    assert row in ROWS["uavid"]
    assert abs(sum(classes) / len(classes) - row.miou) < 0.01


def test_a_name_that_a_spreadsheet_would_compute_is_text_in_csv():
    names = ("=1+1", "+1", "-1", "@sum", "\tx", "plain", "a=b")
    table = Table("files", "Files", (Column("file"), Column("points")), tuple((name, -0.5) for name in names))
    rows = list(csv.reader(io.StringIO(table.to_csv())))

    assert [row[0] for row in rows[1:]] == ["'=1+1", "'+1", "'-1", "'@sum", "'\tx", "plain", "a=b"]
    assert {row[1] for row in rows[1:]} == {"-0.5"}
