import io
import math

from rsseg_tf.progress import warn
from rsseg_tf.pruning import Plan
from rsseg_tf.steps.shared.progress import PruningProgress, TrainingProgress
from rsseg_tf.training.loop import EpochRow
from tests.test_progress import Terminal


def plan(cost: dict[str, float]) -> Plan:
    return Plan(keep={}, widths={}, cost=cost, dense_cost=dict.fromkeys(cost, 100))


def row(score: float) -> EpochRow:
    return EpochRow(epoch=2, learning_rate=1e-3, loss=0.5, val_miou=score, seconds=61.0)


def test_a_pipe_gets_one_line_an_epoch_and_nothing_else():
    stream = io.StringIO()
    progress = TrainingProgress("fit", 3, stream)
    progress.step(epoch=2, step=1, steps=4, loss=0.6)
    progress.epoch(row(0.4321))

    assert stream.getvalue() == "fit epoch 2/3  loss 0.5000  val mIoU 43.21  lr 0.001  61 s\n"


def test_a_pipe_gets_a_line_when_none_came_for_a_minute():
    stream, seconds = io.StringIO(), iter([0, 30, 61, 90, 122])
    progress = TrainingProgress("fit", 1, stream, clock=lambda: next(seconds))
    progress.step(epoch=1, step=1, steps=9, loss=0.6)
    assert stream.getvalue() == ""
    progress.step(epoch=1, step=2, steps=9, loss=0.5)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("fit epoch 1/1 ")
    assert "2/9 loss 0.500" in line


def test_an_epoch_without_validation_shows_no_score():
    stream = io.StringIO()
    TrainingProgress("fit", 3, stream).epoch(row(math.nan))

    assert "mIoU" not in stream.getvalue()


def test_a_terminal_gets_a_line_that_moves():
    stream = Terminal()
    progress = TrainingProgress("fit", 3, stream)
    progress.step(epoch=1, step=2, steps=4, loss=0.6)

    assert "2/4" in stream.getvalue()
    assert "\n" not in stream.getvalue()


def test_pruning_tells_a_pipe_every_tenth_loop_and_the_last():
    stream = io.StringIO()
    progress = PruningProgress(25, stream)
    for loop in range(1, 26):
        progress(loop, plan({"macs": 50, "params": 40}))

    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["10/25", "20/25", "25/25"]


def test_pruning_tells_the_milliseconds_where_they_are_known():
    stream = io.StringIO()
    progress = PruningProgress(1, stream)
    progress(1, plan({"macs": 50, "params": 40, "latency_ms": 12.34}))

    assert stream.getvalue() == "prune loop 1/1  MACs 50.0%  params 40.0%  12.3 ms (estimated)\n"


def test_a_warning_is_a_line_with_its_hint():
    stream = io.StringIO()
    warn("no pixel of `car`", hint="look at the masks", stream=stream)

    assert stream.getvalue() == "warning: no pixel of `car` (look at the masks)\n"
