from __future__ import annotations

import io

import pytest

from rsseg_tf.progress import Advance, advance_line, format_advance, progress_bar, time_left


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_moves_on_a_terminal_and_goes_at_the_end() -> None:
    stream = Terminal()
    with progress_bar("checking", stream) as progress:
        progress(1, 2)
        assert stream.getvalue().startswith("\r\033[Kchecking ██████████·········· 1/2 0:00:0")
    assert stream.getvalue().endswith("\r\033[K")
    assert "\n" not in stream.getvalue()


def test_a_bar_goes_before_an_error_is_printed() -> None:
    stream = Terminal()
    with pytest.raises(ValueError, match="wrong"), progress_bar("checking", stream):
        raise ValueError("wrong")
    assert stream.getvalue().endswith("\r\033[K")


def test_a_prediction_leaves_its_last_line_on_a_terminal() -> None:
    stream = Terminal()
    with advance_line("predict", stream) as show:
        show(Advance(1, 2, 100))
        show(Advance(2, 2, 200))
    assert stream.getvalue().split("\r\033[K")[-1].startswith("predict 100 % of 2 images")
    assert stream.getvalue().endswith("0:00:00 left\n")


def test_a_pipe_gets_nothing() -> None:
    stream = io.StringIO()
    with progress_bar("checking", stream) as progress, advance_line("predict", stream) as show:
        progress(0, 0)
        show(Advance(1, 2, 100))
    assert stream.getvalue() == ""


def test_an_advance_tells_speed_and_time_left() -> None:
    half = Advance(images=0.5, total=2, pixels=30_000_000)
    assert format_advance(half, seconds=10) == "25 % of 2 images  3.0 MP/s  0:00:30 left"
    assert format_advance(Advance(0, 1, 0), seconds=0) == "0 % of 1 images  – MP/s  0:00:00 left"


def test_time_left_is_what_the_rest_takes_at_the_same_pace() -> None:
    assert time_left(3661, share=0.5) == "1:01:01 left"
    assert time_left(10, share=1) == "0:00:00 left"
