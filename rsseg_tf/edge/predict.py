"""Class maps of whole images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.palette import Palette, distinct_colors
from rsseg_tf.datasets.resize import resized_image, resized_mask
from rsseg_tf.edge.blending import predict_classes
from rsseg_tf.edge.metadata import ModelMetadata
from rsseg_tf.edge.runner import TFLiteRunner
from rsseg_tf.edge.tiling import Image, Infer
from rsseg_tf.errors import ConfigError
from rsseg_tf.runs import file_hash


class Predictor(Protocol):
    """Anything that turns an image of any size into a class map.

    Attributes:
        palette: the classes.
        input_size: height and width in pixels of what the network sees.
        fitting: `crop` for tiles of the image, `resize` for the whole image resized to `input_size`.
    """

    @property
    def palette(self) -> Palette:
        """The classes."""
        ...

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width in pixels of what the network sees."""
        ...

    @property
    def fitting(self) -> str:
        """`crop` for tiles of the image, `resize` for the whole image resized to `input_size`."""
        ...

    def classes(self, image: Image) -> Image:
        """The class of each pixel: uint8 (H, W, 3) RGB → uint8 (H, W)."""
        ...


@dataclass(frozen=True)
class TiledPredictor:
    """A network for images of one size, made to predict images of any.

    Attributes:
        infer: the network: uint8 (n, h, w, 3) → scores (n, h, w, C).
        palette: the classes.
        input_size: height and width in pixels of what the network sees.
        fitting: `crop` or `resize`.
        overlap: (crop) pixels that neighbouring tiles share.
        ground_sampling_distance_m: metres a pixel of the images it is made for, 0 where unknown.
        model_sha256: of the model file, so that results can tell what made them.
    """

    infer: Infer
    palette: Palette
    input_size: tuple[int, int]
    fitting: str = "crop"
    overlap: int = 0
    ground_sampling_distance_m: float = 0.0
    model_sha256: str = ""

    def classes(self, image: Image) -> Image:
        """The class of each pixel: uint8 (H, W, 3) RGB → uint8 (H, W).

        Raises:
            ConfigError: the overlap is not smaller than a tile.
        """
        if self.fitting == "crop":
            return predict_classes(image, self.infer, size=self.input_size, overlap=self.overlap)
        fitted = predict_classes(resized_image(image, self.input_size), self.infer, size=self.input_size, overlap=0)
        return resized_mask(fitted, (image.shape[0], image.shape[1]))


def open_predictor(
    path: Path,
    *,
    threads: int = 1,
    delegate: Path | None = None,
    palette: Palette | None = None,
    overlap: int | None = None,
) -> TiledPredictor:
    """A predictor on a `.tflite` file, set up by the metadata in it.

    Args:
        path: the model file.
        threads: CPU threads.
        delegate: shared library of a delegate.
        palette: the classes of a file that does not name its own.
        overlap: pixels that neighbouring tiles share, in place of the metadata's.

    Raises:
        ModelError: no such file, or one that is no segmentation network.
    """
    runner = TFLiteRunner(path, threads=threads, delegate=delegate)
    described = runner.metadata or _assumed_metadata(runner, palette)
    predictor = TiledPredictor(
        infer=batched(runner.scores),
        palette=Palette(described.class_names, described.class_colors),
        input_size=runner.input_size,
        fitting=described.fitting,
        overlap=min(described.overlap, min(runner.input_size) - 1),
        ground_sampling_distance_m=described.ground_sampling_distance_m,
        model_sha256=file_hash(path),
    )
    return predictor if overlap is None else with_overlap(predictor, overlap)


def with_overlap(predictor: TiledPredictor, overlap: int) -> TiledPredictor:
    """The same predictor with another overlap of its tiles, in pixels.

    Raises:
        ConfigError: the overlap is negative, or not smaller than a tile.
    """
    if not 0 <= overlap < min(predictor.input_size):
        raise ConfigError(
            f"the overlap must be at least 0 and below the tile's {min(predictor.input_size)} pixels, got {overlap}"
        )
    return dataclasses.replace(predictor, overlap=overlap)


def usual_overlap(overlap: int, input_size: tuple[int, int]) -> int:
    """The overlap that settings ask for, but at most half a tile: beyond that tiles multiply and nothing is won."""
    return min(overlap, min(input_size) // 2)


def batched(infer_one: Callable[[Image], NDArray[Any]]) -> Infer:
    """A network for one image as one for a batch: (h, w, 3) → (h, w, C) becomes (n, h, w, 3) → (n, h, w, C)."""

    def infer(images: Image) -> NDArray[Any]:
        return np.stack([infer_one(image) for image in images])

    return infer


def _assumed_metadata(runner: TFLiteRunner, palette: Palette | None) -> ModelMetadata:
    if palette is None or palette.num_classes != runner.num_classes:
        names = tuple(f"class {index}" for index in range(runner.num_classes))
        palette = Palette(names, distinct_colors(len(names)))
    return ModelMetadata(palette.names, palette.colors, runner.input_size)
