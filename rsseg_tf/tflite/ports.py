"""The input and the output of a network: which of several it is, what is stored there, what it tells of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ConfigError, ModelError

Sides = Sequence[int | None]

_RANGES = {
    (0.0, 255.0): (0.0, 1.0),
    (0.0, 1.0): (0.0, 255.0),
    (-1.0, 1.0): (127.5, 127.5),
    (-127 / 128, 1.0): (127.0, 128.0),
    (-128.0, 127.0): (128.0, 1.0),
}
"""Real numbers that an input holds → mean and std of pixels that fill them."""

_NEAR = 0.02
"""Of a range, what its ends may be off: calibration sees no image that holds all values."""


@dataclass(frozen=True)
class Normalization:
    """What a network expects of pixels: (pixel - mean) / std."""

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an empty range.

        Raises:
            ConfigError: if `std` is not positive, or one is not finite.
        """
        if not (np.isfinite(self.mean) and np.isfinite(self.std) and self.std > 0):
            raise ConfigError(
                f"the mean must be a number and the standard deviation above 0, got {self.mean} and {self.std}"
            )


@dataclass(frozen=True)
class Port:
    """An input or output of the network: `real = (stored - zero_point) * scale`."""

    index: int
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    @property
    def is_quantized(self) -> bool:
        """Whether what is stored stands for real numbers."""
        return self.scale > 0

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest real number that it can hold."""
        limits, scale = np.iinfo(self.dtype), self.scale or 1.0
        return (int(limits.min) - self.zero_point) * scale, (int(limits.max) - self.zero_point) * scale

    def stored(self, real: NDArray[np.float32]) -> NDArray[np.generic]:
        """Return real numbers as they are stored."""
        limits = np.iinfo(self.dtype)
        steps = np.rint(real / np.float32(self.scale or 1.0)) + self.zero_point
        return np.clip(steps, limits.min, limits.max).astype(self.dtype)

    def real(self, stored: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return what is stored as real numbers."""
        values = stored.astype(np.float32, copy=False)
        return (values - np.float32(self.zero_point)) * np.float32(self.scale) if self.is_quantized else values


def normalization_of(port: Port) -> Normalization | None:
    """Return what an input's quantization says that pixels become; None where it does not say."""
    if port.dtype == "float32":
        return None
    off = {
        known: max(abs(end - at) for end, at in zip(port.ends, known, strict=True)) / (known[1] - known[0])
        for known in _RANGES
    }
    nearest = min(off, key=lambda known: off[known])
    return Normalization(*_RANGES[nearest]) if off[nearest] <= _NEAR else None


def normalization_in(port: Port) -> Normalization:
    """Return what becomes of pixels that are stored as they are, or as int8 less 128: as files of ours take them."""
    if not port.is_quantized or port.dtype == "float32":
        return Normalization()
    return Normalization(port.zero_point - float(np.iinfo(port.dtype).min), 1 / port.scale)


def takes_pixels(port: Port, wanted: Normalization) -> bool:
    """Return whether normalized pixels 0 … 255 are stored as the same numbers, or as int8 those less 128."""
    if port.dtype == "float32":
        return False
    pixels = np.arange(256, dtype=np.float32)
    stored = port.stored((pixels - np.float32(wanted.mean)) / np.float32(wanted.std))
    return bool(np.array_equal(stored.astype(np.float32) - pixels, np.full(256, np.iinfo(port.dtype).min)))


def of_two(scores: NDArray[np.float32], *, are_probabilities: bool) -> NDArray[np.float32]:
    """Return logits of two classes, (h, w, 2), of one score a pixel, (h, w, 1): that it is of the second class.

    A softmax over them gives the probability back, and the second is the greater above 0.5.
    """
    if are_probabilities:
        inside = np.clip(scores, 1e-6, 1 - 1e-6)
        scores = np.log(inside) - np.log1p(-inside)
    return np.concatenate([np.zeros_like(scores), scores], axis=-1)


def scores_among(outputs: Mapping[str, Sides], image: Sides, *, wanted: str | None, model: str, option: str) -> int:
    """Return the place of the output that holds a score, or a class, for every pixel.

    The only output is it. Of several it is the one that is wanted, or else the only one as high and wide as the image:
    coarse maps are of auxiliary losses.

    Args:
        outputs: name → dimensions, but for the batch, in the order of the network; None for one that is open.
        image: height and width of the input.
        wanted: a name, or a place from 0 on; empty for no wish, None where any will do.
        model: what errors call the network.
        option: how a user names the output, such as `model.output=`.

    Raises:
        ModelError: if there is no such output, or several could be it and none is wanted.
    """
    names = list(outputs)
    if len(names) == 1:
        return 0
    known = ", ".join(f"{place}: `{name}` {_size(outputs[name])}" for place, name in enumerate(names))
    if wanted in names:
        return names.index(wanted)
    if wanted:
        if wanted.isdecimal() and int(wanted) < len(names):
            return int(wanted)
        raise ModelError(f"`{model}` has no output `{wanted}`", hint=f"it has {known}")
    full = [place for place, sides in enumerate(outputs.values()) if _is_map(sides) and sides[:2] == tuple(image[:2])]
    if len(full) == 1 or wanted is None:
        return full[0] if full else 0
    raise ModelError(
        f"`{model}` has {len(names)} outputs, and {len(full) or 'none'} of them as high and wide as its image",
        hint=f"say which holds the classes, by its name or number: {option}{full[-1] if full else 0}; it has {known}",
    )


def _is_map(sides: Sides) -> bool:
    return len(sides) in (2, 3)


def _size(sides: Sides) -> str:
    return "×".join("?" if side is None else str(side) for side in sides) or "1"
