"""Models side by side on identical pixels, and how sure their differences are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rsseg_tf.config import EvaluateConfig
from rsseg_tf.datasets.sample import Dataset
from rsseg_tf.evaluation.scoring import Evaluation, Seen, evaluate_all, percent
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
    """

    names: tuple[str, ...]
    evaluations: tuple[Evaluation, ...]
    differences: tuple[Interval, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values, for each model what `Evaluation.to_dict` gives."""
        models = zip(self.names, self.evaluations, strict=True)
        others = zip(self.names[1:], self.differences, strict=True)
        return {
            "models": [{"model": name, **evaluation.to_dict()} for name, evaluation in models],
            "differences": [
                {"model": name, "against": self.names[0], **asdict(interval), "is_clear": interval.is_clear}
                for name, interval in others
            ],
        }

    def table(self) -> str:
        """Return scores and differences as text: one row per model, then IoU by class, one column per model."""
        level = f"{100 * self.differences[0].level:.0f} % interval"
        rows: list[tuple[str, ...]] = [("", "model", " mIoU %", " acc. %", "  BF1 %", " Δ mIoU", level)]
        differences = [(), *map(_difference, self.differences)]
        for letter, name, each, more in zip(self._letters, self.names, self.evaluations, differences, strict=True):
            rows.append((letter, name, *map(percent, (each.miou, each.accuracy, each.boundary_f1)), *more))
        models, first = text_table(rows, align="<<>>>><"), self.evaluations[0]
        return f"{models}\n\n{self._classes()}\n{first.images} images of `{first.split}`, the same pixels"

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
        The scores of each model, and for each but the first the difference in mean IoU with its 95 % interval.

    Raises:
        ModelError: if a model has other classes than the data set, or they would be scored at different sizes.
        DataError: if a sample has no mask, or a file is damaged.
    """
    return compared(tuple(models), evaluate_all([*models.values()], dataset, split, settings=settings, watch=watch))


def compared(names: Sequence[str], evaluations: Sequence[Evaluation]) -> Comparison:
    """Return the comparison of evaluations of the same images; the first is what the others differ from."""
    first = evaluations[0]
    differences = [miou_difference(first.image_confusions, other.image_confusions) for other in evaluations[1:]]
    return Comparison(tuple(names), tuple(evaluations), tuple(differences))


def _difference(interval: Interval) -> tuple[str, ...]:
    mark = "" if interval.is_clear else "  (holds 0)"
    return f"{100 * interval.difference:+.2f}", f"{100 * interval.low:+.2f} … {100 * interval.high:+.2f}{mark}"
