"""One of several interpreters side by side, each in a process of its own: the far end of `throughput`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from rsseg_tf.child import serve
from rsseg_tf.inference.runner import TFLiteRunner

_WARM_UPS = 2


def counts(requests: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Open the model at a path with a number of threads and a delegate; for so many seconds, count its images."""
    path, threads, delegate = next(requests)
    cv2.setNumThreads(threads)
    runner = TFLiteRunner(path, threads=threads, delegate=delegate, output=None)
    frame = np.random.default_rng(0).integers(0, 256, (*runner.input_size, runner.num_bands), dtype=np.uint8)
    for _ in range(_WARM_UPS):
        runner.scores(frame)
    yield {"pixels": runner.input_size[0] * runner.input_size[1]}
    for seconds in requests:
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            runner.scores(frame)
            done += 1
        yield {"images": done, "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    sys.exit(serve(counts))
