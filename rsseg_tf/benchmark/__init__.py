"""How fast a `.tflite` file is on this machine, what memory and energy it needs, and how long each operator takes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsseg_tf.benchmark.latency import BenchmarkResult, benchmark
    from rsseg_tf.benchmark.profile import LatencyProfile, load_profile, save_profile
else:
    from rsseg_tf.lazy import offering

    __getattr__, __dir__ = offering(
        __name__,
        {"latency": ["BenchmarkResult", "benchmark"], "profile": ["LatencyProfile", "load_profile", "save_profile"]},
    )

__all__ = ["BenchmarkResult", "LatencyProfile", "benchmark", "load_profile", "save_profile"]
