"""Models side by side on identical pixels, and how sure their differences are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rsseg_tf.config import EvaluateConfig
from rsseg_tf.datasets.sample import Dataset
from rsseg_tf.evaluation.by_class import (
    CLEAR,
    ClassDifference,
    class_differences,
    difference_facts,
    in_points,
    loss_in_words,
)
from rsseg_tf.evaluation.images import Seen
from rsseg_tf.evaluation.scoring import Evaluation, evaluate_all, percent
from rsseg_tf.inference.predict import Predictor
from rsseg_tf.metrics import Interval, miou_difference
from rsseg_tf.text import text_table

_DEFAULTS = EvaluateConfig()


@dataclass(frozen=True)
class Comparison:
    """Scores of several models on the same images.

    Attributes:
        names: of the models.
        evaluations: of each.
        differences: for each but the first, its mean IoU less that of the first, with an interval.
        by_class: for each but the first, class name → how that class fares against the first.
    """

    names: tuple[str, ...]
    evaluations: tuple[Evaluation, ...]
    differences: tuple[Interval, ...]
    by_class: tuple[Mapping[str, ClassDifference], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values, for each model what `Evaluation.to_dict` gives."""
        models = zip(self.names, self.evaluations, strict=True)
        others = zip(self.names[1:], self.differences, self.by_class, strict=True)
        differences = [
            {"model": name, "against": self.names[0], **difference_facts(interval, classes)}
            for name, interval, classes in others
        ]
        return {
            "models": [{"model": name, **evaluation.to_dict()} for name, evaluation in models],
            "differences": differences,
        }

    def table(self) -> str:
        """Return scores and differences as text.

        One row per model, then IoU by class, one column per model, then for each model but the first how every class
        fares against the first, and a line about the class that lost most.
        """
        level = f"{100 * self.differences[0].level:.0f} % interval"
        rows: list[tuple[str, ...]] = [("", "model", " mIoU %", " acc. %", "  BF1 %", " Δ mIoU", level)]
        differences = [(), *map(_difference, self.differences)]
        for letter, name, each, more in zip(self._letters, self.names, self.evaluations, differences, strict=True):
            rows.append((letter, name, *map(percent, (each.miou, each.accuracy, each.boundary_f1)), *more))
        models, first = text_table(rows, align="<<>>>><"), self.evaluations[0]
        changes = zip(self._letters[1:], self.names[1:], self.by_class, strict=True)
        return "\n\n".join(
            [
                *(models, self._classes()),
                *(f"{_changes(letter, each, level)}\n{name}: {loss_in_words(each)}" for letter, name, each in changes),
                f"{CLEAR} clear of 0; {first.images} images of `{first.split}`, the same pixels",
            ]
        )

    @property
    def _letters(self) -> list[str]:
        return [chr(ord("A") + number) if number < 26 else "·" for number in range(len(self.names))]

    def _classes(self) -> str:
        heads = ("IoU %", *(f"{letter:>6}" for letter in self._letters))
        names = self.evaluations[0].class_names
        return text_table([heads, *((name, *(percent(each.iou[name]) for each in self.evaluations)) for name in names)])


def compare(
    models: Mapping[str, Predictor],
    dataset: Dataset,
    split: str = "test",
    *,
    settings: EvaluateConfig = _DEFAULTS,
    watch: Callable[[Seen], None] | None = None,
) -> Comparison:
    """Score models on the same pixels, and say how sure their differences from the first of them are.

    Args:
        models: name → model, of one input size and one way of fitting.
        dataset: images and masks.
        split: which of them.
        settings: the tolerance of boundary F1, and what a small object is.
        watch: called after every image.

    Returns:
        The scores of each model, and for each but the first the differences in mean IoU, and by class in IoU and small
        objects found, with 95 % intervals.

    Raises:
        ModelError: if a model has other classes than the data set, or they would be scored at different sizes.
        DataError: if a sample has no mask, or a file is damaged.
    """
    return compared(tuple(models), evaluate_all([*models.values()], dataset, split, settings=settings, watch=watch))


def compared(names: Sequence[str], evaluations: Sequence[Evaluation]) -> Comparison:
    """Return the comparison of evaluations of the same images; the first is what the others differ from."""
    first, *others = (each.counts for each in evaluations)
    differences = [miou_difference(first.confusions, other.confusions) for other in others]
    by_class = [class_differences(evaluations[0].class_names, first, other) for other in others]
    return Comparison(tuple(names), tuple(evaluations), tuple(differences), tuple(by_class))


def _changes(letter: str, classes: Mapping[str, ClassDifference], level: str) -> str:
    heads = (f"{letter} against A", "  Δ IoU", level, "small found", "Δ found", level)
    rows = [
        (name, *_difference(each.iou), each.counts or "–", *_difference(each.small_object_recall))
        for name, each in classes.items()
    ]
    return text_table([heads, *rows], align="<><<><")


def _difference(interval: Interval) -> tuple[str, str]:
    points, ends = in_points(interval, " … ")
    return points, f"{ends} {CLEAR}" if interval.is_clear else ends
