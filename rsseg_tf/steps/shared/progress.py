"""How far a training is, on stderr: a line that moves on a terminal, one line an epoch and a minute in a pipe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TextIO

from rsseg_tf.config.pruning import ARENA, LATENCY
from rsseg_tf.progress import Line, drawn, time_left
from rsseg_tf.pruning import Plan
from rsseg_tf.training.loop import EpochRow

_A_MINUTE = 60.0
"""A pipe gets a line when none came for so many seconds."""


class TrainingProgress:
    """Reports steps (on a terminal only) and epochs.

    Args:
        title: what is being trained.
        epochs: how many there will be.
        stream: where to; stderr by default.
        clock: seconds since some moment.
    """

    def __init__(
        self, title: str, epochs: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._title, self._epochs = title, epochs
        self._line = Line(stream)
        self._clock = clock
        self._first: tuple[float, int] | None = None
        self._printed = clock()

    def step(self, *, epoch: int, step: int, steps: int, loss: float) -> None:
        """Redraw the moving line."""
        now, done = self._clock(), (epoch - 1) * steps + step
        start, before = self._first = self._first or (now, done)
        share = (done - before) / max(1, self._epochs * steps - before)
        place = f"{self._title} epoch {epoch}/{self._epochs} {drawn(step, steps)}"
        text = f"{place} loss {loss:.3f} {time_left(now - start, share=share)}"
        if not self._line.is_live and now - self._printed >= _A_MINUTE:
            self._print(text)
        self._line.redraw(text)

    def epoch(self, row: EpochRow) -> None:
        """Print the epoch's line."""
        score = "" if math.isnan(row.val_miou) else f"  val mIoU {100 * row.val_miou:5.2f}"
        self._print(
            f"{self._title} epoch {row.epoch}/{self._epochs}  loss {row.loss:.4f}{score}"
            f"  lr {row.learning_rate:.2g}  {row.seconds:.0f} s"
        )

    def _print(self, text: str) -> None:
        self._line.print(text)
        self._printed = self._clock()


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
        """Report what is left after loop `loop`, counted from 1; time and memory too, where the plan tells them."""
        text = f"prune loop {loop}/{self._loops}  MACs {plan.share('macs'):.1%}  params {plan.share('params'):.1%}"
        if LATENCY in plan.cost:
            text += f"  {plan.cost[LATENCY]:.1f} ms (estimated)"
        if ARENA in plan.cost:
            text += f"  arena {plan.cost[ARENA] / 1e6:.2f} MB"
        if loop == self._loops or not (self._line.is_live or loop % 10):
            self._line.print(text)
        else:
            self._line.redraw(text)
