"""The score of a predictor on a split of a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rsseg_tf.datasets.palette import Palette
from rsseg_tf.datasets.resize import resized_image, resized_mask
from rsseg_tf.datasets.sample import Dataset, Sample
from rsseg_tf.edge.predict import Predictor
from rsseg_tf.errors import DataError, ModelError
from rsseg_tf.metrics import BoundaryF1, ConfusionMatrix
from rsseg_tf.settings import DataConfig

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""


@dataclass(frozen=True)
class Evaluation:
    """Scores over all images of a split, 0 to 1; nan where there was nothing to score.

    Attributes:
        split: the split's name.
        images: how many images were scored.
        class_names: by class id.
        accuracy: share of labelled pixels with the right class.
        miou: mean over the classes of intersection over union.
        iou: class name → intersection over union.
        boundary_f1: mean over the classes of boundary F1.
        boundary_f1_per_class: class name → boundary F1.
        confusion: pixels by true class (rows) and predicted class (columns).
    """

    split: str
    images: int
    class_names: tuple[str, ...]
    accuracy: float
    miou: float
    iou: Mapping[str, float | None]
    boundary_f1: float
    boundary_f1_per_class: Mapping[str, float | None]
    confusion: tuple[tuple[int, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values; what could not be scored is null."""
        return {
            "split": self.split,
            "images": self.images,
            "accuracy": _number(self.accuracy),
            "miou": _number(self.miou),
            "boundary_f1": _number(self.boundary_f1),
            "iou": dict(self.iou),
            "boundary_f1_per_class": dict(self.boundary_f1_per_class),
            "class_names": list(self.class_names),
            "confusion": [list(row) for row in self.confusion],
        }

    def table(self) -> str:
        """The scores as a text table, in percent."""
        width = max(len("class"), *(len(name) for name in self.class_names))
        rows = [f"{'class':<{width}}  {'IoU %':>7}  {'BF1 %':>7}"]
        for name in self.class_names:
            rows.append(f"{name:<{width}}  {_percent(self.iou[name])}  {_percent(self.boundary_f1_per_class[name])}")
        rows.append(f"{'mean':<{width}}  {_percent(self.miou)}  {_percent(self.boundary_f1)}")
        rows.append(f"pixel accuracy {_percent(self.accuracy).strip()} %, {self.images} images of `{self.split}`")
        return "\n".join(rows)


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    split: str,
    *,
    tolerance: float = 0.0075,
    progress: Progress | None = None,
) -> Evaluation:
    """Predict every image of a split and score it against its mask.

    A predictor that resizes is scored at its input size, as in the paper (section 4.1): the mask is
    resized to it. One that tiles is scored on whole images at full resolution.

    Args:
        predictor: the model.
        dataset: images and masks.
        split: which of them.
        tolerance: of boundary F1, as a share of the image diagonal.
        progress: called after every image.

    Raises:
        ModelError: the model has other classes than the data set.
        DataError: a sample has no mask, or a file is damaged.
    """
    _check_classes(predictor.palette, dataset.palette)
    samples = dataset.samples(split)
    confusion = ConfusionMatrix(dataset.palette.num_classes)
    boundary = BoundaryF1(dataset.palette.num_classes, tolerance=tolerance)
    _check_masks(samples, split)
    for done, sample in enumerate(samples, start=1):
        image, mask = dataset.read(sample)
        if predictor.fitting == "resize":
            image, mask = resized_image(image, predictor.input_size), resized_mask(mask, predictor.input_size)
        prediction = predictor.classes(image)
        confusion.update(mask, prediction)
        boundary.update(mask, prediction)
        if progress:
            progress(done, len(samples))
    return _evaluation(split, len(samples), dataset.palette.names, confusion, boundary)


def data_for(predictor: Predictor, data: DataConfig) -> DataConfig:
    """The settings to read data with for `predictor`: prepared pairs serve only where they have its input's size."""
    same = predictor.fitting == data.fitting and (data.fitting == "crop" or predictor.input_size == data.input_size)
    return data if same else replace(data, cache_dir="")


def _check_classes(model: Palette, data: Palette) -> None:
    if model.num_classes != data.num_classes:
        raise ModelError(
            f"the model has {model.num_classes} classes ({', '.join(model.names)}), "
            f"the data set {data.num_classes} ({', '.join(data.names)})",
            hint="evaluate on the data set that the model was trained for",
        )
    if model.names != data.names and sorted(model.names) == sorted(data.names):
        raise ModelError(
            f"the model's classes are ordered {', '.join(model.names)}, the data set's {', '.join(data.names)}",
            hint="give the classes in the configuration the model's order",
        )


def _check_masks(samples: tuple[Sample, ...], split: str) -> None:
    bare = [sample.name for sample in samples if sample.image is not None and sample.mask is None]
    if bare:
        raise DataError(
            f"`{bare[0]}` in the split `{split}` has no mask ({len(bare)} of {len(samples)} samples have none)",
            hint="evaluate on a split with labels, such as --split val",
        )


def _evaluation(
    split: str, images: int, names: tuple[str, ...], confusion: ConfusionMatrix, boundary: BoundaryF1
) -> Evaluation:
    return Evaluation(
        split=split,
        images=images,
        class_names=names,
        accuracy=confusion.accuracy,
        miou=confusion.miou,
        iou={name: _number(value) for name, value in zip(names, confusion.iou, strict=True)},
        boundary_f1=boundary.mean,
        boundary_f1_per_class={name: _number(value) for name, value in zip(names, boundary.scores, strict=True)},
        confusion=tuple(tuple(int(count) for count in row) for row in confusion.counts),
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _percent(value: float | None) -> str:
    return f"{'–':>7}" if value is None or math.isnan(value) else f"{100 * value:>7.2f}"
