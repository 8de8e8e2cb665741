"""Least squares after a removal: what channels that go did for the layers that read them, those that stay take over.

A channel of a tensor is close to a linear function of the others at the same place, x_r ≈ Σ_k A_kr·x_k + c_r. Where a
convolution or dense layer sums it with kernel W, W_k + Σ_r A_kr·W_r on the kept channels and Σ_r c_r·W_r in the offset
give the same sums without it: exactly where the channel is such a function, and in the least squares of the tensor
otherwise. A is found from the tensor's covariance over a few batches, with a ridge: no gradients, no training.
The idea is of He, Zhang and Sun 2017, "Channel pruning for accelerating very deep neural networks", eq. 2, with the
regression at each place instead of over each window.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree
from numpy.typing import NDArray
from scipy import linalg

from rsseg_tf.graphs import calls, windows
from rsseg_tf.pruning.scoring.moments import Moments, Seen, statistics
from rsseg_tf.pruning.scoring.taps import TapFinder
from rsseg_tf.pruning.together import ALONE, Together
from rsseg_tf.pruning.wiring import CONTRACTED, Variable, Wiring
from rsseg_tf.tracing.dilation import native_dilation

Kept = NDArray[np.bool_]
Array = NDArray[np.float64]
Places = NDArray[np.signedinteger[Any]]

_RIDGE = 0.1
"""Of the mean variance, added to each: places of a few images say less than their number. From 0.001 to 0.3 it makes
little difference (docs/results_pruning.md)."""

_LEAST_LEFT = 1e-3
"""Of a channel's mean square: what a few images show to depend on others may not quite."""


@dataclass(frozen=True)
class _Reader:
    """A layer that sums over the channels of a tensor: its kernel, and what takes the constant of its sums."""

    layer: str
    operation: keras.Operation
    kernel: Variable
    offset: keras.Variable | None
    sign: float
    reach: Array

    @property
    def axis(self) -> int:
        """The kernel's axis that the channels index."""
        return next(axis for axis, label in self.kernel.labels.items() if label == CONTRACTED)


class Reconstruction:
    """Lets the layers of one flat model make up for channels before they are masked.

    Args:
        flat: the model; its weights are changed.
        wiring: its wiring.
        together: those that measure together, each a part of the batches.
        ridge: share of a tensor's mean variance that is added to each of its variances.

    Attributes:
        moments: of the tensors that layers sum over, to be added up over a few batches.
    """

    def __init__(self, flat: keras.Model, wiring: Wiring, together: Together = ALONE, *, ridge: float = _RIDGE) -> None:
        self._flat = flat
        self._together = together
        self._wiring = wiring
        self._ridge = ridge
        self._readers, tensors = _readers(flat, wiring)
        self.moments = Moments(tensors)

    def measured(self, batches: Iterable[tuple[Any, Any]]) -> Seen:
        """Return what `moments` sees of `batches`, pairs (x, y) whose y is ignored, by forward passes alone."""
        seen = self.moments.nothing()
        if self.moments.tensors:
            inputs = ((tree.map_structure(tf.convert_to_tensor, x),) for x, _ in batches)
            with native_dilation(self._probe):
                for found in self._together.each(self._run, inputs):
                    self.moments.add(seen, found)
        return seen

    @cached_property
    def _probe(self) -> keras.Model:
        return keras.Model(self._flat.input, list(self.moments.tensors))

    @cached_property
    def _run(self) -> Callable[..., Any]:
        """One batch's places, traced once however often it is measured."""
        return self._together.traced(lambda x: self.moments.rows(tree.flatten(self._probe(x, training=False))))

    def unexplained(self, seen: Seen, alive: Kept) -> Array:
        """Return how much of each group the other channels cannot take over, (groups,): a share, above 0 and at most 1.

        Of a channel of a tensor that is what least squares on all others leave of its mean square: its variance given
        them, 1 / (Σ⁻¹)_kk of the covariance Σ with the ridge, less the ridge. Of a group it is the mean over channels
        and tensors; 1 where nothing is known.

        Args:
            seen: by `moments`.
            alive: the ids that are there.
        """
        total, number = np.zeros(self._wiring.group_count), np.zeros(self._wiring.group_count)
        ids = [self._ids(index) for index in range(len(self._readers))]
        sums = self._together.summed(
            [part for index, own in enumerate(ids) for part in self.moments.sums(seen, index, alive[own])]
        )
        for index, own in enumerate(ids):
            places, values, products = sums[3 * index : 3 * index + 3]
            if not places or not np.isfinite(products).all():
                continue
            left = _left(float(places), *statistics(places, values, products), ridge=self._ridge)
            for groups in self._wiring.groups_of(own[alive[own]]):
                np.add.at(total, groups[groups >= 0], left[groups >= 0])
                np.add.at(number, groups[groups >= 0], 1)
        return np.divide(total, number, out=np.ones(len(total)), where=number > 0)

    def _ids(self, index: int) -> Places:
        return self._wiring.layers[self._readers[index][0].layer].axes[CONTRACTED]

    def take_over(self, seen: Seen, before: Kept, after: Kept) -> None:
        """Take what the ids in `before` and not in `after`, bool (ids,), did into the kernels of the others.

        Args:
            seen: by `moments`; a tensor without a single place, or with one that is not finite, changes nothing.
            before: the ids that are there.
            after: those that are to stay.
        """
        changed = {}
        for index in range(len(self._readers)):
            ids = self._ids(index)
            alive, stays = before[ids] | after[ids], after[ids]
            if stays.any() and (alive & ~stays).any():
                changed[index] = alive, stays
        sums = self._together.summed(
            [part for index, (alive, _) in changed.items() for part in self.moments.sums(seen, index, alive)]
        )
        for place, (index, (alive, stays)) in enumerate(changed.items()):
            number, total, products = sums[3 * place : 3 * place + 3]
            if not number or not np.isfinite(products).all():
                continue
            mean, covariance = statistics(number, total, products)
            shares, rest = _explained(mean, covariance, stays[alive], ridge=self._ridge)
            for reader in self._readers[index]:
                _take_over(reader, np.flatnonzero(stays), np.flatnonzero(alive & ~stays), shares, rest)


