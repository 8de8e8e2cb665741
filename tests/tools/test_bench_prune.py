"""The clocks add up, finished parts stay, and results of other work are refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

import bench_prune
import pytest
from bench_work import Work
from click.testing import CliRunner

from rsseg_tf.errors import ConfigError
from rsseg_tf.pruning import Plan

WORK = Work("resnet18", 64, 2, 4, 2, 0.5, "float32")
MEMORY = {"memory_train": {"peak_mb": 100.0}, "memory_prune": {"peak_mb": 130.0}}


def times():
    scored = {0: [5.0, 1.0, 1.0], 1: [1.0, 1.0, 1.0], 2: [4.0, 0.5, 0.5], 3: [0.5, 0.5, 0.5]}
    return bench_prune.time_figures(20.0, scored, [8.0, *[2.0] * 11])


def test_tracing_counts_against_the_pruning_and_not_for_the_training():
    figures = times()

    assert figures["train_s"] == 12 * 2.0
    assert figures["train_traced_s"] == 8.0 + 11 * 2.0
    assert figures["ratio"] == pytest.approx(20 / 24)
    assert figures["ratio_traced"] == pytest.approx(20 / 30)


def test_a_loops_first_batch_tells_its_tracing():
    figures = times()

    assert figures["traces"] == 2
    assert figures["score_tracing_s"] == pytest.approx(4.0 + 3.5)
    assert figures["train_tracing_s"] == pytest.approx(6.0)
    assert figures["other_s"] == pytest.approx(20.0 - 16.5)


def test_the_stopwatch_times_what_its_reader_does(monkeypatch):
    clock = iter([10.0, 13.0, 20.0, 24.0])
    monkeypatch.setattr(bench_prune, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    watch = bench_prune.Stopwatch(["a", "b"])

    assert list(watch(7)) == ["a", "b"]
    assert watch.seconds == {7: [3.0, 4.0]}


@pytest.mark.parametrize(("loops", "block"), [(6, 2), (7, 3), (2, 5)])
def test_every_loop_is_matched_by_its_gradient_steps(loops, block):
    trained = []
    turns = bench_prune.Turns(trained.append, ["a", "b"], block=block, loops=loops)
    counts = []
    for loop in range(1, loops + 1):
        turns(loop, Plan(keep={}, widths={}, cost={"macs": 9, "params": 9}, dense_cost={"macs": 10, "params": 10}))
        counts.append(len(trained))

    assert counts[-1] == len(turns.step_seconds) == 2 * loops
    assert all(count == 2 * (loop - loop % block) for loop, count in enumerate(counts[:-1], start=1))


def test_a_finished_part_is_not_measured_again(tmp_path):
    out, measured = tmp_path / "bench.json", []

    def part(name, fails=False):
        def run():
            measured.append(name)
            if fails:
                raise KeyboardInterrupt
            return {"peak_mb": len(measured)}

        return run

    with pytest.raises(KeyboardInterrupt):
        bench_prune.measure(out, WORK, {"a": part("a"), "b": part("b", fails=True)})
    result = bench_prune.measure(out, WORK, {"a": part("a"), "b": part("b")})

    assert measured == ["a", "b", "b"]
    assert result["a"] == {"peak_mb": 1}
    assert json.loads(out.read_text()) == result


def test_results_of_other_work_are_refused(tmp_path):
    out = tmp_path / "bench.json"
    bench_prune.measure(out, WORK, {"a": lambda: {"peak_mb": 1.0}})

    with pytest.raises(ConfigError, match="other work"):
        bench_prune.measure(out, Work("resnet50", 64, 2, 4, 2, 0.5, "float32"), {})


def test_the_table_judges_by_the_bars():
    result = {"work": vars(WORK), "time": {"macs_share": 0.49, **times()}, **MEMORY}
    head, rule, row = (line.split(" | ") for line in bench_prune.markdown(result).splitlines())

    assert len(head) == len(rule) == len(row)
    assert row[3] == "0.83 > 0.5 (with tracing 0.67)"
    assert row[-1] == "1.30 > 1.2 |"
    assert "4 loops × 2 to 49% of the MACs" in row[0]


def test_help_needs_no_tensorflow_and_names_the_file():
    result = CliRunner().invoke(bench_prune.main, ["--help"])

    assert result.exit_code == 0
    assert "--out" in result.output
