from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from rsseg_tf.benchmark import latency as bench
from rsseg_tf.benchmark.latency import BenchmarkResult, benchmark, format_results
from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.runs import file_hash


class FakeChild:
    """Stands in for a child process: writes down its turns and answers with prepared times."""

    def __init__(self, log: list[tuple[str, int, int]]) -> None:
        self.log, self.runs = log, 0
        self.answers: list[dict[str, Any]] = []

    def tell(self, request: tuple[Path, int, None]) -> None:
        self.name, self.threads = request[0].name, request[1]
        facts = {"height": 100, "width": 200, "load_ms": 1.0, "first_inference_ms": 2.0}
        self.answers.append(facts | {"arena_bytes": 3, "delegate_partitions": 1})

    def read(self) -> dict[str, Any]:
        return self.answers.pop()

    def ask(self, count: int) -> dict[str, Any]:
        self.log.append((self.name, self.threads, count))
        pace, runs = {"a": 1.0, "b": 4.0}[self.name], range(self.runs, self.runs + count)
        self.runs += count
        return {"times_ms": [(pace * (100 + run), 2 * pace * 100) for run in runs]}

    def end(self) -> None:
        self.answers.append({"peak_rss_mb": 50.0})


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """The turns (model, threads, runs) that a benchmark of fakes takes."""
    log: list[tuple[str, int, int]] = []
    monkeypatch.setattr(bench, "open_child", lambda _module, **_options: contextlib.nullcontext(FakeChild(log)))
    return log


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    return [tmp_path / "a", tmp_path / "b"]


def measured(paths: list[Path], **options: object) -> list[BenchmarkResult]:
    return benchmark(paths, **{"repeats": 12, "warmup": 3, **options})  # type: ignore[arg-type]


def test_models_take_turns(turns: list[tuple[str, int, int]], two: list[Path]) -> None:
    measured(two)
    assert turns == [(name, 1, runs) for runs in (3, 5, 5, 2) for name in ("a", "b")]


def test_every_model_is_timed_at_every_number_of_threads(turns: list[tuple[str, int, int]], two: list[Path]) -> None:
    results = measured(two, threads=(1, 4))
    assert [(Path(result.model).name, result.threads) for result in results] == [("a", 1), ("b", 1), ("a", 4), ("b", 4)]
    assert {result.repeats for result in results} == {12}
    assert len(turns) == 16


@pytest.mark.usefixtures("turns")
def test_ratios_are_against_the_first_model_at_the_same_threads(two: list[Path]) -> None:
    assert [result.ratio for result in measured(two, threads=(1, 4))] == [1.0, 4.0, 1.0, 4.0]


@pytest.mark.usefixtures("turns")
def test_figures_follow_from_the_times(two: list[Path]) -> None:
    first = measured(two)[0]
    assert first.p50_ms == pytest.approx(108.5)  # of the runs 4 to 15, after three to warm up
    assert first.p50_ms <= first.p90_ms <= first.p95_ms <= first.p99_ms <= 114
    assert first.fps == pytest.approx(1000 / 108.5)
    assert first.megapixels_per_s == pytest.approx(0.02 * first.fps)
    assert first.end_to_end_p50_ms == 200


@pytest.mark.usefixtures("turns")
def test_results_are_json_and_a_table(two: list[Path]) -> None:
    results = measured(two)
    assert json.loads(json.dumps(results[0].to_dict(), allow_nan=False))["sha256"] == file_hash(two[0])
    assert len(format_results(results).splitlines()) == 1 + len(results) + 1


@pytest.mark.usefixtures("turns")
def test_progress_is_told_of_every_round(two: list[Path]) -> None:
    told: list[tuple[int, int]] = []
    measured(two, progress=lambda done, total: told.append((done, total)))
    assert told == [(5, 12), (10, 12), (12, 12)]


@pytest.mark.parametrize("options", [{"repeats": 0}, {"threads": ()}, {"threads": (0,)}, {"warmup": -1}])
def test_senseless_settings_are_refused(two: list[Path], options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        measured(two, **options)


def test_real_models_are_measured_in_processes_of_their_own(models: Path) -> None:
    results = measured([models / "sealed.tflite", models / "float32.tflite"], repeats=3, warmup=1)
    assert [result.delegate_partitions for result in results] == [1, 1]
    for result in results:
        assert 0 < result.p50_ms <= result.end_to_end_p50_ms
        assert result.load_ms > 0
        assert result.peak_rss_mb is None or result.peak_rss_mb > 1


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"broken\.tflite"):
        measured([path])


def test_a_worker_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(dying))
    with pytest.raises(ModelError, match=r"m\.tflite. ended its benchmark process"):
        measured([tmp_path / "m.tflite"])
