"""What the results of images are called, and which files are results."""

from __future__ import annotations

import collections
import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_ENDINGS = (
    *("classes.png", "classes.tif", "classes.qml", "classes.pgw", "overlay.jpg", "overlay.png"),
    *("confidence.png", "confidence.tif", "polygons.gpkg", "polygons.geojson"),
)
"""Of the results of an image, after its name."""


def output_names(images: Sequence[Path]) -> list[str]:
    """Return a name for each image's outputs: its stem, with its folder and ending where stems repeat.

    Examples:
        >>> output_names([Path("a/1.png"), Path("b/1.png"), Path("b/2.png")])
        ['a_1_png', 'b_1_png', '2']
    """
    repeats = collections.Counter(image.stem for image in images)
    taken: dict[str, int] = {}
    names: list[str] = []
    for image in images:
        name = image.stem if repeats[image.stem] == 1 else f"{image.parent.name}_{image.stem}_{image.suffix[1:]}"
        names.append(_unused(name, taken))
    return names


def names_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the results of images are called, by their records."""
    return [str(record["files"]["style"]).removesuffix("_classes.qml") for record in records]


def but_results(images: Sequence[Path], out: Path) -> list[Path]:
    """Return images, or videos, but for those that an earlier call wrote to `out`, which may be below their folder."""
    home = out.resolve()
    inside = {image for image in images if image.resolve().parent == home}
    if not inside:
        return list(images)
    made = {name for path in home.glob("*.json") for name in results_in(path)}
    return [image for image in images if image not in inside or image.name not in made]


def first_in_the_way(target: Path) -> Path | None:
    """Return the first file that is where a result of an image is to be; `target` is their folder and name.

    None where bands of a large image were kept: what lies there is ours.
    """
    if target.with_name(f"{target.name}_parts").exists():
        return None
    paths = (target.with_name(f"{target.name}_{ending}") for ending in _ENDINGS)
    return next((path for path in paths if path.exists()), None)


def results_in(record: Path) -> set[str]:
    """Return the names of the files that a record of results lists, beside it; none where the file is no record."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        known = json.loads(record.read_text(encoding="utf-8"))
        names = map(str, known["files"].values() if "files" in known else [known["output"]])
        return {name for name in names if Path(name).name == name}
    return set()


def _unused(name: str, taken: dict[str, int]) -> str:
    """Return a name that is not taken, whatever its case, and note how often each was asked for."""
    candidate, number = name, taken.get(name.lower(), 1)
    while candidate.lower() in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken[name.lower()] = number
    taken.setdefault(candidate.lower(), 1)
    return candidate
