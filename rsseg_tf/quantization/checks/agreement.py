"""Whether a TFLite file says what its Keras model says, compared on the same real images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import CheckFailedError
from rsseg_tf.metrics import ConfusionMatrix
from rsseg_tf.number_formats import FORMATS

Classify = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True)
class Agreement:
    """How a converted file compares with its model.

    Attributes:
        samples: images compared.
        argmax: share of pixels with the same class in both.
        miou_keras: mIoU of the model on them, 0 to 1.
        miou_tflite: mIoU of the file on them.
    """

    samples: int
    argmax: float
    miou_keras: float
    miou_tflite: float

    @property
    def drop(self) -> float:
        """Points of mIoU (0 to 100) that the file loses."""
        return 100 * (self.miou_keras - self.miou_tflite)

    def record(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {**asdict(self), "drop": self.drop}


def compare(
    pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    *,
    keras_classes: Classify,
    tflite_classes: Classify,
    num_classes: int,
) -> Agreement:
    """Return the agreement on images uint8 (h, w, bands) with masks uint8 (h, w); each side classifies to (h, w)."""
    theirs, ours = ConfusionMatrix(num_classes), ConfusionMatrix(num_classes)
    samples = same = pixels = 0
    for image, mask in pairs:
        expected, got = keras_classes(image), tflite_classes(image)
        theirs.update(mask, expected)
        ours.update(mask, got)
        samples, same, pixels = samples + 1, same + int((expected == got).sum()), pixels + expected.size
    return Agreement(samples, same / max(1, pixels), float(theirs.miou), float(ours.miou))


def require(agreement: Agreement, *, max_drop: float, number_format: str) -> None:
    """Check that the file, of `number_format`, loses at most `max_drop` mIoU points.

    Raises:
        CheckFailedError: if it loses more, or no image has a label.
    """
    if not math.isfinite(agreement.drop):
        raise CheckFailedError(
            f"the file cannot be compared with the model: none of {agreement.samples} images has a label",
            hint="raise export.check_samples",
        )
    if agreement.drop > max_drop:
        more_samples = "raise export.calibration_samples, or " if FORMATS[number_format].calibration else "raise "
        raise CheckFailedError(
            f"the file loses {agreement.drop:.2f} mIoU points on {agreement.samples} images, {max_drop:g} allowed",
            hint=f"{more_samples}export.max_drop to accept it",
        )
