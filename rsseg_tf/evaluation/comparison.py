"""Models side by side on identical pixels, and how sure their differences are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rsseg_tf.config import EvaluateConfig
from rsseg_tf.datasets.sample import Dataset
from rsseg_tf.evaluation.scoring import Evaluation, Seen, evaluate_all
from rsseg_tf.inference.predict import Predictor
from rsseg_tf.metrics import Interval, miou_difference

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
        """All of it as JSON values, for each model what `Evaluation.to_dict` gives."""
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
        """Scores and differences as text: a row a model, then IoU by class, a column a model."""
        width = max(len("model"), *(len(name) for name in self.names))
        level = f"{100 * self.differences[0].level:.0f} % interval"
        lines = [f"   {'model':<{width}}  {'mIoU %':>7}  {'acc. %':>7}  {'BF1 %':>7}  {'Δ mIoU':>7}  {level}"]
        for letter, name, evaluation, interval in zip(
            self._letters, self.names, self.evaluations, (None, *self.differences), strict=True
        ):
            scores = (evaluation.miou, evaluation.accuracy, evaluation.boundary_f1)
            figures = "  ".join(f"{100 * score:7.2f}" for score in scores)
            lines.append(f"{letter}  {name:<{width}}  {figures}  {_difference(interval)}".rstrip())
        first = self.evaluations[0]
        return "\n".join([*lines, "", *self._classes(), f"{first.images} images of `{first.split}`, the same pixels"])

    @property
    def _letters(self) -> list[str]:
        return [chr(ord("A") + number) if number < 26 else "·" for number in range(len(self.names))]

    def _classes(self) -> list[str]:
        names = self.evaluations[0].class_names
        width = max(len("IoU %"), *(len(name) for name in names))
        lines = [f"{'IoU %':<{width}}  {'  '.join(f'{letter:>6}' for letter in self._letters)}"]
        for name in names:
            values = (evaluation.iou[name] for evaluation in self.evaluations)
            lines.append(f"{name:<{width}}  {'  '.join(_share(value) for value in values)}")
        return lines


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
        ModelError: a model has other classes than the data set, or they would be scored at different sizes.
        DataError: a sample has no mask, or a file is damaged.
    """
    return compared(tuple(models), evaluate_all([*models.values()], dataset, split, settings=settings, watch=watch))


def compared(names: Sequence[str], evaluations: Sequence[Evaluation]) -> Comparison:
    """The comparison of evaluations of the same images; the first is what the others differ from."""
    first = evaluations[0]
    differences = [miou_difference(first.image_confusions, other.image_confusions) for other in evaluations[1:]]
    return Comparison(tuple(names), tuple(evaluations), tuple(differences))


def _difference(interval: Interval | None) -> str:
    if interval is None:
        return ""
    mark = "" if interval.is_clear else "  (holds 0)"
    return f"{100 * interval.difference:+7.2f}  {100 * interval.low:+.2f} … {100 * interval.high:+.2f}{mark}"


def _share(value: float | None) -> str:
    return f"{'–':>6}" if value is None else f"{100 * value:6.2f}"
