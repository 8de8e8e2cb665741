"""What a `.tflite` file says of given images by each set of kernels; needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.images.channels import AS_THEY_ARE
from rsseg_tf.datasets.images.resize import resized_image
from rsseg_tf.datasets.images.windows import read_picture
from rsseg_tf.errors import ModelError
from rsseg_tf.inference.predict import TiledPredictor
from rsseg_tf.steps.opening import open_model
from rsseg_tf.tflite.flatbuffer import parse_model, read_content
from rsseg_tf.tflite.kernels import KernelAgreement, compare_kernels, is_quantized
from rsseg_tf.tflite.metadata import metadata_in


def kernel_agreement(path: Path, images: Sequence[Path]) -> KernelAgreement:
    """Return how the kernels differ over the middle of each image, or the whole of it where it is seen resized.

    Raises:
        DataError: if an image cannot be read.
        ModelError: if the file cannot be run, or works on floats, which all kernels round alike.
    """
    content = read_content(path)
    if parse_model(content, name=str(path)).inputs[0].dtype != "uint8" or not is_quantized(content, name=str(path)):
        raise ModelError(
            f"`{path}` does not compute on integers from uint8 pixels on: its kernels differ by rounding alone",
            hint="give an int8 file, such as export-tflite writes",
        )
    predictor, metadata = open_model(path), metadata_in(content, path=path)
    seen = [_seen(predictor, image) for image in images]
    return compare_kernels(content, seen, name=str(path), layer_names=metadata.layers if metadata else ())


def _seen(predictor: TiledPredictor, path: Path) -> NDArray[np.uint8]:
    pixels, _ = read_picture(path, channels=predictor.channels_for(AS_THEY_ARE))
    height, width = predictor.input_size
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    if predictor.fitting == "resize" or min(top, left) < 0:
        return resized_image(pixels, predictor.input_size)
    return pixels[top : top + height, left : left + width]
