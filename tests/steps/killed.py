"""Runs `rsseg-tf` and kills itself at a place in the job: `python -m tests.steps.killed PLACE COUNT WORDS...`.

PLACE is `step` (a training step is done), `loop` (a pruning loop is done), `state` (a state is half written) or
`manifest` (all is done but the manifest); the COUNT-th time counts.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rsseg_tf.cli.main import main


def kill_at(count: int, before: Callable[..., None] = lambda *_words, **_named: None) -> Callable[..., Callable]:
    """A replacement for a function: the same, but at its `count`-th call `before` runs and then SIGKILL comes."""
    left = [count]

    def replaced(original: Callable[..., Any]) -> Callable[..., Any]:
        def called(*words: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                before(*words, **named)
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*words, **named)

        return called

    return replaced


def half_written(path: Path, **_arrays: np.ndarray) -> None:
    Path(path).write_bytes(b"PK\x03\x04 half a state")


def arm(place: str, count: int) -> None:
    """Put the trap in its place."""
    import rsseg_tf.checkpoint
    import rsseg_tf.steps.fit
    from rsseg_tf.steps.shared.progress import PruningProgress, TrainingProgress

    if place == "step":
        TrainingProgress.step = kill_at(count)(TrainingProgress.step)
    elif place == "loop":
        PruningProgress.__call__ = kill_at(count)(PruningProgress.__call__)
    elif place == "state":
        rsseg_tf.checkpoint.np.savez = kill_at(count, half_written)(np.savez)
    elif place == "manifest":
        rsseg_tf.steps.fit.write_manifest = kill_at(count)(rsseg_tf.steps.fit.write_manifest)


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
