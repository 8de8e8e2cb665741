"""Settings filled from defaults, then a YAML file, then `key=value` words.

YAML scalars are read as text and parsed by the type that their field declares: YAML alone takes
`1e-4` for text and the color `000000` for a number.
A key that no field has is an error that names the nearest one.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from rsseg_tf.config.data import DataConfig
from rsseg_tf.config.parsing import merged, parse_override, parse_yaml, read_yaml
from rsseg_tf.config.pruning import Target
from rsseg_tf.config.renamed import as_it_was, refuse_both, with_new_names
from rsseg_tf.config.root import Config
from rsseg_tf.config.setting import check
from rsseg_tf.errors import ConfigError
from rsseg_tf.progress import warn

_UNNAMED = "\0"


def load_config(path: Path | str | None = None, overrides: Iterable[str] = (), *, is_record: bool = False) -> Config:
    """Read a configuration: defaults, then a YAML file, then `section.key=value` words.

    A target of pruning that is given takes the place of the default one. Former names of settings are read too; a line
    on stderr reports the new one.

    Args:
        path: a YAML file whose mapping mirrors `Config`, or None for the defaults alone.
        overrides: words such as `fit.epochs=3`; the value is read as YAML, then by the field's type.
        is_record: whether the file is what a run wrote: former names in it are not reported, and settings that it
            lacks are what the run did without them.

    Raises:
        ConfigError: for an unreadable file, an unknown key, a value that its field cannot hold, or a data set of files
            without `data.name`.

    Examples:
        >>> load_config(overrides=["fit.learning_rate=1e-2"]).fit.learning_rate
        0.01
    """
    config, words = Config(data=DataConfig(name=_UNNAMED)), list(overrides)
    file = read_yaml(Path(path)) if path is not None else {}
    if path is not None:
        config = changed(config, file, source=f"`{path}`", is_record=is_record)
    config = _named(overridden(config, words))
    asked = {word.partition("=")[0].removeprefix("prune.") for word in words if word.startswith("prune.")}
    asked |= set() if is_record else set(file.get("prune") or ())
    targets = asked & {item.name for item in dataclasses.fields(Target)}
    if targets and "macs" not in targets and config.prune.macs == Config().prune.macs:
        config = dataclasses.replace(config, prune=dataclasses.replace(config.prune, macs=Target.macs))
    check(config)
    return config


def _named(config: Config) -> Config:
    """Return `config` with the usual data set where none was named, but not in place of one that was described."""
    if config.data.name != _UNNAMED:
        return config
    usual = DataConfig()
    for item in dataclasses.fields(usual):
        value = getattr(usual, item.name)
        is_of_another = item.name == "root" or (dataclasses.is_dataclass(value) and item.name != usual.name)
        if is_of_another and getattr(config.data, item.name) != value:
            hint = "for images and masks of your own data.name=folder; docs/data.md has the others"
            raise ConfigError(f"`data.{item.name}` is given, but no `data.name`", hint=hint)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, name=usual.name))


def overridden(config: Config, words: Iterable[str]) -> Config:
    """Return `config` with `section.key=value` words laid over it, unchecked.

    Raises:
        ConfigError: for an unknown key, or a value that its field cannot hold.
    """
    words = list(words)
    refuse_both({word.partition("=")[0] for word in words}.__contains__, "the command")
    for word in words:
        config = changed(config, parse_override(word), source=f"`{word}`")
    return config


def changed(config: Config, changes: Mapping[str, Any], *, source: str, is_record: bool = False) -> Config:
    """Return `config` with nested `changes` laid over it, unchecked.

    Args:
        config: the settings so far.
        changes: text by field.
        source: the file or word that they come from, for messages.
        is_record: as in `load_config`.

    Raises:
        ConfigError: for an unknown key, or a value that its field cannot hold.
    """
    renamed = with_new_names(changes, source=source, tell=(lambda _line: None) if is_record else warn)
    known = as_it_was(renamed, like={}) if is_record else renamed
    found: Config = merged(config, known, source=source)
    return found


def same_settings(text: str, other: str) -> bool:
    """Return whether two texts that runs wrote mean the same settings, of the same files where comments name those.

    Settings that were added, renamed or moved since the one was written make no difference.
    """
    try:
        records = [parse_yaml(each, source="the text") for each in (text, other)]
        first, second = (
            changed(Config(), as_it_was(each, like=like), source="the text", is_record=True)
            for each, like in (records, records[::-1])
        )
    except ConfigError:
        return False
    return first == second and _comments(text) == _comments(other)


def to_dict(config: Any) -> dict[str, Any]:
    """Return the settings of `config` as plain mappings, lists and scalars."""
    plain: dict[str, Any] = _plain(config)
    return plain


def differing(settings: Any, usual: Any) -> list[str]:
    """Return `key=value` words for what differs in `settings` from `usual`, of the same dataclass.

    Examples:
        >>> from rsseg_tf.config.pruning import PruneConfig, RetrainConfig
        >>> differing(PruneConfig(loops=9, retrain=RetrainConfig(epochs=2)), PruneConfig())
        ['loops=9', 'retrain.epochs=2']
    """
    words: list[str] = []
    for item in dataclasses.fields(settings):
        own, other = getattr(settings, item.name), getattr(usual, item.name)
        if dataclasses.is_dataclass(own):
            words += [f"{item.name}.{word}" for word in differing(own, other)]
        elif own != other:
            words.append(f"{item.name}={json.dumps(_plain(own), ensure_ascii=False)}".replace('"', ""))
    return words


def dump_yaml(config: Config) -> str:
    """Return the YAML text that `load_config` reads back to an equal configuration."""
    return yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]
