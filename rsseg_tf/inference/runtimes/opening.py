"""The runner of a model file, by its kind."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from rsseg_tf.errors import ConfigError
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.inference.runtimes.exchanged import OnnxRunner
from rsseg_tf.tflite.ports import Normalization

Runner: TypeAlias = TFLiteRunner | OnnxRunner


def open_runner(
    path: Path,
    *,
    threads: int = 1,
    delegate: Path | None = None,
    runtime: str = "",
    normalization: Normalization | None = None,
    output: str | None = "",
) -> Runner:
    """Return the runner of a `.tflite` or `.onnx` file.

    Args:
        path: the model file; any ending but `.onnx` is taken for TFLite.
        threads: CPU threads.
        delegate: shared library of a delegate, of LiteRT alone.
        runtime: `litert`, `openvino`, `onnxruntime`, or `auto` for the fastest that is installed; empty for `litert` or
            of an ONNX file `onnxruntime`.
        normalization: of pixels, of a TFLite file that another program made.
        output: name or number of the one that holds the classes, where such a file has several; None for any.

    Raises:
        ModelError: if there is no such file, or one that is not a segmentation network.
        ConfigError: if the runtime does not read such files, or the file needs no normalization or delegate.
        MissingExtraError: if the runtime is not installed.
    """
    if path.suffix.lower() != ".onnx":
        return TFLiteRunner(
            path,
            threads=threads,
            delegate=delegate,
            runtime=runtime or "litert",
            normalization=normalization,
            output=output,
        )
    if delegate or normalization or output:
        raise ConfigError(
            f"`{path}` is an ONNX file, which has no delegates, normalizes pixels itself and has one output",
            hint="omit --delegate, --mean, --std and --output",
        )
    return OnnxRunner(path, threads=threads, runtime=runtime or "onnxruntime")
