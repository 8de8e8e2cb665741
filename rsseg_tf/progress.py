"""Lines on stderr for people: remarks, warnings, and how far a long job is, drawn where someone is watching."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO, TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how much is done and how much there is, in whatever the job counts."""

_CLEAR = "\r\033[K"
_BAR_WIDTH = 20


def say(message: str, *, stream: TextIO | None = None) -> None:
    """Print a line on stderr."""
    (stream or sys.stderr).write(f"{message}\n")


def warn(message: str, *, hint: str = "", stream: TextIO | None = None) -> None:
    """Print a line on stderr about something that may be intended."""
    (stream or sys.stderr).write(f"warning: {message}" + (f" ({hint})" if hint else "") + "\n")


def warning_once() -> Callable[[str, str], None]:
    """Return what warns the first time that it is called, in whatever thread."""
    calls = itertools.count()

    def tell(message: str, hint: str) -> None:
        if next(calls) == 0:
            warn(message, hint=hint)

    return tell


@dataclass(frozen=True)
class Advance:
    """How far a prediction of images is.

    Attributes:
        images: images that are done, with the share of the one under way.
        total: how many there are.
        pixels: pixels that are done.
    """

    images: float
    total: int
    pixels: int


class Line:
    """A line that is drawn again and again in its place on a terminal; a pipe gets only whole lines.

    Attributes:
        is_live: whether it is on a terminal.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self.is_live = self._stream.isatty()

    def redraw(self, text: str = "") -> None:
        """Replace what the line says by `text`; a pipe gets nothing."""
        if self.is_live:
            self._write(f"{_CLEAR}{text}")

    def print(self, text: str) -> None:
        """Replace what the line says by `text`, and leave it there for good."""
        self._write(f"{_CLEAR if self.is_live else ''}{text}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@contextlib.contextmanager
def progress_bar(title: str, stream: TextIO | None = None) -> Iterator[Progress]:
    """Yield a `Progress` that draws a bar with the time left, on a terminal only; it disappears when the block ends."""
    line, started = Line(stream), time.monotonic()
    try:
        yield lambda done, total: line.redraw(
            f"{title} {drawn(done, total)} {time_left(time.monotonic() - started, share=done / max(total, 1))}"
        )
    finally:
        line.redraw()


@contextlib.contextmanager
def advance_line(title: str, stream: TextIO | None = None) -> Iterator[Callable[[Advance], None]]:
    """Yield a function that draws an `Advance` with speed and time left, on a terminal only; the last stays."""
    line, started = Line(stream), time.monotonic()
    last = ""

    def show(advance: Advance) -> None:
        nonlocal last
        last = f"{title} {format_advance(advance, seconds=time.monotonic() - started)}"
        line.redraw(last)

    try:
        yield show
    finally:
        if line.is_live and last:
            line.print(last)


def drawn(done: int, total: int) -> str:
    """Return a bar, and the numbers that it shows.

    Examples:
        >>> drawn(1, 4)
        '█████··············· 1/4'
    """
    filled = round(_BAR_WIDTH * done / max(total, 1))
    return f"{'█' * filled}{'·' * (_BAR_WIDTH - filled)} {done}/{total}"


def format_advance(advance: Advance, *, seconds: float) -> str:
    """Return how far a prediction is, how fast, and how much longer it will take.

    Examples:
        >>> format_advance(Advance(images=0.5, total=2, pixels=30_000_000), seconds=10)
        '25 % of 2 images  3.0 MP/s  0:00:30 left'
    """
    share = advance.images / advance.total
    speed = f"{advance.pixels / 1e6 / seconds:.1f} MP/s" if seconds else "– MP/s"
    return f"{100 * share:.0f} % of {advance.total} images  {speed}  {time_left(seconds, share=share)}"


def time_left(seconds: float, *, share: float) -> str:
    """Return how much longer a job will take, of which `share` took `seconds`.

    Examples:
        >>> time_left(10, share=0.25)
        '0:00:30 left'
    """
    return f"{datetime.timedelta(seconds=int(seconds / share - seconds) if share else 0)} left"
