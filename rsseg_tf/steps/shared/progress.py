"""How far a training is, on stderr: a line that moves on a terminal, one line an epoch in a pipe."""

from __future__ import annotations

import math
import sys
import time
from typing import TextIO

from rsseg_tf.training.loop import EpochRow


class TrainingProgress:
    """Tells of steps (on a terminal only) and epochs.

    Args:
        title: what is being trained.
        epochs: how many there will be.
        stream: where to; stderr by default.
    """

    def __init__(self, title: str, epochs: int, stream: TextIO | None = None) -> None:
        self._title, self._epochs = title, epochs
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._started, self._first = time.monotonic(), 0.0

    def step(self, *, epoch: int, step: int, steps: int, loss: float) -> None:
        """Redraw the moving line."""
        if not self._live:
            return
        done = (epoch - 1) * steps + step - 1
        if self._first == 0.0:
            self._first = done
            self._started = time.monotonic()
        speed = (time.monotonic() - self._started) / max(1.0, done - self._first)
        left = speed * (self._epochs * steps - done - 1)
        filled = round(20 * step / steps)
        bar = "█" * filled + "·" * (20 - filled)
        place = f"{self._title} epoch {epoch}/{self._epochs} {bar} {step}/{steps}"
        self._stream.write(f"\r\033[K{place} loss {loss:.3f} {_clock(left)} left")
        self._stream.flush()

    def epoch(self, row: EpochRow) -> None:
        """Print the epoch's line."""
        start = "\r\033[K" if self._live else ""
        score = "" if math.isnan(row.val_miou) else f"  val mIoU {100 * row.val_miou:5.2f}"
        self._stream.write(
            f"{start}{self._title} epoch {row.epoch}/{self._epochs}  loss {row.loss:.4f}{score}"
            f"  lr {row.learning_rate:.2g}  {row.seconds:.0f} s\n"
        )
        self._stream.flush()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class PruningProgress:
    """Tells of pruning loops; called once after each.

    Args:
        loops: how many there will be.
        stream: where to; stderr by default.
    """

    def __init__(self, loops: int, stream: TextIO | None = None) -> None:
        self._loops = loops
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()

    def __call__(self, loop: int, macs_share: float, params_share: float) -> None:
        """After loop `loop`, counted from 1: shares of the dense model's MACs and parameters that are left."""
        if not self._live and loop % 10 and loop != self._loops:
            return
        start, end = ("\r\033[K", "\n" if loop == self._loops else "") if self._live else ("", "\n")
        self._stream.write(
            f"{start}prune loop {loop}/{self._loops}  MACs {macs_share:.1%}  params {params_share:.1%}{end}"
        )
        self._stream.flush()


class CountingProgress:
    """Tells of samples on a terminal; called after each with how many are done and how many there are.

    Args:
        title: what is being done.
        stream: where to; stderr by default.
    """

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = stream or sys.stderr

    def __call__(self, done: int, total: int) -> None:
        """Redraw the line, and clear it after the last."""
        if self._stream.isatty():
            self._stream.write(f"\r\033[K{self._title} {done}/{total}" if done < total else "\r\033[K")
            self._stream.flush()


def warn(message: str, *, hint: str = "", stream: TextIO | None = None) -> None:
    """A line on stderr about something that may be meant."""
    (stream or sys.stderr).write(f"warning: {message}" + (f" ({hint})" if hint else "") + "\n")
