"""Settings from text: YAML or `key=value` words over a dataclass, each value by its field's declared type."""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from rsseg_tf.errors import ConfigError


def read_yaml(path: Path) -> Mapping[str, Any]:
    """The mapping in a YAML file, with every scalar as text.

    Raises:
        ConfigError: the file cannot be read, or holds no mapping.
    """
    try:
        loaded = _as_text(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration `{path}`: {error.strerror}", hint="check the path after -c"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"`{path}` is not valid YAML: {_one_line(error)}") from error
    if loaded in (None, ""):
        return {}
    if not isinstance(loaded, Mapping):
        raise ConfigError(f"`{path}` must hold a mapping such as `fit: {{epochs: 3}}`, got {_kind(loaded)}")
    return loaded


def parse_override(word: str) -> Mapping[str, Any]:
    """The nested mapping that a word such as `fit.epochs=3` stands for, with every scalar as text.

    Raises:
        ConfigError: the word is not of that form.
    """
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise ConfigError(f"expected `key=value`, got `{word}`", hint="for example fit.epochs=3")
    try:
        value = _as_text(text) if text else ""
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"cannot read the value in `{word}`: {_one_line(error)}") from error
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)


def _as_text(text: str) -> Any:
    return yaml.load(text, Loader=yaml.BaseLoader)  # BaseLoader builds text, lists and mappings only


def merged(base: Any, changes: Mapping[str, Any], *, where: str, source: str) -> Any:
    """The frozen dataclass `base` with `changes` laid over it.

    Args:
        base: the settings so far, nested dataclasses included.
        changes: text by field, nested alike.
        where: dotted prefix of the names in messages.
        source: the file or word that the changes come from, for messages.

    Raises:
        ConfigError: an unknown key, or a text that its field's type cannot hold.
    """
    hints = typing.get_type_hints(type(base))
    updates = {}
    for key, value in changes.items():
        name = f"{where}{key}"
        if key not in hints:
            raise ConfigError(f"unknown setting `{name}` in {source}", hint=_suggestion(str(key), where, hints))
        old = getattr(base, key)
        if dataclasses.is_dataclass(old):
            if not isinstance(value, Mapping):
                raise ConfigError(f"`{name}` in {source} is a section of settings, got {_kind(value)}")
            updates[key] = merged(old, value, where=f"{name}.", source=source)
        else:
            updates[key] = _parse(value, hints[key], name=name, source=source)
    return dataclasses.replace(base, **updates)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` was likely meant to be, upper and lower case aside; None if it is like none."""
    names = {name.casefold(): name for name in reversed(list(known))}
    close = difflib.get_close_matches(word.casefold(), names, n=1, cutoff=0.5)
    return names[close[0]] if close else None


def _suggestion(key: str, where: str, known: Iterable[str]) -> str:
    names = list(known)
    close = nearest(key, names)
    return f"did you mean `{where}{close}`?" if close else f"known here: {', '.join(names)}"


def _parse(value: Any, declared: Any, *, name: str, source: str) -> Any:
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin is tuple:
        return _parse_tuple(value, arguments, name=name, source=source)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"`{name}` in {source} must be a mapping, got {_kind(value)}")
        return {key: _parse(item, arguments[1], name=f"{name}.{key}", source=source) for key, item in value.items()}
    if not isinstance(value, str):
        raise ConfigError(f"`{name}` in {source} must be a single value, got {_kind(value)}")
    if origin is Literal:
        return _parse_choice(value, arguments, name=name, source=source)
    return _parse_scalar(value, declared, name=name, source=source)


def _parse_choice(text: str, choices: Sequence[Any], *, name: str, source: str) -> Any:
    for choice in choices:
        if text == str(choice):
            return choice
    listed = ", ".join(str(choice) for choice in choices)
    close = nearest(text, map(str, choices))
    hint = f"did you mean `{close}`?" if close else ""
    raise ConfigError(f"`{name}` in {source} must be one of {listed}, got `{text}`", hint=hint)


def _parse_tuple(value: Any, arguments: Sequence[Any], *, name: str, source: str) -> tuple[Any, ...]:
    variadic = len(arguments) == 2 and arguments[1] is Ellipsis
    if not isinstance(value, list):
        length = "" if variadic else f" of {len(arguments)} values"
        raise ConfigError(f"`{name}` in {source} must be a list{length}, got {_kind(value)}", hint="write [a, b]")
    if not variadic and len(value) != len(arguments):
        raise ConfigError(f"`{name}` in {source} must have {len(arguments)} values, got {len(value)}")
    item_types = [arguments[0]] * len(value) if variadic else list(arguments)
    return tuple(_parse(item, kind, name=name, source=source) for item, kind in zip(value, item_types, strict=True))


def _parse_scalar(text: str, declared: type, *, name: str, source: str) -> Any:
    try:
        return _PARSERS[declared](text)
    except ValueError as error:
        raise ConfigError(f"`{name}` in {source} must be {_NOUNS[declared]}, got `{text}`") from error


def _parse_bool(text: str) -> bool:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _parse_int(text: str) -> int:
    number = _parse_float(text)
    if number != int(number):
        raise ValueError(text)
    return int(number)


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


_PARSERS: Mapping[type, Callable[[str], Any]] = {bool: _parse_bool, int: _parse_int, float: _parse_float, str: str}
_NOUNS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "a mapping" if isinstance(value, Mapping) else f"`{value}`"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
