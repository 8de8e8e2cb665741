"""Class maps of whole images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.images.channels import AS_THEY_ARE, COLORS, Channels
from rsseg_tf.datasets.images.resize import resized_image, resized_mask
from rsseg_tf.datasets.palette import Palette, distinct_colors
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.inference.blending import best_class, best_in, blended, predict_classes, scored, strips_of
from rsseg_tf.inference.confidence import confidence_in, confidence_of
from rsseg_tf.inference.runtimes.opening import Runner, open_runner
from rsseg_tf.inference.tiling import Image, Infer, TileGrid
from rsseg_tf.progress import warn
from rsseg_tf.runs import file_hash
from rsseg_tf.tflite.metadata import ModelMetadata
from rsseg_tf.tflite.ports import Normalization


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

    def predict(self, image: Image) -> Image:
        """Return the class of each pixel: uint8 (H, W, bands), of three RGB → uint8 (H, W)."""
        ...


@dataclass(frozen=True)
class Products:
    """What is made of a prediction besides its class map.

    Attributes:
        polygons: `gpkg` or `geojson` for a file of polygons, empty for none.
        simplify: whether their outlines are smoothed by half a pixel.
        least_area_m2: polygons of fewer square meters are left out.
        confidence: whether there is a map of how sure the network is.
        threshold: pixels of less confidence, 0 … 1, have no class.
    """

    polygons: Literal["", "gpkg", "geojson"] = ""
    simplify: bool = False
    least_area_m2: float = 0.0
    confidence: bool = False
    threshold: float = 0.0

    @property
    def need_confidence(self) -> bool:
        """Whether any of them needs to know how sure the network is."""
        return bool(self.polygons or self.confidence or self.threshold)


CLASS_MAP = Products()
"""Nothing but the class map."""


@dataclass(frozen=True)
class TiledPredictor:
    """A network for images of one size, made to predict images of any.

    Attributes:
        infer: the network: uint8 (n, h, w, bands) → scores (h, w, C) of each.
        palette: the classes.
        input_size: height and width in pixels of what the network sees.
        fitting: `crop` or `resize`.
        overlap: (crop) pixels that neighboring tiles share.
        ground_sampling_distance_m: meters per pixel of the images it is made for, 0 where unknown.
        model_sha256: of the model file, so that results can tell what made them.
        channels: which bands of an image it was trained to see, and how.
        overrides_georeference: whether that size of a pixel holds whatever an image says of its own.
        score_unit: logits that a score of 1 stands for; 0 where scores do not tell how sure the network is.
        num_bands: of an image; 3 for RGB.
        learned_pixel_m: meters per pixel of the images that it learned from, 0 where unknown; unlike
            `ground_sampling_distance_m` it is not what is given for an image.
        resamples: whether an image is seen, and its maps are made, at that size of a pixel.
        runtime: what carries the network out; empty for Keras.
    """

    infer: Infer
    palette: Palette
    input_size: tuple[int, int]
    fitting: str = "crop"
    overlap: int = 0
    ground_sampling_distance_m: float = 0.0
    model_sha256: str = ""
    channels: Channels = AS_THEY_ARE
    overrides_georeference: bool = False
    score_unit: float = 1.0
    num_bands: int = COLORS
    learned_pixel_m: float = 0.0
    resamples: bool = False
    runtime: str = ""

    def channels_for(self, given: Channels) -> Channels:
        """Return what is seen of images: what is given, and where that says nothing what the model says.

        Raises:
            ConfigError: if that is not as many bands as the network takes.
        """
        bands = given.bands or self.channels.bands
        if (len(bands) or COLORS) != self.num_bands:
            named = f"bands {', '.join(map(str, bands))} are" if bands else "no bands are"
            example = ",".join(map(str, range(1, self.num_bands + 1)))
            raise ConfigError(
                f"the model sees {self.num_bands} bands of an image, {named} named",
                hint=f"name as many: --bands {example} for `predict`, data.bands=[{example}] for a data set",
            )
        return given.over(self.channels)

    def predict(self, image: Image) -> Image:
        """Return the class of each pixel: uint8 (H, W, bands), of three RGB → uint8 (H, W).

        Raises:
            ConfigError: if the overlap is not smaller than a tile.
            DataError: if the image has not as many bands as the network takes.
        """
        self._check(image)
        if self.fitting == "crop":
            return predict_classes(image, self.infer, size=self.input_size, overlap=self.overlap)
        fitted = predict_classes(resized_image(image, self.input_size), self.infer, size=self.input_size, overlap=0)
        return resized_mask(fitted, (image.shape[0], image.shape[1]))

    def predict_with_confidence(self, image: Image) -> tuple[Image, NDArray[np.float32]]:
        """Return the class of each pixel, and the softmax probability of it: uint8 (H, W) and float32 (H, W).

        Raises:
            ConfigError: if the overlap is not smaller than a tile.
            DataError: if the image has not as many bands as the network takes.
        """
        self._check(image)
        height, width = image.shape[:2]
        if self.fitting == "crop":
            return self._with_confidence(image, self.overlap)
        classes, confidence = self._with_confidence(resized_image(image, self.input_size), 0)
        enlarged = cv2.resize(confidence, (width, height), interpolation=cv2.INTER_LINEAR)
        return resized_mask(classes, (height, width)), enlarged

    def _check(self, image: Image) -> None:
        if image.ndim != 3 or image.shape[2] != self.num_bands:
            raise DataError(f"the model sees {self.num_bands} bands of an image, got an array of shape {image.shape}")

    def _with_confidence(self, image: Image, overlap: int) -> tuple[Image, NDArray[np.float32]]:
        if image.shape[:2] == self.input_size:
            scores = self.infer(image[None])[0]
            ones = np.ones(self.input_size, np.float32)
            return best_class(scores), confidence_of(scores, ones, unit=self.score_unit)
        grid = TileGrid(image.shape[0], image.shape[1], self.input_size, overlap)
        classes, confidence = np.empty(image.shape[:2], np.uint8), np.empty(image.shape[:2], np.float32)
        for band in blended(scored(strips_of(image, grid), self.infer, grid), grid):
            rows = slice(band.top, band.top + len(band.weights))
            classes[rows], confidence[rows] = best_in(band), confidence_in(band, unit=self.score_unit)
        return classes, confidence


@dataclass(frozen=True)
class ForeignModel:
    """What must be given for a model file that another program made.

    Attributes:
        class_names: by class id; numbered where there are none.
        fitting: `crop` or `resize`; see `Predictor`.
        normalization: of pixels; by default what the quantization of the input says.
        output: name or number of the output that holds the classes, where there are several; by default the only one
            as high and wide as the image.
    """

    class_names: tuple[str, ...] = ()
    fitting: str = "crop"
    normalization: Normalization | None = None
    output: str = ""


def open_predictor(
    path: Path,
    *,
    threads: int = 1,
    delegate: Path | None = None,
    runtime: str = "",
    palette: Palette | None = None,
    foreign: ForeignModel | None = None,
) -> TiledPredictor:
    """Return a predictor on a `.tflite` or `.onnx` file, set up by the metadata in it.

    Args:
        path: the model file.
        threads: CPU threads.
        delegate: shared library of a delegate.
        runtime: see `rsseg_tf.inference.runtimes.opening.open_runner`.
        palette: the classes of a file that does not name its own.
        foreign: what is given for a file that does not describe itself.

    Raises:
        ModelError: if there is no such file, or one that is not a segmentation network.
        ConfigError: if `foreign` is given for a file that describes itself, or names other than its classes.
    """
    given = foreign or ForeignModel()
    runner = open_runner(
        path,
        threads=threads,
        delegate=delegate,
        runtime=runtime,
        normalization=given.normalization,
        output=given.output,
    )
    if foreign and runner.metadata:
        raise ConfigError(
            f"`{path}` already describes itself", hint="omit --names, --fitting, --mean, --std and --output"
        )
    if not runner.knows_pixels:
        hint = "--mean 0 --std 255 for 0 to 1, --mean 127.5 --std 127.5 for -1 to 1, --std 1 for 0 to 255"
        raise ConfigError(f"`{path}` does not say what it wants pixels to be", hint=hint)
    described = runner.metadata or _assumed_metadata(runner, palette, given)
    return TiledPredictor(
        infer=batched(runner.scores),
        palette=Palette(described.class_names, described.class_colors),
        input_size=runner.input_size,
        fitting=described.fitting,
        overlap=min(described.overlap, min(runner.input_size) - 1),
        ground_sampling_distance_m=described.ground_sampling_distance_m,
        learned_pixel_m=0.0 if described.fitting == "resize" else described.ground_sampling_distance_m,
        model_sha256=file_hash(path),
        channels=Channels.of(described.bands, described.scale),
        score_unit=runner.score_unit,
        num_bands=runner.num_bands,
        runtime=runner.runtime,
    )


def with_pixels_of(predictor: TiledPredictor, side_m: float) -> TiledPredictor:
    """Return the same predictor for images whose pixels are of `side_m` meters, whatever they say; 0 for unknown."""
    return dataclasses.replace(predictor, ground_sampling_distance_m=side_m, overrides_georeference=side_m > 0)


def with_overlap(predictor: TiledPredictor, overlap: int) -> TiledPredictor:
    """Return the same predictor with another overlap of its tiles, in pixels.

    Raises:
        ConfigError: if the overlap is negative, or not smaller than a tile.
    """
    if not 0 <= overlap < min(predictor.input_size):
        raise ConfigError(
            f"the overlap must be at least 0 and below the tile's {min(predictor.input_size)} pixels, got {overlap}",
            hint=f"for example --overlap {min(predictor.input_size) // 4}",
        )
    return dataclasses.replace(predictor, overlap=overlap)


def with_usual_overlap(predictor: TiledPredictor, overlap: int) -> TiledPredictor:
    """Return the same predictor with the overlap that settings ask for, if it tiles at all; see `usual_overlap`."""
    if predictor.fitting == "resize":
        return predictor
    return with_overlap(predictor, usual_overlap(overlap, predictor.input_size))


def usual_overlap(overlap: int, input_size: tuple[int, int]) -> int:
    """Return the overlap that settings ask for, at most half a tile: beyond that nothing is gained."""
    return min(overlap, min(input_size) // 2)


def batched(infer_one: Callable[[Image], NDArray[Any]]) -> Infer:
    """Return a network for one image, (h, w, bands) → (h, w, C), as one for (n, h, w, bands)."""

    def infer(images: Image) -> list[NDArray[Any]]:
        return [infer_one(image) for image in images]

    return infer


def _assumed_metadata(runner: Runner, palette: Palette | None, foreign: ForeignModel) -> ModelMetadata:
    if foreign.class_names:
        if len(foreign.class_names) != runner.num_classes or len(set(foreign.class_names)) != runner.num_classes:
            raise ConfigError(
                f"`{runner.path}` has {runner.num_classes} classes, got the names {', '.join(foreign.class_names)}",
                hint="name each class once, in the order of the model's outputs",
            )
        palette = Palette(foreign.class_names, distinct_colors(runner.num_classes))
    elif palette is not None and palette.num_classes == runner.num_classes:
        warn(
            f"`{runner.path}` does not name its classes: they are taken for those of the settings in their order, "
            f"{', '.join(palette.names)}",
            hint="--names A,B,C says what they are",
        )
    if palette is None or palette.num_classes != runner.num_classes:
        names = tuple(f"class {index}" for index in range(runner.num_classes))
        palette = Palette(names, distinct_colors(len(names)))
    return ModelMetadata(palette.names, palette.colors, runner.input_size, fitting=foreign.fitting)
