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
WEIGHTS = "model.weights.h5"
_MEMBERS = (_CONFIG, WEIGHTS)
_MOST_BYTES = 1 << 28
_LEAST_UNPACKED, _MOST_PACKED = 1 << 28, 50
"""Bytes that any `.keras` file may unpack to, and how many times its size beyond that."""
_AGAIN, _COPY = "save it again with model.save", "copy the file again"
_KNOWN = ("keras", "rsseg_tf", "builtins")
_OWN = "rsseg_tf>"


def require_archive(path: Path) -> None:
    """Check that a file holds, undamaged, what Keras writes into a `.keras` file, and not far more than it can.

    Raises:
        ModelError: if it does not.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            sizes = {member.filename: member.file_size for member in members}
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelError(f"`{path}` is not a .keras file, or is damaged", hint=_AGAIN) from error
    if missing := set(_MEMBERS) - sizes.keys():
        raise ModelError(f"`{path}` is not a .keras file: it lacks `{min(missing)}`", hint=_AGAIN)

    if sum(member.compress_size for member in members) > path.stat().st_size:
        raise ModelError(f"`{path}` is damaged: its table of contents names more than it holds", hint=_COPY)
    unpacked = sum(sizes.values())
    if unpacked > _LEAST_UNPACKED + _MOST_PACKED * path.stat().st_size:
        raise ModelError(
            f"`{path}` would unpack to {unpacked / 1e9:.1f} GB", hint="do not open files that you do not know"
        )
    if damaged := _damaged_member(path):
        raise ModelError(f"`{path}` is damaged: the checksum of its `{damaged}` is wrong", hint=_COPY)


def _damaged_member(path: Path) -> str | None:
    """Return a member whose bytes do not fit its checksum: Keras reads weights in jumps, which checks nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return _CONFIG


def json_member(path: Path, name: str) -> Any:
    """Return the JSON in a member of an archive; None where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(name)) if archive.getinfo(name).file_size <= _MOST_BYTES else None
    except (OSError, ValueError, KeyError, RuntimeError, RecursionError, zipfile.BadZipFile, zlib.error):
        return None


def foreign_classes(path: Path) -> list[str]:
    """Return the classes in a `.keras` file that are not of Keras and not ours, as `module.Class`, sorted.

    They are found in the file alone: nothing is imported. Empty where the file cannot be read.
    """
    try:
        return sorted(set(_foreign(json_member(path, _CONFIG))))
    except RecursionError:
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
