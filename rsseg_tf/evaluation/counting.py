"""What is counted of a predictor, image by image: all scores, and how sure they are, come from these counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config import EvaluateConfig
from rsseg_tf.datasets.palette import Pixels
from rsseg_tf.evaluation.share import Counts, Share
from rsseg_tf.metrics import BoundaryF1, ConfusionMatrix, SmallObjectRecall
from rsseg_tf.metrics.metric import Metric

_DEFAULTS = EvaluateConfig()


@dataclass(frozen=True)
class ImageCounts:
    """Counts of each image, from which images can be drawn again.

    Attributes:
        confusions: int64 (images, C, C): pixels by true class (rows) and predicted class (columns).
        objects: int64 (images, C, 2): small objects of each class in the truth, and how many of them were found.
    """

    confusions: NDArray[np.int64]
    objects: NDArray[np.int64]

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> ImageCounts:
        """Return the counts in what `Evaluation.to_dict` gave; no objects where it was too early to count them."""
        confusions = np.asarray(facts["image_confusions"], np.int64)
        objects = np.zeros((*confusions.shape[:2], 2), np.int64)
        for place, key in enumerate(("image_small_objects", "image_small_objects_found")):
            objects[..., place] = facts.get(key, 0)
        return cls(confusions, objects)


class Metrics(NamedTuple):
    """What a predictor is scored by; each is a `Metric`."""

    confusion: ConfusionMatrix
    boundary: BoundaryF1
    objects: SmallObjectRecall


def new_metrics(num_classes: int, settings: EvaluateConfig = _DEFAULTS) -> Metrics:
    """Return the metrics before any image was counted."""
    tolerance, tolerance_px = settings.boundary_tolerance, settings.boundary_tolerance_px
    return Metrics(
        ConfusionMatrix(num_classes),
        BoundaryF1(num_classes, tolerance=tolerance, tolerance_px=tolerance_px),
        SmallObjectRecall(num_classes, below_px=settings.small_object_px),
    )


def counts_of(num_classes: int, settings: EvaluateConfig, mask: Pixels, prediction: Pixels) -> Counts:
    """Return what each metric counts of one image: class ids (H, W), in the mask 255 for ignore."""
    metrics = new_metrics(num_classes, settings)
    for metric in metrics:
        metric.update(mask, prediction)
    return tuple(metric.totals for metric in metrics)


class Counting:
    """All counts of one predictor.

    Args:
        num_classes: C.
        settings: of the metrics.
        images: how many will be counted, here and in other processes.
    """

    def __init__(self, num_classes: int, settings: EvaluateConfig, *, images: int) -> None:
        self.metrics = new_metrics(num_classes, settings)
        confusions = np.zeros((images, num_classes, num_classes), np.int64)
        self.images = ImageCounts(confusions, np.zeros((images, num_classes, 2), np.int64))

    def add(self, index: int, counts: Counts) -> None:
        """Add what `counts_of` gives for the image of number `index`, or for a part of it."""
        metrics: Sequence[Metric] = self.metrics
        for metric, more in zip(metrics, counts, strict=True):
            for total, each in zip(metric.totals, more, strict=True):
                total += each
        (confusion,), _, objects = counts
        self.images.confusions[index] += confusion
        self.images.objects[index] += np.stack(objects, axis=-1)

    def add_up(self, share: Share) -> None:
        """Replace the counts of this process by those of all processes together."""
        own = [*vars(self.images).values(), *(total for metric in self.metrics for total in metric.totals)]
        for counts, total in zip(own, share.summed(own), strict=True):
            counts[...] = total
