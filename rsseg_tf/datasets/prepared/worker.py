"""A process that prepares samples: its job on stdin, a line of JSON on stdout for each of them.

It ends when nobody reads its lines any more, so that it does not outlive a killed run for long.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from dataclasses import asdict
from typing import Any

import cv2

from rsseg_tf.errors import RssegError


def main() -> None:
    """Prepare the samples of the job; an error that a user can mend is the last line."""
    dataset, store, samples = pickle.load(sys.stdin.buffer)  # our own parent wrote it
    cv2.setNumThreads(1)
    for index, sample in enumerate(samples):
        try:
            _say({"index": index, "examination": asdict(store.make(dataset, sample))})
        except RssegError as error:
            _say({"error": error.message, "hint": error.hint})
            return


def _say(answer: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(1)  # an ordinary end would flush once more, and complain on stderr


if __name__ == "__main__":
    main()
