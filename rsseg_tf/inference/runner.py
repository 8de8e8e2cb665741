"""A `.tflite` segmentation network on the CPU or a delegate: uint8 image in, classes or scores out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config.data import MOST_BANDS
from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.inference.blending import best_class
from rsseg_tf.inference.runtimes.choice import AUTO, runtime_for
from rsseg_tf.inference.runtimes.engine import Engine, LiteRT, OpenVINO, Stored
from rsseg_tf.inference.runtimes.guard import ENGINES, check_runs
from rsseg_tf.inference.runtimes.images import ImageRunner
from rsseg_tf.inference.tiling import Image, Logits
from rsseg_tf.tflite.arena import arena_bytes
from rsseg_tf.tflite.delegates import check_fits
from rsseg_tf.tflite.flatbuffer import parse_model, read_content
from rsseg_tf.tflite.graph import Tensor, TFLiteModel
from rsseg_tf.tflite.guard import check_loads
from rsseg_tf.tflite.metadata import ModelMetadata, metadata_in, verify_seal
from rsseg_tf.tflite.ports import (
    Normalization,
    Port,
    normalization_in,
    normalization_of,
    of_two,
    scores_among,
    takes_pixels,
)
from rsseg_tf.tflite.runtime import load_runtime

_INPUT_DTYPES = ("uint8", "int8", "float32")
_CLASS_DTYPES = ("uint8", "int8", "int32", "int64")


class TFLiteRunner(ImageRunner):
    """Runs one model file, one image at a time.

    Low scores are resized to full size, and a `classes` head gives one-hot logits.

    Args:
        path: the `.tflite` file.
        threads: CPU threads.
        delegate: shared library of a delegate, such as the Edge TPU's; XNNPACK runs the rest.
        metadata: used in place of what the file says about itself.
        runtime: `litert`, `openvino`, or `auto` for the faster of those that are installed.
        normalization: of pixels, for a network that does not normalize them itself; of a file that does not describe
            itself, by default what the quantization of its input says.
        output: name or number of the output that holds the classes, of a file with several; by default the only one as
            high and wide as the image; None for any of them, where time alone counts.

    Attributes:
        path: the model file.
        runtime: that carries it out.
        metadata: what the file says about itself, or None.
        head: `logits`, `logits-low` or `classes`, seen from the output's shape.
        knows_pixels: whether the file, its input or `normalization` says what pixels become.
        input_size: height and width in pixels.
        num_bands: of an image; 3 for RGB.
        load_ms: how long the native library took to load the file.
        arena_bytes: planned memory of the activations; see `rsseg_tf.tflite.arena`.

    Raises:
        ModelError: if there is no such file, a damaged one, or not a network that maps an image to classes.
        ConfigError: if there is no such runtime, or it has no delegates.
        MissingExtraError: if the runtime is not installed.

    Examples:
        >>> runner = TFLiteRunner("model.tflite")
        >>> runner.classes(np.zeros((*runner.input_size, runner.num_bands), np.uint8)).shape == runner.input_size
        True
    """

    def __init__(  # noqa: PLR0913 - the file, what runs it, and what it does not say of itself
        self,
        path: Path | str,
        *,
        threads: int = 1,
        delegate: Path | str | None = None,
        runtime: str = "litert",
        metadata: ModelMetadata | None = None,
        normalization: Normalization | None = None,
        output: str | None = "",
    ) -> None:
        self.path = Path(path)
        self.runtime = runtime_for(self.path, "litert" if delegate and runtime == AUTO else runtime)
        if delegate and self.runtime != "litert":
            raise ConfigError(f"{self.runtime} takes no delegate", hint="omit --delegate, or use --runtime litert")
        library = Path(delegate) if delegate else None
        content = read_content(self.path)
        model = parse_model(content, name=str(path))
        self.metadata = metadata or metadata_in(content, path=self.path)
        self._place = _output_of(model, self.path, output)
        self._input, self._output = _ports(model, self.path, self._place)
        found = normalization or (normalization_in if self.metadata else normalization_of)(self._input)
        self.knows_pixels = found is not None
        self._normalization = found or normalization_in(self._input)
        self._takes_pixels = takes_pixels(self._input, self._normalization)
        made_by = {tensor.index: op.name for op in model.ops for tensor in op.outputs}
        self._ends_in_probabilities = made_by.get(self._output.index) == "LOGISTIC"
        self.input_size = (self._input.shape[1], self._input.shape[2])
        self.num_bands = self._input.shape[3]
        self.head = self._find_head()
        self.arena_bytes = arena_bytes(model)
        self._check_metadata()
        check_fits(self.path, {op.name for op in model.ops}, library)
        check_loads(self.path, content, delegate=library)
        if self.runtime in ENGINES:
            check_runs(self.path, self.runtime, is_sealed=verify_seal(content))
        del content, model
        load_runtime()  # importing it is not part of loading a model
        started = time.perf_counter()
        self._engine = self._loaded(threads=threads, delegate=library)
        self.load_ms = (time.perf_counter() - started) * 1e3

    @property
    def num_classes(self) -> int:
        """How many classes the network tells apart.

        Raises:
            ModelError: if it outputs class ids and has no metadata that names them.
        """
        if self.head != "classes":
            return max(2, self._output.shape[-1])
        if self.metadata is None:
            raise ModelError(
                f"`{self.path}` does not say how many classes it has", hint="export it again with export-tflite"
            )
        return len(self.metadata.class_names)

    @property
    def score_unit(self) -> float:
        """How many logits a step of `scores` stands for; 0 where the network outputs class numbers."""
        if self.head == "classes":
            return 0.0
        if self._is_of_two:
            return 1.0
        return self._output.scale if self._output.is_quantized else 1.0

    def scores(self, image: Image) -> NDArray[Any]:
        """Return numbers that order the classes as `logits` does, without its arithmetic: (h, w, bands) → (h, w, C).

        Stored int8 scores are handed out as they are: they differ from logits by one scale and offset.
        """
        self.set_input(image)
        self.invoke()
        if self.head == "classes":
            return np.eye(self.num_classes, dtype=np.uint8)[self.output_classes()]
        if self._is_of_two:
            return self.output_logits()
        stored = self._engine.output()[0].copy()
        return stored if self.head == "logits" else self._full_size(stored.astype(np.float32))

    def output_logits(self) -> Logits:
        """Return the scores of the last run: float32 (h, w, C); see `logits`."""
        if self.head == "classes":
            return np.eye(self.num_classes, dtype=np.float32)[self.output_classes()]
        real = self._output.real(self._engine.output()[0].copy())
        if self._is_of_two:
            real = of_two(real, are_probabilities=self._ends_in_probabilities)
        return self._full_size(real)

    def output_classes(self) -> Image:
        """Return the class map of the last run: uint8 (h, w).

        Quantized scores are compared as they are: dequantization does not change their order.
        """
        if self._is_of_two:
            return best_class(self.output_logits())
        stored = self._engine.output()[0]
        if self.head == "classes":
            return self._checked_classes(stored)
        if self.head == "logits-low":
            return best_class(self._full_size(stored.astype(np.float32)))
        return best_class(stored)

    def partitions(self) -> tuple[int, list[str]]:
        """Return how many delegate partitions the interpreter made, and the names of operators outside them."""
        return self._engine.partitions()

    def _loaded(self, *, threads: int, delegate: Path | None) -> Engine:
        engine: LiteRT | OpenVINO
        if self.runtime == "litert":
            engine = LiteRT(self.path, place=self._place, threads=threads, delegate=delegate)
        else:
            engine = OpenVINO(self.path, place=self._place, threads=threads)
        made = engine.shapes[1]
        if all(made) and made != self._output.shape:
            raise ModelError(f"`{self.path}` says that its output is {self._output.shape}, and computes {made}")
        return engine

    def _stored(self, image: Image) -> Stored:
        if self._takes_pixels:
            return (image if self._input.dtype == "uint8" else (image ^ np.uint8(128)).view(np.int8))[None]
        wanted = self._normalization
        real = image.astype(np.float32)
        if wanted != Normalization():
            real = (real - np.float32(wanted.mean)) / np.float32(wanted.std)
        return (real if self._input.dtype == "float32" else self._input.stored(real))[None]

    @property
    def _is_of_two(self) -> bool:
        """Whether there is one score a pixel: how sure the network is that it is what it looks for."""
        return self.head != "classes" and len(self._output.shape) == 4 and self._output.shape[-1] == 1

    def _full_size(self, scores: Logits) -> Logits:
        height, width = self.input_size
        if scores.shape[:2] == (height, width):
            return scores
        resized: Logits = cv2.resize(scores, (width, height), interpolation=cv2.INTER_LINEAR)
        return resized.reshape(height, width, -1)

    def _checked_classes(self, stored: NDArray[Any]) -> Image:
        classes = stored.reshape(self.input_size).astype(np.uint8)
        if self.metadata and classes.max() >= self.num_classes:
            raise ModelError(f"`{self.path}` returned class {classes.max()} but names {self.num_classes} classes")
        return classes

    def _find_head(self) -> str:
        shape, height, width = self._output.shape, *self.input_size
        counts = self._output.dtype in _CLASS_DTYPES and self._output.scale in (0.0, 1.0)
        has_channels = len(shape) == 4 and not (shape[-1] == 1 and counts)
        if not has_channels and shape[1:3] == (height, width) and self._output.dtype in _CLASS_DTYPES:
            return "classes"
        if has_channels and shape[1:3] == (height, width):
            return "logits"
        if has_channels and height % shape[1] == 0 and width % shape[2] == 0:
            return "logits-low"
        raise ModelError(
            f"`{self.path}` outputs {self._output.dtype} {shape} for an image of {height} × {width}, not a class map"
        )

    def _check_metadata(self) -> None:
        if self.metadata is None:
            return
        if self.metadata.bands and len(self.metadata.bands) != self.num_bands:
            listed = ", ".join(map(str, self.metadata.bands))
            raise ModelError(f"`{self.path}` takes {self.num_bands} bands but its metadata names {listed}")
        if self.head == "classes":
            return
        named = len(self.metadata.class_names)
        if named != self.num_classes:
            raise ModelError(f"`{self.path}` has {self.num_classes} classes but its metadata names {named}")


def _output_of(model: TFLiteModel, path: Path, wanted: str | None) -> int:
    """Return the place of the output that holds the classes."""
    if len(model.inputs) != 1 or not model.outputs:
        raise ModelError(
            f"`{path}` has {len(model.inputs)} inputs and {len(model.outputs)} outputs, expected one image",
            hint="convert a model of one image: all bands go into one input",
        )
    named = model.named_outputs
    sides = {name: tensor.shape[1:] for name, tensor in named.items()}
    chosen = scores_among(sides, model.inputs[0].shape[1:3], wanted=wanted, model=str(path), option="--output ")
    return model.outputs.index(list(named.values())[chosen])


def _ports(model: TFLiteModel, path: Path, place: int) -> tuple[Port, Port]:
    if any(axis > 0 for axis in model.inputs[0].open_axes):  # an open batch is one image unless it is resized
        raise ModelError(
            f"`{path}` takes images of any size, which the interpreter cannot plan for",
            hint="convert it with a fixed height and width",
        )
    source, result = _port(model.inputs[0]), _port(model.outputs[place])
    is_image = len(source.shape) == 4 and source.shape[0] == 1 and 1 <= source.shape[3] <= MOST_BANDS
    if not is_image or source.dtype not in _INPUT_DTYPES:
        raise ModelError(
            f"`{path}` takes {source.dtype} {source.shape}, expected one image (1, h, w, 1 to {MOST_BANDS} bands)"
        )
    if len(result.shape) not in (3, 4) or result.shape[0] != 1 or 0 in result.shape:
        raise ModelError(f"`{path}` outputs {result.dtype} {result.shape}, expected (1, h, w, classes) or (1, h, w)")
    return source, result


def _port(tensor: Tensor) -> Port:
    scale = float(tensor.scales[0]) if tensor.scales.size == 1 else 0.0
    zero_point = int(tensor.zero_points[0]) if tensor.zero_points.size == 1 else 0
    return Port(tensor.index, tensor.shape, tensor.dtype, scale, zero_point)
