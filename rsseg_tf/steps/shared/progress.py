"""How far a training is, on stderr: a line that moves on a terminal, one line an epoch in a pipe."""

from __future__ import annotations

import math
import sys
import time
from typing import TextIO

from rsseg_tf.config.pruning import LATENCY
from rsseg_tf.progress import Line, drawn, time_left
from rsseg_tf.pruning import Plan
from rsseg_tf.training.loop import EpochRow


class TrainingProgress:
    """Reports steps (on a terminal only) and epochs.

    Args:
        title: what is being trained.
        epochs: how many there will be.
        stream: where to; stderr by default.
    """

    def __init__(self, title: str, epochs: int, stream: TextIO | None = None) -> None:
        self._title, self._epochs = title, epochs
        self._line = Line(stream)
        self._first: tuple[float, int] | None = None

    def step(self, *, epoch: int, step: int, steps: int, loss: float) -> None:
        """Redraw the moving line."""
        now, done = time.monotonic(), (epoch - 1) * steps + step
        start, before = self._first = self._first or (now, done)
        share = (done - before) / max(1, self._epochs * steps - before)
        place = f"{self._title} epoch {epoch}/{self._epochs} {drawn(step, steps)}"
        self._line.redraw(f"{place} loss {loss:.3f} {time_left(now - start, share=share)}")

    def epoch(self, row: EpochRow) -> None:
        """Print the epoch's line."""
        score = "" if math.isnan(row.val_miou) else f"  val mIoU {100 * row.val_miou:5.2f}"
        self._line.print(
            f"{self._title} epoch {row.epoch}/{self._epochs}  loss {row.loss:.4f}{score}"
            f"  lr {row.learning_rate:.2g}  {row.seconds:.0f} s"
        )


class PruningProgress:
    """Reports pruning loops; called once after each.

    Args:
        loops: how many there will be.
        stream: where to; stderr by default.
    """

    def __init__(self, loops: int, stream: TextIO | None = None) -> None:
        self._loops = loops
        self._line = Line(stream)

    def __call__(self, loop: int, plan: Plan) -> None:
        """Report what is left after loop `loop`, counted from 1; the time too, if it was measured."""
        text = f"prune loop {loop}/{self._loops}  MACs {plan.share('macs'):.1%}  params {plan.share('params'):.1%}"
        if LATENCY in plan.cost:
            text += f"  {plan.cost[LATENCY]:.1f} ms (estimated)"
        if loop == self._loops or not (self._line.is_live or loop % 10):
            self._line.print(text)
        else:
            self._line.redraw(text)


def say(message: str, *, stream: TextIO | None = None) -> None:
    """Print a line on stderr."""
    (stream or sys.stderr).write(f"{message}\n")


def warn(message: str, *, hint: str = "", stream: TextIO | None = None) -> None:
    """Print a line on stderr about something that may be intended."""
    (stream or sys.stderr).write(f"warning: {message}" + (f" ({hint})" if hint else "") + "\n")
