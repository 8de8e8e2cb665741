"""A data set whose masks are numbered as a model numbers its classes: classes are the same where their names are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rsseg_tf.datasets.files.stored import Box
from rsseg_tf.datasets.palette import Palette, Pixels
from rsseg_tf.datasets.parts import InParts
from rsseg_tf.datasets.sample import Dataset, Sample, hash_of
from rsseg_tf.errors import ModelError
from rsseg_tf.progress import warn


def with_classes_of(model: Palette, dataset: Dataset) -> Dataset:
    """Return the data set with the names, the colors and the order of a model's classes.

    Where the order differs, a line on stderr says so.

    Raises:
        ModelError: if the classes cannot be told to be the same, one to one, by their names.
    """
    numbers = numbers_of(model, dataset.palette)
    if numbers == tuple(range(model.num_classes)):
        return dataset
    warn(f"the classes are taken by name, in the model's order: {', '.join(model.names)}")
    if isinstance(dataset, InParts):
        return _InPartsRelabeled(dataset, model, numbers)
    return _Relabeled(dataset, model, numbers)


def require_same_classes(model: Palette, other: Palette) -> None:
    """Check that two models can be scored together.

    Raises:
        ModelError: if they have other classes, or in another order.
    """
    if numbers_of(model, other) != tuple(range(model.num_classes)):
        raise ModelError(
            f"the models number their classes differently: {', '.join(other.names)} and {', '.join(model.names)}",
            hint="evaluate them one by one",
        )


def numbers_of(model: Palette, data: Palette) -> tuple[int, ...]:
    """Return the model's number of each class of the data.

    Raises:
        ModelError: if the classes cannot be told to be the same, one to one, by their names.
    """
    if model.num_classes != data.num_classes:
        raise ModelError(
            f"the model has {model.num_classes} classes ({', '.join(model.names)}), "
            f"the data set {data.num_classes} ({', '.join(data.names)})",
            hint="take the data set that the model was trained for",
        )
    own, others = _keys(model), _keys(data)
    if len(set(own)) < len(own) and model.names == data.names:
        return tuple(range(len(own)))
    if sorted(own) != sorted(others) or len(set(own)) < len(own):
        unknown = [name for name, key in zip(data.names, others, strict=True) if key not in own]
        raise ModelError(
            f"the model's classes are {', '.join(model.names)}; the data set's {', '.join(unknown)} are not among them",
            hint="give the classes in the settings the model's names",
        )
    return tuple(own.index(name) for name in others)


def known_numbers_of(model: Palette, data: Palette) -> tuple[int | None, ...]:
    """Return the model's number of each class of the data, None for one whose name it has not, or more than once."""
    if model.names == data.names:
        return tuple(range(model.num_classes))
    own = _keys(model)
    return tuple(own.index(name) if own.count(name) == 1 else None for name in _keys(data))


def _keys(palette: Palette) -> list[str]:
    return [name.strip().casefold() for name in palette.names]


class _DatasetInParts(Dataset, InParts, Protocol):
    """A data set whose large pairs need not be read as a whole."""


@dataclass
class _Relabeled:
    """The masks of a data set by other numbers."""

    inner: Dataset
    palette: Palette
    numbers: tuple[int, ...]

    def splits(self) -> tuple[str, ...]:
        return self.inner.splits()

    def samples(self, split: str) -> tuple[Sample, ...]:
        return self.inner.samples(split)

    def read_image(self, sample: Sample) -> Pixels:
        return self.inner.read_image(sample)

    def read_mask(self, sample: Sample) -> Pixels:
        return self._renumbered(self.inner.read_mask(sample))

    def read(self, sample: Sample) -> tuple[Pixels, Pixels]:
        image, mask = self.inner.read(sample)
        return image, self._renumbered(mask)

    def fingerprint(self, split: str) -> str:
        return hash_of([self.inner.fingerprint(split), self.numbers])

    def _renumbered(self, mask: Pixels) -> Pixels:
        table: Pixels = np.arange(256, dtype=np.uint8)
        table[: len(self.numbers)] = self.numbers
        return table[mask]


@dataclass
class _InPartsRelabeled(_Relabeled):
    """The same of a data set whose large pairs need not be read as a whole."""

    inner: _DatasetInParts

    def size_in_parts(self, sample: Sample) -> tuple[int, int] | None:
        return self.inner.size_in_parts(sample)

    def read_part(self, sample: Sample, box: Box) -> tuple[Pixels, Pixels]:
        image, mask = self.inner.read_part(sample, box)
        return image, self._renumbered(mask)