def _readers(flat: keras.Model, wiring: Wiring) -> tuple[list[list[_Reader]], list[keras.KerasTensor]]:
    """Return the readers of each tensor that layers sum over, and those tensors."""
    find = TapFinder(flat, wiring)
    every = calls(flat)
    times = Counter(call.operation.name for call in every)
    found: dict[int, list[_Reader]] = defaultdict(list)
    tensors: dict[int, keras.KerasTensor] = {}
    for call in every:
        name = call.operation.name
        layer = wiring.layers[name]
        kernels = [variable for variable in layer.variables if variable.positions != 0]
        if len(kernels) != 1 or times[name] > 1 or CONTRACTED not in kernels[0].labels.values():
            continue
        tensor = call.inputs[0]
        is_merged = kernels[0].shape != tuple(call.operation.weights[kernels[0].index].shape)
        if is_merged or tensor.shape[-1] != len(layer.axes[CONTRACTED]):
            continue
        bias, norm = getattr(call.operation, layer.bias, None), find.norm_after(name)
        offset, sign = (bias, 1.0) if bias is not None else (norm.operation.moving_mean, -1.0) if norm else (None, 0.0)
        reach = _reach(call.operation, kernels[0], tensor)
        found[id(tensor)].append(_Reader(name, call.operation, kernels[0], offset, sign, reach))
        tensors[id(tensor)] = tensor
    return list(found.values()), list(tensors.values())


def _reach(operation: keras.Operation, kernel: Variable, tensor: keras.KerasTensor) -> Array:
    """Return the share of a kernel's output places at which each of its positions meets the picture, not padding.

    Of the shape of the kernel's axes that hold no channels. What a constant input adds to an output is its sum, with
    the kernel; a widely dilated kernel on a small picture meets it with its center alone.
    """
    positions = [axis for axis in range(len(kernel.shape)) if axis not in kernel.labels]
    padding = getattr(operation, "padding", "valid")
    if padding not in ("same", "causal") or not positions:
        return np.ones([kernel.shape[axis] for axis in positions])
    if "Transpose" in type(operation).__name__:
        return np.full([kernel.shape[axis] for axis in positions], 1 / float(np.prod(operation.strides)))
    lengths = tensor.shape[1 : 1 + len(positions)]
    return reduce(
        np.multiply.outer, (window.reach(length) for window, length in zip(windows(operation), lengths, strict=True))
    )


def _left(places: float, mean: Array, covariance: Array, *, ridge: float) -> Array:
    """Return the share of each channel's mean square, (C,), that the others do not explain.

    Of places that the regression has not seen: n / (n − C) times what it leaves of the n that it has. Of no more places
    than channels anything is explained, so nothing is known.
    """
    width, tiny = len(mean), np.finfo(np.float64).tiny
    if not width or places <= width:
        return np.ones(width)
    added = ridge * max(float(np.trace(covariance)) / width, tiny)
    factor, _ = linalg.lapack.dpotrf(covariance + added * np.eye(width))
    inverse = np.diag(linalg.lapack.dpotri(factor)[0])
    left = (1 / np.maximum(inverse, tiny) - added) * places / (places - width)
    energy = np.maximum(np.diag(covariance) + mean**2, 1e-6 * added)  # of what is 0 everywhere nothing is left
    return np.clip(left / energy, _LEAST_LEFT, 1.0)


def _explained(mean: Array, covariance: Array, stays: Kept, *, ridge: float) -> tuple[Array, Array]:
    """Return A, (stay, go), and c, (go,), of the channels that go by those that stay."""
    stay, go = np.flatnonzero(stays), np.flatnonzero(~stays)
    inner = covariance[np.ix_(stay, stay)]
    inner[np.diag_indices(len(stay))] += ridge * max(float(np.trace(inner)) / len(stay), np.finfo(np.float64).tiny)
    factor = linalg.cho_factor(inner, overwrite_a=True, check_finite=False)
    shares: Array = linalg.cho_solve(factor, covariance[np.ix_(stay, go)], check_finite=False)
    return shares, mean[go] - linalg.blas.dgemv(1.0, shares, mean[stay], trans=1)


def _take_over(reader: _Reader, stay: Places, go: Places, shares: Array, rest: Array) -> None:
    weight = reader.operation.weights[reader.kernel.index]
    value = keras.ops.convert_to_numpy(weight).copy()
    kernel = np.moveaxis(value, reader.axis, 0)  # a view, (C, …, out)
    lost = kernel[go].reshape(len(go), -1)
    taken = linalg.blas.sgemm(1.0, lost.T, shares.astype(np.float32).T).T  # in rows, as the kernel
    kernel[stay] += taken.reshape(-1, *kernel.shape[1:])
    kernel[go] = 0
    weight.assign(value)
    if reader.offset is not None:
        constant = (rest[:, None] * lost).sum(axis=0).reshape(*reader.reach.shape, -1)
        sums = (reader.reach[..., None] * constant).reshape(-1, constant.shape[-1]).sum(axis=0)
        reader.offset.assign_add((reader.sign * sums).astype(np.float32))
