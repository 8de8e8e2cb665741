"""One model in a process of its own, timed on request: the far end of `rsseg_tf.benchmark.latency`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from rsseg_tf.benchmark.system import memory_mb
from rsseg_tf.child import serve
from rsseg_tf.inference.runtimes.opening import Runner, open_runner
from rsseg_tf.inference.tiling import Image


def timed_run(runner: Runner, frame: Image) -> tuple[float, float]:
    """Return the milliseconds inside the interpreter, and from the frame to its class map."""
    started = time.perf_counter_ns()
    runner.set_input(frame)
    called = time.perf_counter_ns()
    runner.invoke()
    returned = time.perf_counter_ns()
    runner.output_classes()
    done = time.perf_counter_ns()
    return (returned - called) / 1e6, (done - started) / 1e6


def times(requests: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Open the model at a path with threads, a delegate and a runtime, then time runs, as many as are asked for."""
    path, threads, delegate, runtime = next(requests)
    runner = open_runner(path, threads=threads, delegate=delegate, runtime=runtime, output=None)
    frame = np.random.default_rng(0).integers(0, 256, (*runner.input_size, runner.num_bands), dtype=np.uint8)
    first_ms, _ = timed_run(runner, frame)
    yield _facts(runner, first_ms)
    for count in requests:
        timed_run(runner, frame)  # brings the model back into the caches that other models used
        yield {"times_ms": [timed_run(runner, frame) for _ in range(count)]}
    yield {"peak_rss_mb": memory_mb("VmHWM")}


def _facts(runner: Runner, first_ms: float) -> dict[str, Any]:
    height, width = runner.input_size
    return {
        "height": height,
        "width": width,
        "load_ms": runner.load_ms,
        "first_inference_ms": first_ms,
        "arena_bytes": runner.arena_bytes,
        "delegate_partitions": runner.partitions()[0],
        "runtime": runner.runtime,
    }


if __name__ == "__main__":
    sys.exit(serve(times))
