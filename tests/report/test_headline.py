"""What a report says first."""

from __future__ import annotations

import pytest

from rsseg_tf.report.headline import Offer, best_trade, headline, in_words
from tests.report.test_differences import DENSE, PLAIN, PRUNED, TEACHER, row

BASE = Offer("dense", 16_000_000, 50.0, 60.0)
HALF = Offer("half", 6_400_000, 25.0, 59.4)
TINY = Offer("tiny", 1_000_000, 5.0, 47.0)


@pytest.mark.parametrize(
    ("others", "best"),
    [
        ([HALF, TINY], HALF),  # the smallest once stood 13 points lower
        ([TINY, Offer("small", 2_000_000, 9.0, 59.1)], Offer("small", 2_000_000, 9.0, 59.1)),
        ([TINY, Offer("less", 2_000_000, 9.0, 55.0)], Offer("less", 2_000_000, 9.0, 55.0)),
        ([Offer("control", 16_000_000, 50.0, 61.0), TINY], TINY),
        ([Offer("control", 16_000_000, 50.0, 61.0)], Offer("control", 16_000_000, 50.0, 61.0)),
        ([], None),
    ],
)
def test_the_best_trade_is_the_smallest_that_loses_at_most_a_point(others, best):
    assert best_trade(BASE, others) == best


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            HALF,
            "half against dense: 6.4 MB instead of 16.0 (2.5 times smaller), "
            "25.0 ms instead of 50.0 (2.0 times faster), mIoU 59.40 % instead of 60.00 (0.60 points less).",
        ),
        (
            Offer("same", 16_000_000, None, 60.35),
            "same against dense: 16.0 MB instead of 16.0, mIoU 60.35 % instead of 60.00 (0.35 points more).",
        ),
        (
            Offer("same", 16_000_000, None, 60.001),
            "same against dense: 16.0 MB instead of 16.0, mIoU 60.00 % instead of 60.00 (the same).",
        ),
    ],
)
def test_a_gain_is_more_and_a_loss_is_less(other, said):
    assert in_words(BASE, other) == said


@pytest.mark.parametrize(
    ("rows", "base"),
    [([DENSE, PRUNED], DENSE), ([DENSE, PLAIN, PRUNED], PLAIN), ([DENSE, PLAIN, TEACHER, PRUNED], TEACHER)],
)
def test_the_headline_is_against_the_control_where_there_is_one(rows, base):
    assert headline(rows)[0].startswith(f"pruned against {base.name}: ")


def test_the_smallest_is_named_too_where_it_is_not_the_best_trade():
    tiny = row("tiny", wrong=90, found=0, is_pruned=True, file_bytes=1)
    tiny.scores["miou"] = 0.3
    said = headline([DENSE, PRUNED, tiny])
    assert said[0].startswith("pruned against dense: ")
    assert said[-1].startswith("The smallest: tiny against dense: ")


def test_a_model_alone_is_described():
    assert headline([DENSE]) == ["dense has an mIoU of 50.00 % and needs 0.0 MB."]
    assert headline([]) == []
