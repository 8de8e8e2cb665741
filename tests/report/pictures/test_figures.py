"""What charts show of scores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rsseg_tf.report.pictures.figures import looks_of, tradeoff
from tests.report.test_differences import DENSE


@pytest.mark.parametrize(("mious", "least"), [((0.620, 0.623), 5.0), ((0.40, 0.65), 25.0), ((0.62, 0.62), 5.0)])
def test_a_chart_of_accuracy_shows_five_points_at_least_and_every_model(mious, least):
    rows = [
        replace(DENSE, name=str(place), file_bytes=10**6 * (1 + place), scores={"miou": miou})
        for place, miou in enumerate(mious)
    ]
    low, high = tradeoff(rows, looks_of(rows, [])[0]).figure.axes[0].get_ylim()
    assert high - low >= least
    assert all(low < 100 * miou < high for miou in mious)


@pytest.mark.parametrize("front", [True, False])
def test_a_legend_names_the_front_only_where_a_line_shows_it(front):
    mious = (0.60, 0.65) if front else (0.65, 0.60)
    rows = [
        replace(DENSE, name=str(place), file_bytes=10**6 * (1 + place), scores={"miou": miou})
        for place, miou in enumerate(mious)
    ]

    (legend,) = tradeoff(rows, looks_of(rows, [])[0]).figure.legends

    assert sorted(text.get_text() for text in legend.get_texts()) == ["0", "1", *["Pareto front"] * front]
