"""Files that a command writes into a folder as one set: an earlier set is replaced, and nobody else's file is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rsseg_tf.errors import ConfigError
from rsseg_tf.run_folder import only_writer
from rsseg_tf.runs import write_json


@contextlib.contextmanager
def replaced(folder: Path, record: str, facts: Mapping[str, Any]) -> Iterator[None]:
    """Let a block write files into a folder in the place of those of an earlier set.

    What the earlier set has and this one has not is removed after the block. A kill leaves files that the next call
    replaces.

    Args:
        folder: where to.
        record: name of the JSON file that is written last, and says which files are of the set.
        facts: what it holds; `files` are the names of all files of the set in the folder, with `/`.

    Raises:
        ConfigError: if a file is there that is of no earlier set, or another process writes to the folder.
    """
    with only_writer(folder):
        names = {record, *facts["files"]}
        earlier = require_replaceable(folder, record, names)
        write_json(folder / record, {"files": sorted(earlier | names)})
        yield
        for name in earlier - names:
            (folder / name).unlink(missing_ok=True)
        write_json(folder / record, facts)


def require_replaceable(folder: Path, record: str, names: Iterable[str]) -> set[str]:
    """Check that every file of a set may be written, and return the names of an earlier set's files.

    Args:
        folder: as for `replaced`.
        record: as for `replaced`.
        names: of files of the set in the folder.

    Raises:
        ConfigError: if one is there that is of no earlier set.
    """
    earlier = _earlier(folder, record)
    taken = [folder / name for name in sorted({record, *names} - earlier) if (folder / name).exists()]
    if taken:
        raise ConfigError(
            f"`{taken[0]}` is in the way: no earlier call wrote it", hint="choose another --out, or move it elsewhere"
        )
    return earlier


def _earlier(folder: Path, record: str) -> set[str]:
    """Return the names of the files of an earlier set; none where its record is no such record."""
    home = folder.resolve()
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        facts = json.loads((folder / record).read_text(encoding="utf-8"))
        names = {name for name in map(str, facts["files"]) if (folder / name).is_file()}
        return {name for name in names if (folder / name).resolve().is_relative_to(home)} | {record}
    return set()
