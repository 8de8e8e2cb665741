"""What a file computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rsseg_tf.tflite.interpreter import invoke, open_interpreter


def output(content: bytes, image: np.ndarray, path: Path) -> np.ndarray:
    """The first output of a file, which is written to `path`, for pixels (H, W, C)."""
    path.write_bytes(content)
    native = open_interpreter(path, threads=1)
    native.set_tensor(native.get_input_details()[0]["index"], image[None])
    invoke(native, path=path)
    return native.get_tensor(native.get_output_details()[0]["index"])
