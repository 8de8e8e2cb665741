"""An `.onnx` segmentation network that `export-onnx` wrote, on the CPU: uint8 image in, classes or scores out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError
from rsseg_tf.inference.blending import best_class
from rsseg_tf.inference.runtimes.choice import runtime_for
from rsseg_tf.inference.runtimes.engine import Describing, Stored
from rsseg_tf.inference.runtimes.guard import ENGINES, check_runs
from rsseg_tf.inference.runtimes.images import ImageRunner
from rsseg_tf.inference.runtimes.seal import is_sealed
from rsseg_tf.inference.tiling import Image, Logits
from rsseg_tf.tflite.flatbuffer import read_content
from rsseg_tf.tflite.metadata import METADATA_NAME, ModelMetadata, metadata_of

_HINT = "give an .onnx file that export-onnx wrote"
_LEAST = np.float32(1e-12)
"""Probabilities below it are as good as none."""


class OnnxRunner(ImageRunner):
    """Runs one ONNX file, one image at a time; what it offers is what `rsseg_tf.inference.runner.TFLiteRunner` does.

    Args:
        path: the `.onnx` file.
        threads: CPU threads.
        runtime: `onnxruntime`, `openvino`, or `auto` for the faster of those that are installed.

    Raises:
        ModelError: if there is no such file, a damaged one, or one that the runtime refuses or `export-onnx` did not
            write.
        ConfigError: if there is no such runtime, or it does not read ONNX.
        MissingExtraError: if the runtime is not installed.
    """

    head = "logits"
    score_unit = 1.0
    arena_bytes = 0
    knows_pixels = True

    def __init__(self, path: Path | str, *, threads: int = 1, runtime: str = "onnxruntime") -> None:
        self.path = Path(path)
        self.runtime = runtime_for(self.path, runtime)
        check_runs(self.path, self.runtime, is_sealed=_is_sealed(self.path))
        started = time.perf_counter()
        self._engine: Describing = ENGINES[self.runtime](self.path, threads=threads)
        self.load_ms = (time.perf_counter() - started) * 1e3
        self.metadata = _metadata(self.path, self._engine)
        (_, *sides), (_, *made) = self._engine.shapes
        if not all(isinstance(side, int) for side in (*sides, *made)):
            raise ModelError(f"`{path}` has no fixed size", hint=_HINT)
        self.num_bands, *size = sides
        self.num_classes, self.input_size = made[0], (size[0], size[1])

    def scores(self, image: Image) -> NDArray[Any]:
        """Return what `logits` does."""
        return self.logits(image)

    def output_logits(self) -> Logits:
        """Return the logarithm of the probabilities of the last run: float32 (h, w, C)."""
        return np.log(np.maximum(np.moveaxis(self._engine.output()[0], 0, -1), _LEAST))

    def output_classes(self) -> Image:
        """Return the class map of the last run: uint8 (h, w)."""
        return best_class(np.moveaxis(self._engine.output()[0], 0, -1))

    def _stored(self, image: Image) -> Stored:
        return np.moveaxis(image, -1, 0)[None].astype(np.float32) / np.float32(255)

    def partitions(self) -> tuple[int, list[str]]:
        """Return one piece."""
        return self._engine.partitions()


def _is_sealed(path: Path) -> bool:
    try:
        return is_sealed(read_content(path))
    except ModelError as error:
        raise ModelError(f"`{path}` is damaged: {error.message}", hint=error.hint) from error


def _metadata(path: Path, engine: Describing) -> ModelMetadata:
    if METADATA_NAME not in engine.notes or not all(len(shape) == 4 for shape in engine.shapes):
        raise ModelError(f"`{path}` does not describe itself", hint=_HINT)
    try:
        return metadata_of(json.loads(engine.notes[METADATA_NAME]))
    except (ModelError, ValueError, AttributeError) as error:
        raise ModelError(f"`{path}` does not describe itself: {error}", hint=_HINT) from error
