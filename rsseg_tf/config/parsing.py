"""Settings from text: YAML or `key=value` words over a dataclass, each value by its field's declared type."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import math
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from rsseg_tf.config.renamed import RENAMED
from rsseg_tf.config.setting import explained_by
from rsseg_tf.errors import ConfigError

_YAML = "mend that place; a value with `: `, ` #`, `[` or `{` in it needs quotes around it"


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Return the mapping in a YAML file, with every scalar as text.

    Raises:
        ConfigError: if the file cannot be read, or holds no mapping.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), source=f"`{path}`")
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration `{path}`: {error.strerror}", hint="check the path after -c"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"`{path}` is not valid YAML: {_one_line(error)}", hint="save it as UTF-8 text") from error


def parse_yaml(text: str, *, source: str) -> Mapping[str, Any]:
    """Return the mapping in YAML, with every scalar as text; `source` is what messages call it.

    Raises:
        ConfigError: if it holds no mapping.
    """
    try:
        loaded = _as_text(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{source} is not valid YAML: {_one_line(error)}", hint=_YAML) from error
    if loaded in (None, ""):
        return {}
    if not isinstance(loaded, Mapping):
        raise ConfigError(f"{source} holds no settings but {_kind(loaded)}", hint="for example `fit: {epochs: 3}`")
    return loaded


def parse_override(word: str) -> Mapping[str, Any]:
    """Return the nested mapping that a word such as `fit.epochs=3` stands for, with every scalar as text.

    Raises:
        ConfigError: if the word is not of that form.
    """
    key, equals, text = word.partition("=")
    if not equals or not key:
        is_file = word.lower().endswith((".yaml", ".yml"))
        hint = f"a file of settings follows -c: -c {word}" if is_file else "for example fit.epochs=3"
        raise ConfigError(f"expected `key=value`, got `{word}`", hint=hint)
    try:
        value = _as_text(text) if text else ""
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"cannot read the value in `{word}`: {_one_line(error)}", hint=_YAML) from error
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)


def _as_text(text: str) -> Any:
    return yaml.load(text, Loader=_TextLoader)


class _TextLoader(yaml.BaseLoader):
    """Builds text, lists and mappings only; a key that comes twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                raise yaml.constructor.ConstructorError(problem="a key is no word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key `{key.value}` comes twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def merged(base: Any, changes: Mapping[str, Any], *, source: str, where: str = "", names: Iterable[str] = ()) -> Any:
    """Return the frozen dataclass `base` with `changes` laid over it.

    Args:
        base: the settings so far, nested dataclasses included.
        changes: text by field, nested alike.
        source: the file or word that the changes come from, for messages.
        where: dotted prefix of the names in messages, where `base` is a section.
        names: of all sections and settings, dotted, where `base` is a section.

    Raises:
        ConfigError: for an unknown key, or a text that its field's type cannot hold.
    """
    hints = typing.get_type_hints(type(base), include_extras=True)
    names = names or tuple(dotted_names(base))
    updates = {}
    for key, value in changes.items():
        name = f"{where}{key}"
        if key not in hints:
            close = nearest_name(_names_within(name, value), names)
            hint = f"did you mean `{close}`?" if close else f"known here: {', '.join(hints)}"
            raise ConfigError(f"unknown setting `{name}` in {source}", hint=hint)
        old = getattr(base, key)
        if dataclasses.is_dataclass(old):
            if not isinstance(value, Mapping):
                wrong = f"`{name}` in {source} is a section of settings, got {_kind(value)}"
                raise ConfigError(wrong, hint=f"`rsseg-tf settings {name}` lists them")
            updates[key] = merged(old, value, source=source, where=f"{name}.", names=names)
        else:
            updates[key] = _parse(value, hints[key], name=name, source=source)
    return dataclasses.replace(base, **updates)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `word` was likely meant to be, whatever its case; None if it is like none."""
    names = {name.casefold(): name for name in reversed(list(known))}
    close = difflib.get_close_matches(word.casefold(), names, n=1, cutoff=0.5)
    return names[close[0]] if close else None


def described_type(declared: Any) -> str:
    """Return what a field of this type holds, such as "a whole number"."""
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin is Annotated:
        return f"{described_type(arguments[0])} or {' or '.join(arguments[1])}"
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple:
        return "a list" if arguments[-1] is Ellipsis else f"a list of {len(arguments)} values"
    return "a mapping" if origin is Mapping else _NOUNS[declared]


def no_such_choice(name: str, text: str, choices: Iterable[str]) -> ConfigError:
    """Return the error about a setting that is none of the `choices`; `name` may say where it stands."""
    known = list(choices)
    close = nearest(text, known)
    hint = f"did you mean `{close}`?" if close else "give one of them"
    return ConfigError(f"{name} must be one of {', '.join(known)}, got `{text}`", hint=hint)


def dotted_names(settings: Any, where: str = "") -> Iterator[str]:
    """Yield the names of all sections and settings of a dataclass, a section before what is in it."""
    for item in dataclasses.fields(settings):
        yield f"{where}{item.name}"
        inner = getattr(settings, item.name)
        if dataclasses.is_dataclass(inner):
            yield from dotted_names(inner, f"{where}{item.name}.")


def nearest_name(wanted: Iterable[str], names: Iterable[str]) -> str | None:
    """Return the dotted name, one of `names`, that one of the `wanted` was likely meant to be.

    Names are compared whole and by their last part; a former name stands for the new one. None if all are like none.
    """
    spellings = {**{name: name for name in names}, **RENAMED}
    words = tuple(wanted)
    best = max(spellings, key=lambda spelled: max(_likeness(word, spelled) for word in words))
    return spellings[best] if any(_likeness(word, best) >= 1 for word in words) else None


def _likeness(name: str, other: str) -> float:
    one, two = name.casefold(), other.casefold()
    pairs = ((one, two), (one.rpartition(".")[2], two.rpartition(".")[2]))
    return sum(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs)


def _names_within(name: str, value: Any) -> Iterator[str]:
    """Yield the name, and those of what its value holds if that is one thing."""
    yield name
    while isinstance(value, Mapping) and len(value) == 1:
        ((key, value),) = value.items()
        name = f"{name}.{key}"
        yield name


def _parse(value: Any, declared: Any, *, name: str, source: str) -> Any:
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    must_be = f"`{name}` in {source} must be {described_type(declared)}"
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{must_be}, got {_kind(value)}", hint="write [a, b]")
        if arguments == (float, ...):  # which may come in pairs, such as ranges
            value = list(itertools.chain(*(item if isinstance(item, list) else [item] for item in value)))
        return _parse_items(value, arguments, name=name, source=source)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{must_be}, got {_kind(value)}", hint="write {a: b}")
        return {key: _parse(item, arguments[1], name=f"{name}.{key}", source=source) for key, item in value.items()}
    return _parse_word(value, declared, name=name, source=source)


def _parse_word(value: Any, declared: Any, *, name: str, source: str) -> Any:
    """Return a single value."""
    if not isinstance(value, str):
        wrong = f"`{name}` in {source} must be a single value, got {_kind(value)}"
        raise ConfigError(wrong, hint=explained_by(name))
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin is Annotated and value in arguments[1]:  # words that stand for numbers
        return arguments[1][value]
    if origin is Literal:
        found = {str(choice): choice for choice in arguments}
        if value not in found:
            raise no_such_choice(f"`{name}` in {source}", value, found)
        return found[value]
    try:
        return _PARSERS[arguments[0] if origin is Annotated else declared](value)
    except ValueError as error:
        must_be = f"`{name}` in {source} must be {described_type(declared)}"
        raise ConfigError(f"{must_be}, got `{value}`", hint=explained_by(name)) from error


def _parse_items(value: list[Any], arguments: Sequence[Any], *, name: str, source: str) -> tuple[Any, ...]:
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    if len(value) != len(kinds):
        wrong = f"`{name}` in {source} must have {len(kinds)} values, got {len(value)}"
        raise ConfigError(wrong, hint=explained_by(name))
    return tuple(_parse(item, kind, name=name, source=source) for item, kind in zip(value, kinds, strict=True))


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
