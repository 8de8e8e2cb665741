"""What the results of images are called, and which files are results."""

from __future__ import annotations

import collections
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path


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


def but_results(images: Sequence[Path], out: Path) -> list[Path]:
    """Return the images without those that an earlier call wrote into `out`, which may lie below a folder of images."""
    home = out.resolve()
    inside = {image for image in images if image.resolve().parent == home}
    if not inside:
        return list(images)
    made: set[str] = set()
    for path in home.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            made.update(map(str, json.loads(path.read_text(encoding="utf-8"))["files"].values()))
    return [image for image in images if image not in inside or image.name not in made]


def _unused(name: str, taken: dict[str, int]) -> str:
    """Return a name that is not taken, whatever its case, and note how often each was asked for."""
    candidate, number = name, taken.get(name.lower(), 1)
    while candidate.lower() in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken[name.lower()] = number
    taken.setdefault(candidate.lower(), 1)
    return candidate
