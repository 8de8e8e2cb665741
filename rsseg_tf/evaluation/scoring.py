"""The scores of predictors on a split of a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config import EvaluateConfig
from rsseg_tf.datasets.sample import Dataset, Sample
from rsseg_tf.evaluation.counting import Counting, ImageCounts
from rsseg_tf.evaluation.images import Seen, seen_by
from rsseg_tf.evaluation.share import WHOLE, Share
from rsseg_tf.inference.predict import Predictor
from rsseg_tf.progress import Progress
from rsseg_tf.runs import json_ready
from rsseg_tf.text import text_table

_DEFAULTS = EvaluateConfig()
_BY_CLASS = {
    "iou": "  IoU %",
    "boundary_f1_per_class": "  BF1 %",
    "precision": "prec. %",
    "recall": "recall %",
    "f1": "   F1 %",
    "small_object_recall": "small found %",
}
"""Score by class, as `Evaluation` names it → the head of its column in the text."""
_OF_ALL = {
    "accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
}
"""Score over all classes that is no mean of a column → its name in the text."""


@dataclass(frozen=True)
class Evaluation:
    """Scores over all images of a split, 0 to 1; nan or None where there was nothing to score.

    Attributes:
        split: the split's name.
        images: how many images were scored.
        accuracy: share of labeled pixels with the right class.
        miou: mean over the classes of intersection over union.
        boundary_f1: mean over the classes of boundary F1.
        iou: class name → intersection over union.
        boundary_f1_per_class: class name → boundary F1.
        class_names: by class id.
        confusion: pixels by true class (rows) and predicted class (columns).
        mean_accuracy: mean over the true classes of recall.
        frequency_weighted_iou: mean of the IoU, classes weighted by their true pixels.
        precision: class name → share of its predicted pixels that are it.
        recall: class name → share of its true pixels that are predicted so.
        f1: class name → their harmonic mean.
        absent: names of the classes in neither truth nor prediction, which no mean includes.
        small_objects: class name → small connected components in the truth.
        small_objects_found: class name → how many of those were found; see `SmallObjectRecall`.
        small_object_recall: class name → share that they are.
        data_sha256: fingerprint of the split.
        pixels: `full` where whole images were scored, else the height and width that they were resized to.
        image_names: of the images, in the order of `image_confusions`.
        counts: of each image; in JSON `image_confusions`, `image_small_objects` and `image_small_objects_found`.
    """

    split: str
    images: int
    accuracy: float
    miou: float
    boundary_f1: float
    iou: Mapping[str, float | None]
    boundary_f1_per_class: Mapping[str, float | None]
    class_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    mean_accuracy: float
    frequency_weighted_iou: float
    precision: Mapping[str, float | None]
    recall: Mapping[str, float | None]
    f1: Mapping[str, float | None]
    absent: tuple[str, ...]
    small_objects: Mapping[str, int]
    small_objects_found: Mapping[str, int]
    small_object_recall: Mapping[str, float | None]
    data_sha256: str
    pixels: str
    image_names: tuple[str, ...]
    counts: ImageCounts = field(repr=False, compare=False)

    @property
    def image_confusions(self) -> NDArray[np.int64]:
        """int64 (images, C, C): `confusion` of each image."""
        return self.counts.confusions

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values; what could not be scored is null."""
        plain = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "counts"}
        return {
            **json_ready(plain),
            "image_confusions": self.image_confusions.tolist(),
            "image_small_objects": self.counts.objects[..., 0].tolist(),
            "image_small_objects_found": self.counts.objects[..., 1].tolist(),
        }

    def table(self) -> str:
        """Return the scores as a text table, in percent, and the small objects as counts too."""
        names = self.class_names
        rows = [
            ("class", *_BY_CLASS.values(), "of them"),
            *((name, *(percent(getattr(self, key)[name]) for key in _BY_CLASS), self._found(name)) for name in names),
            ("mean", percent(self.miou), percent(self.boundary_f1)),
        ]
        scores = (f"{title} {percent(getattr(self, key))} %" for key, title in _OF_ALL.items())
        lines = [text_table(rows), ", ".join([*scores, f"{self.images} images of `{self.split}`"])]
        if self.absent:
            lines.append(f"not in these images, and in no mean: {', '.join(self.absent)}")
        return "\n".join(lines)

    def _found(self, name: str) -> str:
        objects = self.small_objects[name]
        return f"{self.small_objects_found[name]} of {objects}" if objects else "–"


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    split: str = "test",
    *,
    settings: EvaluateConfig = _DEFAULTS,
    progress: Progress | None = None,
    share: Share = WHOLE,
) -> Evaluation:
    """Score a model on every image of a split; see `evaluate_all`.

    Args:
        predictor: the model; `rsseg_tf.open_model` gives one.
        dataset: images and masks; `rsseg_tf.open_dataset` gives them.
        split: which of them.
        settings: the tolerance of boundary F1, and what a small object is.
        progress: called after every image with how many are done and how many there are.
        share: see `evaluate_all`.
    """

    def watch(seen: Seen) -> None:
        if progress:
            progress(seen.done, seen.total)

    return evaluate_all([predictor], dataset, split, settings=settings, watch=watch, share=share)[0]


