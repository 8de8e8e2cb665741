"""What workers do with memory between arrays."""

from __future__ import annotations

import platform
import resource
import time
import timeit

import pytest

from rsseg_tf.cluster.engine import Cluster
from rsseg_tf.cluster.memory import keep_memory

ARRAYS, BYTES, PAGE = 50, 2_000_000, 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_workers_use_the_memory_of_an_array_again(two: Cluster) -> None:
    assert set(two.everywhere(keep_memory).values()) == {True}
    assert max(new_pages(two)) < 0.1 * ARRAYS * BYTES / PAGE  # as Dask starts workers, all of them


def new_pages(cluster: Cluster) -> list[int]:
    """Return how many pages the system had to clear for each worker to make many arrays, one after the other."""
    before = cluster.everywhere(resource.getrusage, resource.RUSAGE_SELF)
    cluster.everywhere(timeit.timeit, f"b'x' * {BYTES}", "pass", time.perf_counter, ARRAYS)
    after = cluster.everywhere(resource.getrusage, resource.RUSAGE_SELF)
    return [after[where].ru_minflt - before[where].ru_minflt for where in before]
