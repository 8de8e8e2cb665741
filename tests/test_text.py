from __future__ import annotations

from rsseg_tf.text import text_table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [("model", "kind", "ms", "note"), ("a", "float32", "10.5", "long"), ("total", "", "1000.25")]
    assert text_table(rows, align="<<><").splitlines() == [
        "model  kind          ms  note",
        "a      float32     10.5  long",
        "total           1000.25",
    ]


def test_numbers_are_flush_right_and_no_line_ends_in_blanks() -> None:
    assert text_table([("model", "ms", "MB "), ("a", "1.00", "")]) == "model    ms  MB\na      1.00"
