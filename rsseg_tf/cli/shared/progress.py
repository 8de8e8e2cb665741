"""Progress on stderr, where someone is watching."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rsseg_tf.inference.folders import Advance


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with how many are done and how many there are; it draws on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield show


@contextlib.contextmanager
def advance_line(label: str) -> Iterator[Callable[[Advance], None]]:
    """A function to call with how far a run is; it draws a line with speed and time left, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _advance: None
        return
    started = time.monotonic()

    def show(advance: Advance) -> None:
        line = format_advance(advance, seconds=time.monotonic() - started)
        click.echo(f"\r{label} {line}\x1b[K", nl=False, err=True)

    try:
        yield show
    finally:
        click.echo("", err=True)


def format_advance(advance: Advance, *, seconds: float) -> str:
    """How far a run is, how fast, and how long it will take yet.

    Example:
        >>> from rsseg_tf.inference.folders import Advance
        >>> format_advance(Advance(images=0.5, total=2, pixels=30_000_000), seconds=10)
        '25 % of 2 images  3.0 MP/s  0:00:30 left'
    """
    share = advance.images / advance.total
    speed = f"{advance.pixels / 1e6 / seconds:.1f} MP/s" if seconds else "– MP/s"
    left = int(seconds / share - seconds) if share else 0
    clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
    return f"{share:.0%} of {advance.total} images  {speed}  {clock} left".replace("%", " %", 1)
