"""What a network must keep on its way through a pruning loop, and what it falls short of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import keras

from rsseg_tf.config.pruning import ACCURACY, Loop
from rsseg_tf.errors import ConfigError

Measure = Callable[[keras.Model], float | Mapping[str, float]]


class Floors:
    """The least values of what is measured of a network; there may be none.

    Args:
        loop: its `floors` are these values.
        measure: of a model, by the same names; a single number is its accuracy.
    """

    def __init__(self, loop: Loop, measure: Measure | None) -> None:
        self._least = loop.floors
        self._measure = measure

    def __bool__(self) -> bool:
        return bool(self._least)

    def missed(self, model: keras.Model) -> dict[str, float]:
        """Return name → value of each measure of `model` that is below its floor or not a number.

        Raises:
            ConfigError: if nothing measures one that has a floor.
        """
        if not self._least or self._measure is None:
            return {}
        found = self._measure(model)
        values = found if isinstance(found, Mapping) else {ACCURACY: found}
        for name in self._least:
            if name not in values:
                hint = f"return a mapping with `{name}`"
                raise ConfigError(f"the hook `accuracy` does not measure `{_setting(name)}`", hint=hint)
        return {name: float(values[name]) for name, least in self._least.items() if not values[name] >= least}

    def require(self, dense: keras.Model) -> None:
        """Check that the dense model itself reaches every floor.

        Raises:
            ConfigError: if it does not, or there is nothing to measure it on.
        """
        for name, value in self.missed(dense).items():
            asked = f"`prune.{_setting(name)}` is {self._least[name]:g}, but"
            if math.isnan(value):
                raise ConfigError(f"{asked} there is nothing to measure it on", hint="leave it out")
            raise ConfigError(f"{asked} the dense model itself reaches only {value:.4f}", hint="lower it")

    def in_words(self, missed: Mapping[str, float]) -> str:
        """Return what was missed, such as "accuracy_floor 0.4123 is less than 0.5"."""
        told = [
            f"{_setting(name)} {missed[name]:.4f} is less than {least:g}"
            for name, least in self._least.items()
            if name in missed
        ]
        return ", ".join(told)


def _setting(name: str) -> str:
    return "accuracy_floor" if name == ACCURACY else name
