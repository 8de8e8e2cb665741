"""Former names of settings, which still work and are reported, and what runs did before a setting was there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rsseg_tf.errors import ConfigError

RENAMED: Mapping[str, str] = {
    "data.pairs": "data.folder.pairs",
    "data.classes": "data.folder.classes",
    "data.ignore_colors": "data.folder.ignore_colors",
    "data.split": "data.isprs.split",
    "data.ground_truth": "data.isprs.ground_truth",
    "data.clutter": "data.isprs.clutter",
    "prune.normalise": "prune.normalize",
}
"""Former dotted name → name."""

FORMERLY: Mapping[str, str] = {"data.folder.split_by": "name"}
"""Setting of the reader `folder` → its value in runs whose records lack it, where that is not the default of today."""

_NOTHING = object()


def with_new_names(changes: Mapping[str, Any], *, source: str, tell: Callable[[str], None]) -> Mapping[str, Any]:
    """Return the nested mapping `changes` with every setting under its current name.

    Args:
        changes: a value, or a section, by name.
        source: the file or word that they come from, for messages.
        tell: called with a line about each former name.

    Raises:
        ConfigError: if a setting is given under both its names.
    """
    refuse_both(lambda name: _found(changes, name) is not _NOTHING, source)
    for former, name in RENAMED.items():
        value = _found(changes, former)
        if value is not _NOTHING:
            place = "" if source.startswith(f"`{former}=") else f" in {source}"  # of a word: itself
            tell(f"`{former}`{place} is now called `{name}`")
            changes = _put(_put(changes, former, _NOTHING), name, value)
    return changes


def as_it_was(record: Mapping[str, Any], *, like: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of a run with those that it did not know yet as it went about them, so that it stays so.

    Args:
        record: what the run wrote, by current names.
        like: a record whose values count for more: whether a run with them is the same is for its data to say.
    """
    if _found(record, "data.name") != "folder":
        return record
    for name, value in FORMERLY.items():
        if _found(record, name) is _NOTHING:
            known = _found(like, name)
            record = _put(record, name, value if known is _NOTHING else known)
    return record


def refuse_both(is_given: Callable[[str], bool], source: str) -> None:
    """Raise an error where a setting is given under both its former and its current name.

    Raises:
        ConfigError: if one is.
    """
    for former, name in RENAMED.items():
        if is_given(former) and is_given(name):
            raise ConfigError(f"`{former}` and `{name}` in {source} are the same setting", hint=f"keep `{name}`")


def _found(changes: Any, name: str) -> Any:
    for part in name.split("."):
        if not isinstance(changes, Mapping) or part not in changes:
            return _NOTHING
        changes = changes[part]
    return changes


def _put(changes: Any, name: str, value: Any) -> Any:
    """Return `changes` with a value at a dotted name, or without that name for `_NOTHING`."""
    if not isinstance(changes, Mapping):
        return changes  # not a section: the error about it comes when it is read
    head, _, rest = name.partition(".")
    inner = _put(changes.get(head, {}), rest, value) if rest else value
    kept = {key: item for key, item in changes.items() if key != head}
    return kept if inner is _NOTHING else {**kept, head: inner}
