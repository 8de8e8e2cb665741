"""Every setting with its values, default and description, read off the dataclasses, as text and as a page."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from rsseg_tf.config.parsing import described_type, nearest_name
from rsseg_tf.config.reading import to_dict
from rsseg_tf.config.root import Config
from rsseg_tf.errors import ConfigError

Choices = Mapping[str, Sequence[str]]

_WIDTH = 100

_HEAD = """# Settings

Made from the dataclasses in `rsseg_tf/config/` by `make docs`; `rsseg-tf settings [SECTION]` prints the same. A setting
goes into the YAML file of `-c` (`fit: {epochs: 3}`) or follows a command as a word (`fit.epochs=3`), which wins.
"""


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: dotted, as a command takes it.
        values: what it may be.
        default: as plain JSON.
        description: what it does.
    """

    name: str
    values: str
    default: Any
    description: str

    @property
    def default_text(self) -> str:
        """The default as a command takes it."""
        is_word = isinstance(self.default, str) and self.default != ""
        return str(self.default) if is_word else json.dumps(self.default)


@dataclass(frozen=True)
class Section:
    """The settings of one dataclass.

    Attributes:
        name: dotted, empty for the top level.
        about: what they are.
        settings: one a field.
        like: an earlier section of the same settings, if there is one.
        changed: names of those settings whose default differs from there.
    """

    name: str
    about: str
    settings: tuple[Setting, ...]
    like: str = ""
    changed: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What stands below the section's name."""
        if not self.like:
            return self.about
        defaults = [f"`{each.name}={each.default_text}`" for each in self.settings if each.name in self.changed]
        return f"{self.about} As `{self.like}`{', but for ' * bool(defaults)}{', '.join(defaults)}.".lstrip()

    @property
    def listed(self) -> tuple[Setting, ...]:
        """The settings that an earlier section does not describe."""
        return () if self.like else self.settings


def all_sections(choices: Choices) -> tuple[Section, ...]:
    """Return every section, in the order of the configuration.

    Args:
        choices: setting → its values, where a table above this layer holds them.
    """
    found: dict[type, Section] = {}
    return tuple(_sections(Config(), "", "", choices, found))


def chosen_sections(wanted: str, choices: Choices) -> tuple[Section, ...]:
    """Return the section that `wanted` names with those in it, or the single setting.

    Raises:
        ConfigError: if there is neither.
    """
    every = all_sections(choices)
    chosen = tuple(each for each in every if f"{each.name}.".startswith(f"{wanted}."))
    single = [Section("", "", (each,)) for section in every for each in section.settings if each.name == wanted]
    if chosen or single:
        return chosen or tuple(single)
    known = [section.name for section in every if section.name]
    close = nearest_name([wanted], [*known, *(each.name for section in every for each in section.settings)])
    hint = f"did you mean `{close}`?" if close else f"sections: {', '.join(known)}"
    raise ConfigError(f"there is no section or setting `{wanted}`", hint=hint)


def as_text(sections: Iterable[Section]) -> str:
    """Return the sections for a terminal."""
    return "\n\n".join(_section_text(each) for each in sections)


def as_page(sections: Iterable[Section]) -> str:
    """Return the sections as `docs/settings.md`."""
    return "\n".join([_HEAD, *(_section_page(each) for each in sections)])


def as_json(sections: Iterable[Section]) -> dict[str, Any]:
    """Return `sections`, each with `name`, `about`, `like`, `changed` and its `settings`."""
    return {"sections": [asdict(each) for each in sections]}


def _sections(config: Any, name: str, about: str, choices: Choices, found: dict[type, Section]) -> Iterator[Section]:
    """Yield the section of `config`, of which the section around it says `about`, and those in it."""
    prefix, words = f"{name}." if name else "", _attributes(type(config))
    section = Section(name, _about(type(config)), tuple(_settings(config, prefix, words, choices)))
    kinds = [kind for kind in type(config).__mro__ if is_dataclass(kind)]
    known = (found[kind] for kind in kinds if kind in found)
    earlier = next((each for each in known if len(each.settings) == len(section.settings)), None)
    for kind in kinds:  # of one with more settings, another of its base may have the same
        found.setdefault(kind, section)
    if earlier is not None:
        pairs = zip(section.settings, earlier.settings, strict=True)
        changed = tuple(own.name for own, other in pairs if own.default != other.default)
        section = Section(name, about[:1].upper() + about[1:], section.settings, earlier.name, changed)
    yield section
    for item in fields(config):
        inner = getattr(config, item.name)
        if is_dataclass(inner):
            yield from _sections(inner, f"{prefix}{item.name}", words.get(item.name, ""), choices, found)


def _settings(config: Any, prefix: str, words: Mapping[str, str], choices: Choices) -> Iterator[Setting]:
    hints, plain = typing.get_type_hints(type(config), include_extras=True), to_dict(config)
    for item in fields(config):
        if not is_dataclass(getattr(config, item.name)):
            name, rule = f"{prefix}{item.name}", item.metadata.get("rule")
            values = f"one of {', '.join(choices[name])}" if name in choices else described_type(hints[item.name])
            with_rule = f"{values}, {rule.words}" if rule else values
            yield Setting(name, with_rule, plain[item.name], words.get(item.name, ""))


def _about(kind: type) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())


def _attributes(kind: type) -> dict[str, str]:
    """Return field → what the docstrings of its class and of the classes above say about it."""
    found = {}
    for each in reversed(kind.__mro__):
        _, _, block = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", block, flags=re.MULTILINE):
            found[name] = " ".join(text.split())
    return found


def _section_text(section: Section) -> str:
    lines = [f"{section.name}: {section.summary}" if section.name else section.summary]
    for each in section.listed:
        lines += ["", f"  {each.name}={each.default_text}  ({each.values})"]
        lines += textwrap.wrap(each.description, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines).strip("\n")


def _section_page(section: Section) -> str:
    lines = [f"## {section.name or 'Top level'}", "", section.summary, ""]
    if section.listed:
        lines += ["| setting | values | default | what it does |", "| --- | --- | --- | --- |"]
    for each in section.listed:
        lines.append(f"| `{each.name}` | {each.values} | `{each.default_text}` | {each.description} |")
    return "\n".join([*lines, *([""] if section.listed else [])])
