"""Settings filled from defaults, then a YAML file, then `key=value` words.

YAML scalars are read as text and parsed by the type that their field declares: YAML alone takes
`1e-4` for text and the color `000000` for a number.
A key that no field has is an error that names the nearest one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from rsseg_tf.config.parsing import merged, parse_override, read_yaml
from rsseg_tf.config.root import Config
from rsseg_tf.config.setting import check


def load_config(path: Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """A configuration from defaults, then a YAML file, then `section.key=value` words.

    Args:
        path: a YAML file whose mapping mirrors `Config`, or None for the defaults alone.
        overrides: words such as `fit.epochs=3`; the value is read as YAML, then by the field's type.

    Raises:
        ConfigError: an unreadable file, an unknown key, or a value that its field cannot hold.

    Example:
        >>> load_config(overrides=["fit.learning_rate=1e-2"]).fit.learning_rate
        0.01
    """
    config = Config()
    if path is not None:
        config = merged(config, read_yaml(path), where="", source=f"`{path}`")
    for word in overrides:
        config = merged(config, parse_override(word), where="", source=f"`{word}`")
    check(config)
    return config


def to_dict(config: Any) -> dict[str, Any]:
    """The settings of `config` as plain mappings, lists and scalars."""
    plain: dict[str, Any] = _plain(config)
    return plain


def dump_yaml(config: Config) -> str:
    """The YAML text that `load_config` reads back to an equal configuration."""
    return yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