def evaluate_all(
    predictors: Sequence[Predictor],
    dataset: Dataset,
    split: str,
    *,
    settings: EvaluateConfig = _DEFAULTS,
    watch: Callable[[Seen], None] | None = None,
    share: Share = WHOLE,
) -> tuple[Evaluation, ...]:
    """Predict every image of a split with every predictor and score them on the same pixels.

    A predictor that resizes is scored at its input size, as in the paper (section 4.1): the mask is
    resized to it. One that tiles is scored on whole images at full resolution; images of more than 50 megapixels that
    can be read in parts, in blocks of 4096 × 4096 pixels, each predicted and scored like an image.

    Args:
        predictors: the models.
        dataset: images and masks.
        split: which of them.
        settings: the tolerance of boundary F1, and what a small object is.
        watch: called after every image, and after every block of a large one.
        share: how several processes share the images; all of them return the scores of the whole.

    Raises:
        ModelError: if a model has other classes than the data set, or they would be scored at different sizes.
        DataError: if a sample has no mask, or a file is damaged.
    """
    seen = seen_by(predictors, dataset, split, settings=settings)
    scores = [seen.counting() for _ in predictors]
    for index, counts in share.parts(lambda indices: seen.counted(indices, watch=watch), len(seen.samples)):
        for score, counted in zip(scores, counts, strict=True):
            score.add(index, counted)
    for score in scores:
        score.add_up(share)
    pixels = "full" if seen.size is None else f"{seen.size[0]}×{seen.size[1]}"
    return tuple(_evaluation(seen.dataset, split, seen.samples, each, pixels=pixels) for each in scores)


def _evaluation(
    dataset: Dataset, split: str, samples: Sequence[Sample], scores: Counting, *, pixels: str
) -> Evaluation:
    names, (confusion, boundary, objects) = dataset.palette.names, scores.metrics
    return Evaluation(
        split=split,
        images=len(samples),
        class_names=names,
        accuracy=confusion.accuracy,
        miou=confusion.miou,
        iou=_by_name(names, confusion.iou),
        boundary_f1=boundary.mean,
        boundary_f1_per_class=_by_name(names, boundary.scores),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion.counts),
        mean_accuracy=confusion.mean_accuracy,
        frequency_weighted_iou=confusion.frequency_weighted_iou,
        precision=_by_name(names, confusion.precision),
        recall=_by_name(names, confusion.recall),
        f1=_by_name(names, confusion.f1),
        absent=tuple(names[index] for index in confusion.absent),
        small_objects=dict(zip(names, objects.objects.tolist(), strict=True)),
        small_objects_found=dict(zip(names, objects.found.tolist(), strict=True)),
        small_object_recall=_by_name(names, objects.scores),
        data_sha256=dataset.fingerprint(split),
        pixels=pixels,
        image_names=tuple(sample.name for sample in samples),
        counts=scores.images,
    )


def _by_name(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(names, values, strict=True)}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def percent(value: float | None) -> str:
    """Return a share for a table; a dash where there was nothing to score."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.2f}"
