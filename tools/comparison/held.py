"""Figures that a tool has measured and keeps in a file, so that a second run does not measure them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsseg_tf.errors import ConfigError


def held_figures(path: Path, fingerprint: str) -> Mapping[str, Any] | None:
    """Return the figures in `path`, or None where there are none yet.

    Args:
        path: a JSON file with the `fingerprint` that it was written with.
        fingerprint: a hash of everything that the figures depend on.

    Raises:
        ConfigError: if they are of other settings.
    """
    if not path.exists():
        return None
    row: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if row.get("fingerprint") != fingerprint:
        raise ConfigError(f"`{path}` is of other settings or another model", hint="choose another --out, or delete it")
    return row
