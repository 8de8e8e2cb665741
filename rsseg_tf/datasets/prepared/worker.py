"""A process that prepares samples: the far end of `rsseg_tf.datasets.prepared.prepare`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import cv2

from rsseg_tf.child import serve


def examinations(requests: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Prepare the requested samples; the first request holds the data set and its store."""
    dataset, store = next(requests)
    cv2.setNumThreads(1)
    for sample in requests:
        yield asdict(store.make(dataset, sample))


if __name__ == "__main__":
    sys.exit(serve(examinations))
