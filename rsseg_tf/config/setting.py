"""A setting's default with what its value must be, and the check of whole settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

from rsseg_tf.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """What a value must be.

    Attributes:
        words: follow "must be" in messages.
        holds: whether a value is so.
    """

    words: str
    holds: Callable[[Any], bool]


def setting(
    default: T,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    rule: Rule | None = None,
) -> T:
    """Return a dataclass field with this default, whose range or rule `check` enforces.

    Examples:
        >>> @dataclass(frozen=True)
        ... class Example:
        ...     share: float = setting(0.5, above=0, at_most=1)
        >>> try:
        ...     check(Example(share=2))
        ... except ConfigError as error:
        ...     print(error.message)
        `share` must be above 0 and at most 1, got 2
    """
    metadata = {"rule": rule or _range(at_least, above, at_most)}
    if isinstance(default, dict):
        own: T = field(default_factory=default.copy, metadata=metadata)  # type: ignore[assignment]
        return own
    return field(default=default, metadata=metadata)


def check(settings: Any, where: str = "") -> None:
    """Check every setting of a dataclass, and of the dataclasses in it.

    Args:
        settings: a dataclass.
        where: goes before a name in messages, such as `fit.`.

    Raises:
        ConfigError: if a value is not what its field's rule says.
    """
    for item in fields(settings):
        value, rule = getattr(settings, item.name), item.metadata.get("rule")
        if is_dataclass(value):
            check(value, f"{where}{item.name}.")
        elif rule is not None and not rule.holds(value):
            shown = list(value) if isinstance(value, tuple) else value
            name = f"{where}{item.name}"
            raise ConfigError(f"`{name}` must be {rule.words}, got {shown}", hint=explained_by(name))


def explained_by(name: str) -> str:
    """Return the hint about a setting that has a wrong value."""
    return f"`rsseg-tf settings {name}` says what it does"


def part(settings: Any, kind: type[T]) -> T:
    """Return the settings of the dataclass `kind` out of those of a dataclass that has them all."""
    return kind(**{item.name: getattr(settings, item.name) for item in fields(kind)})  # type: ignore[arg-type]


def _range(at_least: float | None, above: float | None, at_most: float | None) -> Rule:
    words = [
        f"{name} {limit:{',' if float(limit).is_integer() else 'g'}}"
        for name, limit in (("at least", at_least), ("above", above), ("at most", at_most))
        if limit is not None
    ]

    def holds(value: float) -> bool:
        is_low = (at_least is not None and value < at_least) or (above is not None and value <= above)
        return math.isfinite(value) and not is_low and (at_most is None or value <= at_most)

    return Rule(" and ".join(words), holds)
