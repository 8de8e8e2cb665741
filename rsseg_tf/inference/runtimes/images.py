"""What every runner of a model file does with an image: check it, run the network, hand out classes or logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from rsseg_tf.errors import DataError
from rsseg_tf.inference.runtimes.engine import Engine, Stored
from rsseg_tf.inference.tiling import Image, Logits


class ImageRunner(ABC):
    """A network that takes one image at a time.

    Attributes:
        path: the model file.
        input_size: height and width in pixels.
        num_bands: of an image; 3 for RGB.
    """

    path: Path
    input_size: tuple[int, int]
    num_bands: int
    _engine: Engine

    def logits(self, image: Image) -> Logits:
        """Return the scores of each class at full size: uint8 (h, w, bands) → float32 (h, w, C).

        Raises:
            DataError: if `image` is not uint8 of the network's input size.
        """
        self.set_input(image)
        self.invoke()
        return self.output_logits()

    def classes(self, image: Image) -> Image:
        """Return the class of each pixel: uint8 (h, w, bands) → uint8 (h, w).

        Raises:
            DataError: if `image` is not uint8 of the network's input size.
        """
        self.set_input(image)
        self.invoke()
        return self.output_classes()

    def set_input(self, image: Image) -> None:
        """Copy an image, uint8 (h, w, bands), into the network's input.

        Raises:
            DataError: if `image` is not uint8 of the network's input size.
        """
        shape = (*self.input_size, self.num_bands)
        if image.dtype != np.uint8 or image.shape != shape:
            raise DataError(f"`{self.path}` takes uint8 images of shape {shape}, got {image.dtype} {image.shape}")
        self._engine.set_input(self._stored(image))

    def invoke(self) -> None:
        """Run the network on the input that was set.

        Raises:
            ModelError: if the runtime or a delegate fails.
        """
        self._engine.invoke()

    @abstractmethod
    def output_logits(self) -> Logits:
        """Return the scores of the last run: float32 (h, w, C)."""

    @abstractmethod
    def output_classes(self) -> Image:
        """Return the class map of the last run: uint8 (h, w)."""

    @abstractmethod
    def _stored(self, image: Image) -> Stored:
        """Return an image as the network's input stores it."""
