"""A proof that OpenVINO or ONNX Runtime can load and run a model file, before it does so in this process.

As `rsseg_tf.tflite.guard` has it for LiteRT: these check a file's structure but trust what is in it. A file whose seal
says that it is byte for byte what the export wrote is trusted; any other is loaded and run once in a child process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from rsseg_tf.child import prove, serve
from rsseg_tf.inference.runtimes.engine import Describing, OnnxRuntime, OpenVINO

Opening = Callable[..., Describing]

ENGINES: Mapping[str, Opening] = {"openvino": OpenVINO, "onnxruntime": OnnxRuntime}
"""Runtime → its engine, for those that take a file apart themselves."""

TIMEOUT_S = 300
"""What a file may take to be loaded and run once."""

_checked: set[tuple[str, str, int, int]] = set()


def check_runs(path: Path, runtime: str, *, is_sealed: bool) -> None:
    """Check that a runtime loads and runs a file; it is tried at most once in a process.

    Args:
        path: the model file.
        runtime: a name in `ENGINES`.
        is_sealed: whether it is known to be what was exported.

    Raises:
        ModelError: if the runtime refuses the file, crashes, or does not come back.
    """
    status = path.stat()
    key = (str(path.resolve()), runtime, status.st_size, status.st_mtime_ns)
    if key not in _checked and not is_sealed:
        prove(
            "rsseg_tf.inference.runtimes.guard",
            (path, runtime),
            crash=f"`{path}` crashes {runtime}",
            late=f"`{path}` did not run once within {TIMEOUT_S} s",
            hint="copy the file again, or export the model again",
            most_s=TIMEOUT_S,
        )
    _checked.add(key)


def run_once(requests: Iterator[tuple[Path, str]]) -> Iterator[dict[str, bool]]:
    """Load and run the file that is asked for, in the child process; one without a fixed size is loaded alone."""
    path, runtime = next(requests)
    engine = ENGINES[runtime](path, threads=1)
    shape = engine.shapes[0]
    is_fixed = all(isinstance(side, int) for side in shape)
    if is_fixed:
        engine.set_input(np.zeros(shape, engine.input_dtype))
        engine.invoke()
    yield {"runs": is_fixed}


if __name__ == "__main__":
    sys.exit(serve(run_once))
