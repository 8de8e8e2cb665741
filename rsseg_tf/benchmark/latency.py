"""Latency and memory of `.tflite` and `.onnx` files, measured side by side.

Every model runs in a process of its own, so that peak memory is its own. The models take turns
(A B C A B C …), so that heat, clock changes and other load fall on all of them alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsseg_tf.benchmark.energy import EnergyMeter, find_power_sensor
from rsseg_tf.benchmark.system import SystemInfo, read_system, was_throttled
from rsseg_tf.child import Child, open_child
from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.progress import Progress
from rsseg_tf.runs import file_hash
from rsseg_tf.text import text_table

_RUNS_A_TURN = 5
_COLUMNS: tuple[str, ...] = (
    *("model", "threads", "p50 ms", "p90", "p95", "p99", "fps", "MP/s", "end to end ms", "load ms", "first ms"),
    *("peak MB", "arena MB", "file MB", "ratio", "mJ", "mIoU %"),
)


@dataclass(frozen=True)
class BenchmarkResult:
    """One model at one number of threads.

    Attributes:
        model: its path as given.
        sha256: of the file.
        file_bytes: size of the file.
        threads: CPU threads.
        repeats: timed runs.
        height: of the input, in pixels.
        width: of the input, in pixels.
        p50_ms: median time inside the interpreter; so are `p90_ms`, `p95_ms` and `p99_ms`.
        fps: runs per second at the median.
        megapixels_per_s: millions of input pixels per second at the median.
        end_to_end_p50_ms: median from uint8 frame to uint8 class map, host work included.
        load_ms: opening the file and preparing the delegate.
        first_inference_ms: the first run, cold.
        peak_rss_mb: peak memory of its process, Python and NumPy included, in 1e6 bytes.
        arena_bytes: planned memory of the activations; 0 of an ONNX file, whose runtimes do not tell.
        delegate_partitions: pieces of the graph that the delegate runs.
        ratio: median against that of the first model at the same threads.
        cpu: the processor's name.
        governor: how the kernel chooses the clock.
        temperature_c: of the hottest sensor, after the last run.
        throttled: whether the clock was held back meanwhile; None where unknown.
        temperature_before_c: of the hottest sensor, before the first run.
        energy_mj: millijoules of the whole machine for each run, idle part included; None without a power sensor.
        miou: on a data set, 0 to 1; None where none was given.
        runtime: what ran it.
    """

    model: str
    sha256: str
    file_bytes: int
    threads: int
    repeats: int
    height: int
    width: int
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    fps: float
    megapixels_per_s: float
    end_to_end_p50_ms: float
    load_ms: float
    first_inference_ms: float
    peak_rss_mb: float | None
    arena_bytes: int
    delegate_partitions: int
    ratio: float
    cpu: str
    governor: str | None
    temperature_c: float | None
    throttled: bool | None
    temperature_before_c: float | None = None
    energy_mj: float | None = None
    miou: float | None = None
    runtime: str = "litert"

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Measured:
    path: Path
    threads: int
    facts: dict[str, Any]
    times_ms: list[tuple[float, float]]
    peak_rss_mb: float | None


def benchmark(  # noqa: PLR0913 - what is measured, by what, and how often
    paths: Sequence[Path],
    *,
    threads: Sequence[int] = (1,),
    repeats: int = 50,
    warmup: int = 5,
    delegate: Path | None = None,
    runtimes: Sequence[str] = ("",),
    progress: Progress | None = None,
) -> list[BenchmarkResult]:
    """Time model files, taking turns, on a random frame that is always the same.

    Args:
        paths: the `.tflite` files; ratios are against the first.
        threads: numbers of CPU threads to try.
        repeats: timed runs of every model at every number of threads.
        warmup: runs of each before the timed ones.
        delegate: shared library of a delegate.
        runtimes: those that each file is run by; see `rsseg_tf.inference.runtimes.opening.open_runner`.
        progress: called after every round with how many runs of a model are done and how many there are.

    Returns:
        One result for each model, runtime and number of threads, in the order given.

    Raises:
        ModelError: if a file is not a model, or crashes.
        ConfigError: if there are no repeats or no threads.
    """
    check_settings(threads, repeats, warmup)
    before = read_system()
    meter = EnergyMeter(find_power_sensor())
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(_worker(path, count, delegate, runtime))
            for count in threads
            for path in paths
            for runtime in runtimes
        ]
        for worker in workers:
            worker.run(warmup)
        for turn in turns(repeats):
            for number, worker in enumerate(workers):
                with meter.account(number):
                    worker.run(turn, keep=True)
            if progress:
                progress(len(workers[-1].times_ms), repeats)
        measured = [worker.finish() for worker in workers]
    results = _results(measured, before=before, after=read_system())
    runs = repeats + len(turns(repeats))  # the worker begins each turn with a run to warm up
    return [
        dataclasses.replace(result, energy_mj=1e3 * meter.joules[number] / runs) if number in meter.joules else result
        for number, result in enumerate(results)
    ]


def format_results(results: Sequence[BenchmarkResult]) -> str:
    """Return the results as a text table."""
    return f"{text_table([_COLUMNS, *map(_row, results)])}\n{_conditions(results[0])}"


def _row(result: BenchmarkResult) -> tuple[str, ...]:
    numbers = (result.p50_ms, result.p90_ms, result.p95_ms, result.p99_ms, result.fps, result.megapixels_per_s)
    later = (result.end_to_end_p50_ms, result.load_ms, result.first_inference_ms)
    peak = "–" if result.peak_rss_mb is None else f"{result.peak_rss_mb:.0f}"
    by = "" if result.runtime == "litert" else f" ({result.runtime})"
    return (
        f"{result.model}{by}",
        str(result.threads),
        *(f"{number:.2f}" for number in (*numbers, *later)),
        peak,
        f"{result.arena_bytes / 1e6:.2f}",
        f"{result.file_bytes / 1e6:.2f}",
        f"{result.ratio:.2f}",
        "–" if result.energy_mj is None else f"{result.energy_mj:.1f}",
        "–" if result.miou is None else f"{100 * result.miou:.2f}",
    )


def _conditions(result: BenchmarkResult) -> str:
    start, end = result.temperature_before_c, result.temperature_c
    heat = "" if start is None or end is None else f", {start:.0f} → {end:.0f} °C"
    clock = "" if result.governor is None else f", governor {result.governor}"
    throttled = ", THROTTLED: let it cool and measure again" if result.throttled else ""
    energy = ", energy unknown: no power sensor" if result.energy_mj is None else ""
    return f"{result.cpu}{clock}{heat}{throttled}{energy}; {result.repeats} runs each"


def check_settings(threads: Sequence[int], repeats: int, warmup: int) -> None:
    """Check the numbers of threads, repeats and warm-up runs.

    Raises:
        ConfigError: if there are no repeats or no threads.
    """
    if not threads or min(threads) < 1:
        raise ConfigError(f"threads must be 1 or more, got {', '.join(map(str, threads)) or 'none'}")
    if repeats < 1 or warmup < 0:
        raise ConfigError(f"repeats must be 1 or more and warmup 0 or more, got {repeats} and {warmup}")


def turns(repeats: int) -> list[int]:
    """Return how many timed runs each turn has."""
    full, rest = divmod(repeats, _RUNS_A_TURN)
    return [_RUNS_A_TURN] * full + [rest] * bool(rest)


class _Worker:
    """The near end of a child process that holds one model."""

    def __init__(self, path: Path, threads: int, child: Child) -> None:
        self.path = path
        self.threads = threads
        self.times_ms: list[tuple[float, float]] = []
        self._child = child
        self._facts = child.read()

    def run(self, count: int, *, keep: bool = False) -> None:
        """Time `count` runs; keep the times or forget them."""
        times = self._child.ask(count)["times_ms"]
        if keep:
            self.times_ms.extend((inside, whole) for inside, whole in times)

    def finish(self) -> _Measured:
        """End the process and return what was measured."""
        self._child.end()
        return _Measured(self.path, self.threads, self._facts, self.times_ms, self._child.read()["peak_rss_mb"])


@contextlib.contextmanager
def _worker(path: Path, threads: int, delegate: Path | None, runtime: str) -> Iterator[_Worker]:
    with open_child("rsseg_tf.benchmark.latency_worker", ended=crash_on(path)) as child:
        child.tell((path, threads, delegate, runtime))
        yield _Worker(path, threads, child)


def crash_on(path: Path) -> Callable[[int | None], ModelError]:
    """Return the function that makes the error for a measuring process that ended early."""
    hint = "the interpreter crashed on it: copy the file again, or export the model again"
    return lambda _code: ModelError(f"`{path}` ended its benchmark process", hint=hint)


def _results(measured: Sequence[_Measured], *, before: SystemInfo, after: SystemInfo) -> list[BenchmarkResult]:
    first = {each.threads: _median(each) for each in reversed(measured)}
    return [_result(each, ratio=_median(each) / first[each.threads], before=before, after=after) for each in measured]


def _median(measured: _Measured) -> float:
    return float(np.median([inside for inside, _ in measured.times_ms]))


def _result(each: _Measured, *, ratio: float, before: SystemInfo, after: SystemInfo) -> BenchmarkResult:
    inside, whole = np.array(each.times_ms).T
    p50, p90, p95, p99 = (float(value) for value in np.percentile(inside, [50, 90, 95, 99]))
    return BenchmarkResult(
        model=str(each.path),
        sha256=file_hash(each.path),
        file_bytes=each.path.stat().st_size,
        threads=each.threads,
        repeats=len(inside),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        fps=1e3 / p50,
        megapixels_per_s=each.facts["height"] * each.facts["width"] / p50 / 1e3,
        end_to_end_p50_ms=float(np.median(whole)),
        peak_rss_mb=each.peak_rss_mb,
        ratio=ratio,
        cpu=after.cpu,
        governor=after.governor,
        temperature_c=after.temperature_c,
        throttled=was_throttled(before, after),
        temperature_before_c=before.temperature_c,
        **each.facts,
    )
