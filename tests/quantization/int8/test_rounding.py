"""Kernels rounded together: on their steps, and with less left in the result than nearest steps leave."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rsseg_tf.quantization.int8.rounding import Covariance, rounded_together


def drawn(groups: int, filters: int, weights: int, *, rank: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Kernels, their steps, and samples of inputs that depend on each other, positive as after ReLU."""
    rng = np.random.default_rng(seed)
    kernels = rng.normal(size=(groups, filters, weights))
    steps = np.abs(kernels).max(axis=2) / 127 * 16
    hidden = rng.normal(size=(groups, 4 * weights, rank)) @ rng.normal(size=(groups, rank, weights))
    return kernels, steps, np.maximum(hidden, 0).astype(np.float32)


def covariance_of(samples: np.ndarray) -> np.ndarray:
    seen = Covariance(samples.shape[0], samples.shape[2])
    seen.add(samples)
    return seen.values()


def added(rounded: np.ndarray, kernels: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    errors = rounded - kernels
    return np.einsum("gok,gkl,gol->go", errors, covariances, errors)


@pytest.mark.parametrize(("groups", "filters", "weights"), [(1, 8, 288), (24, 1, 9), (1, 3, 1)])
def test_what_is_added_to_the_results_is_less_than_of_nearest_steps(groups, filters, weights):
    kernels, steps, samples = drawn(groups, filters, weights, rank=max(1, weights // 4))
    covariances = covariance_of(samples)
    rounded = rounded_together(kernels, steps, covariances)
    whole = rounded / steps[..., None]
    nearest = np.rint(kernels / steps[..., None]) * steps[..., None]

    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-9)
    assert np.abs(whole).max() <= 127
    largest = np.abs(kernels).argmax(axis=2)[..., None]
    np.testing.assert_array_equal(*(np.take_along_axis(each, largest, axis=2) for each in (rounded, nearest)))
    ours, theirs = (added(each, kernels, covariances).mean() for each in (rounded, nearest))
    assert ours <= theirs * (0.6 if weights > 1 else 1)


def test_weights_whose_inputs_do_not_depend_on_each_other_take_the_nearest_step():
    kernels, steps, _ = drawn(2, 5, 30, rank=1)
    covariances = np.stack([np.diag(np.linspace(1, 4, 30))] * 2)

    rounded = rounded_together(kernels, steps, covariances)

    np.testing.assert_allclose(rounded, np.rint(kernels / steps[..., None]) * steps[..., None], atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_of_few_weights_little_is_left_to_win(seed):
    """Against all ways to round four weights up or down: never far from the best, mostly better than the nearest."""
    kernels, steps, samples = drawn(1, 1, 4, rank=2, seed=seed)
    covariances = covariance_of(samples) + 0.02 * np.eye(4)
    ends = [np.floor(kernels[0, 0] / steps[0, 0]) + up for up in (0, 1)]
    best = min(
        added(np.array(way)[None, None] * steps[0, 0], kernels, covariances)[0, 0]
        for way in itertools.product(*np.transpose(ends))
    )
    nearest = added(np.rint(kernels / steps[..., None]) * steps[..., None], kernels, covariances)[0, 0]

    ours = added(rounded_together(kernels, steps, covariances), kernels, covariances)[0, 0]

    assert ours <= max(nearest, 3 * best)


def test_inputs_that_never_change_leave_the_nearest_steps():
    kernels, steps, _ = drawn(1, 3, 9, rank=1)
    steps[0, 1] = 0
    kernels[0, 1] = 0

    rounded = rounded_together(kernels, steps, np.zeros((1, 9, 9)))

    expected = np.rint(kernels / np.where(steps, steps, 1)[..., None]) * steps[..., None]
    np.testing.assert_allclose(rounded, expected, atol=1e-9)


def test_the_covariance_is_that_of_all_samples_however_they_come():
    _, _, samples = drawn(3, 1, 7, rank=5)
    parts = Covariance(3, 7)
    for part in np.array_split(np.tile(samples, (1, 90, 1)), 5, axis=1):
        parts.add(part)

    expected = [np.cov(each.T.astype(np.float64), bias=True) for each in samples]
    np.testing.assert_allclose(parts.values(), expected, rtol=2e-3, atol=1e-4)
    assert not Covariance(2, 3).values().any()
