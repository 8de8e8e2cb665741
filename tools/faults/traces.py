"""What lies in a folder in the end, without what may differ from run to run: seconds, and what was resumed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

_VARYING = {"outputs", "seconds", "shared_object_id", "resumed", "run", "bands_resumed"}
_VARYING |= {"network_seconds", "process", "git"}
_MEASURED = {"benchmark.json"}
_HASH = re.compile(rb"\b[0-9a-f]{64}\b")
"""Of files that are compared themselves; a `.keras` has another each time, since Keras notes when it was saved."""


def trace(folder: Path) -> dict[str, str]:
    """Return file → digest of what it says, for all files below a folder, empty folders too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if "tensorboard" in path.relative_to(folder).parts:
            found[name.partition("tensorboard")[0] + "tensorboard"] = (
                "there"  # a resumed run adds another file of events
            )
        elif path.is_file():
            found[name] = hashlib.sha256(_content(path)).hexdigest()[:16]
        elif not any(path.iterdir()):
            found[name] = "empty"
    return found


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return what of two traces differs, in words."""
    missing = [f"lacks {name}" for name in sorted(one.keys() - other.keys())]
    more = [f"has {name}" for name in sorted(other.keys() - one.keys())]
    return missing + more + [f"other {name}" for name in sorted(one.keys() & other.keys()) if one[name] != other[name]]


def half_written(folder: Path) -> list[str]:
    """Return the files below a folder that have their final name and are not whole."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*.json") if not _is_json(path)] + [
        str(path.relative_to(folder))
        for path in folder.rglob("*.keras")
        if not path.name.startswith(".") and b"PK\x05\x06" not in path.read_bytes()[-64:]
    ]


def _content(path: Path) -> bytes:
    if path.name in _MEASURED:
        return b""
    if path.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        return json.dumps([_steady(row) for row in rows]).encode()
    if path.suffix == ".json":
        return _HASH.sub(b"", json.dumps(_steady(json.loads(path.read_text())), sort_keys=True).encode())
    if path.suffix == ".keras":
        return _network(path)
    if path.suffix == ".gpkg":
        with sqlite3.connect(path) as base:
            return repr(base.execute("select * from polygons").fetchall()).encode()
    return _HASH.sub(b"", path.read_bytes())


def _network(path: Path) -> bytes:
    """Return the configuration and weights of a model: HDF5 does not write the same bytes each time."""
    import h5py

    found: list[bytes] = []
    with zipfile.ZipFile(path) as archive:
        for name in ("config.json", "rsseg_tf.json"):
            if name in archive.namelist():
                found.append(json.dumps(_steady(json.loads(archive.read(name))), sort_keys=True).encode())
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
            weights.visititems(lambda name, item: found.append(name.encode() + _values(item)))
    return b"".join(found)


def _values(item: Any) -> bytes:
    return item[()].tobytes() if hasattr(item, "dtype") else b""


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        is_csv = value.keys() - {key for key in value if not key.endswith(".csv")}
        return {key: _steady(item) for key, item in value.items() if key not in _VARYING and key not in is_csv}
    return [_steady(item) for item in value] if isinstance(value, list) else value


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True
