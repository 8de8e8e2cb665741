"""Which range of an activation int8 should express: everything that was seen, or less and finer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.quantization.int8.calibrated import Images, Range, ranges_of_pixels, with_ranges
from rsseg_tf.quantization.int8.observe import Float64Array, Observed, observe
from rsseg_tf.quantization.int8.scales import with_fitting_ranges

MIN_MAX = "min-max"
OUTSIDE = 1e-4
"""Share of the values that `percentile` leaves outside, half at either end."""
NEWEST = 0.1
"""Weight of the newest image in the moving average."""

_LEVELS = 255
_SHRINKAGES = np.linspace(0.2, 1.0, 41)


def everything(observed: Observed) -> Range:
    """Return the range from the least to the greatest value."""
    return _with_zero(observed.low, observed.high)


def percentile(observed: Observed) -> Range:
    """Return the range from the 0.005th to the 99.995th percentile, zeros counted, linear within a bin."""
    if observed.low == observed.high:
        return everything(observed)
    edges = np.linspace(observed.low, observed.high, len(observed.counts) + 1)
    counts = observed.counts.astype(np.float64)
    counts[_bin_of_zero(observed)] += observed.zeros
    share = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    low, high = np.interp([OUTSIDE / 2, 1 - OUTSIDE / 2], share, edges)
    return _with_zero(low, high)


def moving_average(observed: Observed) -> Range:
    """Return the range of the moving averages of each image's extremes, in order (Jacob et al. 2018, section 3.1)."""
    return _with_zero(_averaged(observed.minima), _averaged(observed.maxima))


def least_square_error(observed: Observed) -> Range:
    """Return the range whose int8 numbers have the least mean squared error, among 41 shrinkages of either end.

    Rounding costs a twelfth of a squared step for every value inside, but nothing for zeros; clipping costs
    the squared distance to the range for every value outside (Banner et al. 2019, equations 1 to 5).
    """
    centers, counts = observed.centers, observed.counts.astype(np.float64)
    lows = observed.low * _SHRINKAGES if observed.low < 0 else np.zeros(1)
    highs = observed.high * _SHRINKAGES if observed.high > 0 else np.zeros(1)
    below = np.array([_overshoot(low - centers, counts) for low in lows])
    above = np.array([_overshoot(centers - high, counts) for high in highs])
    inside = counts.sum() - below[:, 1, None] - above[None, :, 1]
    steps = (highs[None, :] - lows[:, None]) / _LEVELS
    errors = inside * steps**2 / 12 + below[:, 0, None] + above[None, :, 0]
    low, high = np.unravel_index(np.argmin(errors), errors.shape)
    return _with_zero(lows[low], highs[high])


METHODS: Mapping[str, Callable[[Observed], Range]] = {
    MIN_MAX: everything,
    "percentile": percentile,
    "moving-average": moving_average,
    "mse": least_square_error,
}
"""Name, as in `export.calibration_method` → the range of an activation, from what was seen of it."""


def with_method(calibrated: bytes, images: Images, *, method: str) -> bytes:
    """Return the calibrated file with ranges measured on `images` and chosen by `method`.

    The input's range is that of a pixel, 0 to 255, whatever the images hold; see `pixels`.

    Raises:
        ConfigError: for an unknown method.
        ModelError: if an activation has no finite range.
    """
    if method not in METHODS:
        raise ConfigError(f"unknown calibration method `{method}`", hint=f"known: {', '.join(METHODS)}")
    return with_chosen(calibrated, observe(calibrated, images), method=method)


def with_chosen(calibrated: bytes, seen: Mapping[int, Observed], *, method: str) -> bytes:
    """Return what `with_method` does, for values seen already."""
    chosen = {index: finite_range(METHODS[method](observed), observed, method) for index, observed in seen.items()}
    return with_fitting_ranges(with_ranges(calibrated, {**chosen, **ranges_of_pixels(calibrated)}))


def finite_range(chosen: Range, observed: Observed, method: str) -> Range:
    """Return the range that a method chose.

    Raises:
        ModelError: if it is not finite.
    """
    if not np.isfinite([chosen.low, chosen.high]).all():
        raise ModelError(
            f"calibration method `{method}` gives the range {chosen.low:g} … {chosen.high:g} to an activation that was "
            f"seen from {observed.low:g} to {observed.high:g}",
            hint="if it was seen finite the method is at fault, else the model is",
        )
    return chosen


def _bin_of_zero(observed: Observed) -> int:
    bins = len(observed.counts)
    return int(np.clip(-observed.low / (observed.high - observed.low) * bins, 0, bins - 1))


def _averaged(extremes: Float64Array) -> float:
    average = extremes[0]
    for extreme in extremes[1:]:
        average += NEWEST * (extreme - average)
    return float(average)


def _overshoot(distances: Float64Array, counts: Float64Array) -> tuple[float, float]:
    """Return the sum of squared distances of the values outside one end of a range, and how many they are."""
    outside = distances > 0
    return float(counts[outside] @ distances[outside] ** 2), float(counts[outside].sum())


def _with_zero(low: float, high: float) -> Range:
    """Return a range that expresses zero, as TFLite needs for padding and ReLU."""
    return Range(min(float(low), 0.0), max(float(high), 0.0))
