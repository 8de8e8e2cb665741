"""A `.keras` file as an archive: whether it is one, and whose classes its layers are; without TensorFlow."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsseg_tf.errors import ModelError

_CONFIG = "config.json"
_MEMBERS = (_CONFIG, "model.weights.h5")
_MOST_BYTES = 1 << 28
_AGAIN = "save it again with model.save"
_KNOWN = ("keras", "rsseg_tf", "builtins")
_OWN = "rsseg_tf>"


def require_archive(path: Path) -> None:
    """Check that a file holds what Keras writes into a `.keras` file.

    Raises:
        ModelError: if it does not.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            missing = set(_MEMBERS) - set(archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelError(f"`{path}` is not a .keras file, or is damaged", hint=_AGAIN) from error
    if missing:
        raise ModelError(f"`{path}` is not a .keras file: it lacks `{min(missing)}`", hint=_AGAIN)


def foreign_classes(path: Path) -> list[str]:
    """Return the classes in a `.keras` file that are not of Keras and not ours, as `module.Class`, sorted.

    They are found in the file alone: nothing is imported. Empty where the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(_CONFIG).file_size > _MOST_BYTES:
                return []
            config = json.loads(archive.read(_CONFIG))
        return sorted(set(_foreign(config)))
    except (OSError, ValueError, KeyError, RuntimeError, RecursionError, zipfile.BadZipFile, zlib.error):
        return []


def _foreign(config: Any) -> Iterator[str]:
    if isinstance(config, list):
        for item in config:
            yield from _foreign(item)
    elif isinstance(config, dict):
        name, module = config.get("class_name"), config.get("module")
        registered = str(config.get("registered_name") or "")
        is_foreign = isinstance(module, str) and module.partition(".")[0] not in _KNOWN
        if isinstance(name, str) and not registered.startswith(_OWN) and (is_foreign or ">" in registered):
            yield f"{module}.{name}" if is_foreign else name
        for item in config.values():
            yield from _foreign(item)
