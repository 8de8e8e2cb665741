"""The images of a split as predictors see them, and what is counted of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rsseg_tf.config import EvaluateConfig
from rsseg_tf.datasets.images.resize import resized_image, resized_mask
from rsseg_tf.datasets.palette import Pixels
from rsseg_tf.datasets.parts import read_in_blocks
from rsseg_tf.datasets.relabeled import require_same_classes, with_classes_of
from rsseg_tf.datasets.sample import Dataset, Sample, require_masks
from rsseg_tf.errors import ModelError
from rsseg_tf.evaluation.counting import Counting, counts_of
from rsseg_tf.evaluation.share import Part
from rsseg_tf.inference.predict import Predictor


@dataclass(frozen=True)
class Seen:
    """An image that was scored, the `done`-th of `total`: what it is, its mask, and what each predictor made of it."""

    done: int
    total: int
    name: str
    image: Pixels
    mask: Pixels
    predictions: Sequence[Pixels]


@dataclass(frozen=True)
class SeenSplit:
    """The images that are scored, and by whom; see `seen_by`.

    Attributes:
        predictors: the models.
        dataset: with their classes.
        samples: the images.
        size: height and width that images are resized to before they are scored, None for not at all.
        settings: of the metrics.
    """

    predictors: Sequence[Predictor]
    dataset: Dataset
    samples: Sequence[Sample]
    size: tuple[int, int] | None
    settings: EvaluateConfig

    def counting(self) -> Counting:
        """Return the counts of one predictor before any image was counted."""
        return Counting(self.dataset.palette.num_classes, self.settings, images=len(self.samples))

    def counted(self, indices: Sequence[int], *, watch: Callable[[Seen], None] | None = None) -> Iterator[Part]:
        """Predict some images and yield what is counted of each, or of each block of a large one.

        Raises:
            DataError: if a file is damaged.
        """
        for done, index in enumerate(indices, start=1):
            for name, image, mask in self._pairs(self.samples[index]):
                predictions = [predictor.predict(image) for predictor in self.predictors]
                classes = self.dataset.palette.num_classes
                yield Part(index, [counts_of(classes, self.settings, mask, each) for each in predictions])
                if watch:
                    watch(Seen(done, len(indices), name, image, mask, predictions))

    def _pairs(self, sample: Sample) -> Iterator[tuple[str, Pixels, Pixels]]:
        """Yield name, image and mask of what is scored of a sample: resized, or as it is."""
        if self.size is None:
            yield from read_in_blocks(self.dataset, sample)
        else:
            image, mask = self.dataset.read(sample)
            yield sample.name, resized_image(image, self.size), resized_mask(mask, self.size)


def seen_by(predictors: Sequence[Predictor], dataset: Dataset, split: str, *, settings: EvaluateConfig) -> SeenSplit:
    """Return the images of a split as some models are scored on them.

    Raises:
        ModelError: if a model has other classes than the data set, or they would be scored at different sizes.
        DataError: if a sample has no mask.
    """
    dataset = with_classes_of(predictors[0].palette, dataset)
    for predictor in predictors[1:]:
        require_same_classes(predictor.palette, dataset.palette)
    size = _common_size(predictors)
    samples = dataset.samples(split)
    require_masks(samples, split)
    return SeenSplit(predictors, dataset, samples, size, settings)


def _common_size(predictors: Sequence[Predictor]) -> tuple[int, int] | None:
    """Return the height and width that images are resized to before they are scored, None for not at all."""
    sizes = {each.input_size if each.fitting == "resize" else None for each in predictors}
    if len(sizes) > 1:
        named = ", ".join(sorted("whole images" if size is None else f"{size[0]}×{size[1]}" for size in sizes))
        raise ModelError(
            f"the models are scored on different pixels: {named}",
            hint="compare models with the same `data.fitting`, and, for `resize`, the same `data.input_size`",
        )
    return sizes.pop() if sizes else None
