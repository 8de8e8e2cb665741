"""Training batches; the sample at a step depends on (seed, epoch, position) alone, so any step can be redone."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rsseg_tf.config import AugmentConfig
from rsseg_tf.datasets.files.stored import Box, strips
from rsseg_tf.datasets.images.channels import COLORS
from rsseg_tf.datasets.images.resize import resized_image, resized_mask
from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.errors import RssegError
from rsseg_tf.training.augment import Framing, Pair, random_window, random_window_of
from rsseg_tf.training.places import ClassPlaces


@dataclass(frozen=True)
class Parts:
    """A pair that is too large to be read as a whole.

    Attributes:
        size: its height and width.
        read: rows and columns → image uint8 (h, w, bands) and mask uint8 (h, w) there.
    """

    size: tuple[int, int]
    read: Callable[[Box], Pair]

    def masks(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield strips of the mask, uint8 (h, W), each with its first row."""
        for box in strips(*self.size):
            yield box[0].start, self.read(box)[1]


@dataclass(frozen=True)
class TrainingSource:
    """The pairs of a split and how windows are drawn from them.

    Attributes:
        read: index → image uint8 (H, W, bands) and mask uint8 (H, W).
        count: number of pairs.
        size: height and width of a window.
        crop: draw windows anywhere in the image; otherwise the image is resized to `size` first.
        augment: random changes.
        seed: of everything random.
        cache: keep what was read (and resized) in memory.
        in_parts: (crop) index → the parts of a large pair, of which nothing is kept; None for one that `read` reads.
        by_class: share of the windows that are drawn from `places`.
        places: where each class is, if `by_class` is above 0.
        bands: of an image.
    """

    read: Callable[[int], Pair]
    count: int
    size: tuple[int, int]
    crop: bool
    augment: AugmentConfig
    seed: int
    cache: bool = True
    in_parts: Callable[[int], Parts | None] = lambda _index: None
    by_class: float = 0.0
    places: ClassPlaces | None = None
    bands: int = COLORS
    _kept: dict[int, Pair] = field(default_factory=dict, repr=False)
    _areas: dict[int, int] = field(default_factory=dict, repr=False)

    def pair(self, index: int) -> Pair:
        """Return image and mask number `index`, resized to `size` unless windows are cropped."""
        if index in self._kept:
            return self._kept[index]
        image, mask = self.read(index)
        self._areas[index] = mask.size
        pair = (image, mask) if self.crop else (resized_image(image, self.size), resized_mask(mask, self.size))
        if self.cache:
            self._kept[index] = pair
        return pair

    def _parts(self, index: int) -> Parts | None:
        return self.in_parts(index) if self.crop else None

    def _masks(self, index: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield the mask of a pair, in strips where it is large, each with its first row."""
        parts = self._parts(index)
        if parts is None:
            yield 0, self.pair(index)[1]
        else:
            yield from parts.masks()

    def _area(self, index: int) -> int:
        if index not in self._areas:
            parts = self._parts(index)
            if parts is None:
                self.pair(index)
            else:
                self._areas[index] = parts.size[0] * parts.size[1]
        return self._areas[index]

    def preload(self) -> None:
        """Read every pair now that is read as a whole, so that a damaged one is found before the first step.

        Raises:
            DataError: if a pair cannot be read.
        """
        for index in range(self.count):
            if self._parts(index) is None:
                self.pair(index)

    def windows_per_pair(self) -> NDArray[np.int64]:
        """Return how many windows of each pair one epoch draws: its area in windows, at least 1."""
        if not self.crop:
            return np.ones(self.count, np.int64)
        areas = np.array([self._area(index) for index in range(self.count)])
        return np.maximum(1, np.rint(areas / (self.size[0] * self.size[1]))).astype(np.int64)

    def class_counts(self, num_classes: int) -> NDArray[np.int64]:
        """Return the pixels of each class in all masks, int64 (num_classes,)."""
        counts = np.zeros(IGNORE + 1, np.int64)
        for index in range(self.count):
            for _, mask in self._masks(index):
                counts += np.bincount(mask.ravel(), minlength=IGNORE + 1)
        return counts[:num_classes]

    def drawn_by_class(self, share: float, *, num_classes: int) -> TrainingSource:
        """Return the same source with `share` of its windows laid around a class drawn at random."""
        places = ClassPlaces.of(self._masks, count=self.count, num_classes=num_classes)
        return replace(self, by_class=share, places=places if places.blocks else None)

    def window(self, index: int, *, epoch: int, position: int) -> Pair:
        """Return the window of pair `index` at `position` of `epoch`, or one of another pair if drawn by class."""
        rng = np.random.default_rng([self.seed, epoch, position])
        around = None
        if self.places is not None and rng.random() < self.by_class:
            index, around = self.places.draw(rng)
        framing, parts = Framing(self.size, self.crop, around), self._parts(index)
        if parts is not None:
            return random_window_of(parts.size, parts.read, self.augment, framing, rng)
        image, mask = self.pair(index)
        return random_window(image, mask, self.augment, framing=framing, rng=rng)


@dataclass(frozen=True)
class BatchSchedule:
    """Which pairs make up which batch of which epoch.

    Attributes:
        source: where windows come from.
        batch_size: windows a batch.
        steps: batches an epoch.
    """

    source: TrainingSource
    batch_size: int
    steps: int

    @classmethod
    def of(cls, source: TrainingSource, *, batch_size: int, steps: int = 0) -> BatchSchedule:
        """Return a schedule of `steps` batches an epoch, or of as many as one pass needs where `steps` is 0."""
        if steps == 0:
            steps = max(1, int(source.windows_per_pair().sum()) // batch_size)
        return cls(source, batch_size, steps)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the indices of the pairs of one epoch in their order, int64 (steps · batch_size,)."""
        pool = np.repeat(np.arange(self.source.count), self.source.windows_per_pair())
        rng = np.random.default_rng([self.source.seed, epoch])
        needed = self.steps * self.batch_size
        passes = [rng.permutation(pool) for _ in range(-(-needed // len(pool)))]
        return np.concatenate(passes)[:needed]

    def batches(
        self, epoch: int, *, start: int = 0, share: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yield the batches of one epoch from step `start` on: uint8 (B, h, w, bands) and (B, h, w).

        Args:
            epoch: counted from 0.
            start: the first step.
            share: (k, n) for the k-th of n equal parts of each batch, k from 0; only its windows are read.

        Raises:
            DataError: if a pair cannot be read.
        """
        failures: list[RssegError] = []
        try:
            yield from self._loaded(epoch, self._positions(start, *share), failures)
        except tf.errors.OpError:
            if failures:
                raise failures[0] from None  # TensorFlow wraps what its own threads raised.
            raise

    def _positions(self, start: int, part: int, parts: int) -> NDArray[np.int64]:
        """Return places in the epoch of one part of each batch from step `start` on, int64 (steps left, B / parts)."""
        places = np.arange(self.steps * self.batch_size).reshape(self.steps, parts, -1)
        return places[start:, part]

    def _loaded(self, epoch: int, places: NDArray[np.int64], failures: list[RssegError]) -> tf.data.Dataset:
        order = self.order(epoch)
        mask_shape, image_shape = self.source.size, (*self.source.size, self.source.bands)

        def draw(position: np.int64) -> Pair:
            try:
                return self.source.window(int(order[position]), epoch=epoch, position=int(position))
            except RssegError as error:
                failures.append(error)
                raise

        def load(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            image, mask = tf.numpy_function(draw, [position], (tf.uint8, tf.uint8), stateful=False)
            return tf.ensure_shape(image, image_shape), tf.ensure_shape(mask, mask_shape)

        positions = tf.data.Dataset.from_tensor_slices(places.ravel())
        windows = positions.map(load, num_parallel_calls=os.cpu_count(), deterministic=True)
        return windows.batch(places.shape[1], drop_remainder=True).prefetch(2)

    def first_batches(self, epoch: int, count: int, *, start: int = 0) -> Iterator[Pair]:
        """Yield `count` batches of one epoch from step `start` on, of later epochs where it is shorter."""
        for images, labels in itertools.islice(self._endless(epoch, start), count):
            yield images.numpy(), labels.numpy()

    def _endless(self, epoch: int, start: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        yield from self.batches(epoch, start=start)
        for following in itertools.count(epoch + 1):
            yield from self.batches(following)
