"""How often a loop's state is written, and what it costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rsseg_tf.pruning.loop.shrinking import Snapshot
from rsseg_tf.pruning.loop.state import LoopState, StateFile
from rsseg_tf.pruning.plan import Plan

SMALL, LARGE = np.zeros(1000, np.float32), np.zeros(3_000_000, np.float32)


def _state(weight: np.ndarray) -> LoopState:
    nothing = Plan(keep={}, widths={}, cost={"macs": 1}, dense_cost={"macs": 1})
    now = Snapshot(1, nothing, nothing, (weight,))
    return LoopState(now, good=Snapshot(0, nothing, nothing), stopped={})


def test_writing_a_large_state_takes_a_fiftieth_of_the_time_at_most(tmp_path: Path) -> None:
    ticks = [0.0]

    def clock() -> float:
        ticks[0] += 1
        return ticks[0]

    file = StateFile(tmp_path / "state.npz", "x", clock=clock)
    assert file.is_due([LARGE])
    started = ticks[0]
    file.renew(_state(LARGE))
    took = ticks[0] - started - 1
    assert not file.is_due([LARGE])
    assert file.is_due([SMALL])
    ticks[0] = started + 49 * took
    assert not file.is_due([LARGE])
    ticks[0] = started + 52 * took
    assert file.is_due([LARGE])


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = _state(np.arange(5, dtype=np.float32))
    StateFile(tmp_path / "state.npz", "x").renew(written)
    found = StateFile(tmp_path / "state.npz", "x").read()
    assert found is not None
    assert (found.now.loop, found.now.plan, found.stopped) == (1, written.now.plan, {})
    np.testing.assert_array_equal(found.now.weights[0], written.now.weights[0])


def test_without_a_path_nothing_is_due(tmp_path: Path) -> None:
    file = StateFile(None, "x")
    assert not file.is_due([SMALL])
    file.renew(_state(SMALL))
    assert not list(tmp_path.iterdir())
