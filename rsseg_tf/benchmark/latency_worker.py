"""One model in a process of its own, timed on request: the far end of `rsseg_tf.benchmark.latency`.

Requests are lines on stdin: a number of timed runs, or nothing more to stop. Answers are lines of
JSON on stdout.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from rsseg_tf.benchmark.system import memory_mb
from rsseg_tf.child import answer
from rsseg_tf.errors import RssegError
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.inference.tiling import Image


def timed_run(runner: TFLiteRunner, frame: Image) -> tuple[float, float]:
    """Milliseconds inside the interpreter, and from the frame to its class map."""
    started = time.perf_counter_ns()
    runner.set_input(frame)
    called = time.perf_counter_ns()
    runner.invoke()
    returned = time.perf_counter_ns()
    runner.output_classes()
    done = time.perf_counter_ns()
    return (returned - called) / 1e6, (done - started) / 1e6


def main(arguments: list[str]) -> int:
    """Serve the model at `arguments[0]` with `arguments[1]` threads, on the delegate `arguments[2]` if there is one."""
    path, threads, *delegate = arguments
    try:
        runner = TFLiteRunner(path, threads=int(threads), delegate=delegate[0] if delegate else None)
        frame = np.random.default_rng(0).integers(0, 256, (*runner.input_size, 3), dtype=np.uint8)
        first_ms, _ = timed_run(runner, frame)
        answer(_facts(runner, first_ms))
        for line in sys.stdin:
            timed_run(runner, frame)  # brings the model back into the caches that other models used
            answer({"times_ms": [timed_run(runner, frame) for _ in range(int(line))]})
        answer({"peak_rss_mb": memory_mb("VmHWM")})
    except RssegError as error:
        answer({"error": error.message, "hint": error.hint})
        return error.exit_code
    return 0


def _facts(runner: TFLiteRunner, first_ms: float) -> dict[str, Any]:
    height, width = runner.input_size
    return {
        "height": height,
        "width": width,
        "load_ms": runner.load_ms,
        "first_inference_ms": first_ms,
        "arena_bytes": runner.arena_bytes,
        "delegate_partitions": runner.partitions()[0],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
