"""Folders of results, compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def contents(folder: Path) -> dict[str, Any]:
    """Return what a folder holds by name: bytes, and of a record all but how the run went."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".json":
            found[path.name] = {name: value for name, value in json.loads(path.read_text()).items() if name != "run"}
        else:
            found[path.name] = path.read_bytes()
    return found
