"""Which images of a data set belong together, by where they lie, else by the numbers in their names."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from pathlib import PurePosixPath
from typing import Any

from rsseg_tf.datasets.files.position import CAMERA, Position

_DIGITS = re.compile(r"\d+")
_LONG = 6
"""A number of so many digits is a date or a time."""

_RUN_ENDS = 5
"""A step between two numbers of more than so many usual ones ends a run."""

_FOOTPRINT_M = 400.0
"""What cameras within this distance photograph is taken for one place: twice the width of a photo from 120 m, since
Mercator's meters are up to twice too long."""


@dataclass(frozen=True)
class Member:
    """An image, or all copies of one.

    Attributes:
        name: of the image.
        place: coordinates on the ground, or numbers in its name.
    """

    name: str
    place: tuple[float, ...]


@dataclass(frozen=True)
class Group:
    """Images that belong together, sorted by place and name.

    Attributes:
        members: the images.
        is_ground: whether places are on the ground, of equal worth, or numbers of which the first ones tell most.
    """

    members: tuple[Member, ...]
    is_ground: bool

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.members)

    @property
    def name(self) -> str:
        """The first name in it."""
        return min(member.name for member in self.members)

    def cut(self, most: int) -> list[Group]:
        """Return parts of about equal sizes, at most `most`, of neighbors each; equal places stay together if they can.

        Ground is cut across its longer side, numbers at the first of them that differs.
        """
        parts = -(-len(self) // most)
        if parts <= 1:
            return [self]
        axis = self._axis()
        ordered = sorted(self.members, key=lambda each: (each.place[axis:], each.place, each.name))
        wanted = round(len(ordered) * (parts // 2) / parts)
        told = slice(None) if self.is_ground else slice(axis + 1)
        changes = [at for at in range(1, len(ordered)) if ordered[at - 1].place[told] != ordered[at].place[told]]
        at = min(changes, key=lambda at: (abs(at - wanted), at), default=wanted)
        halves = (Group(tuple(half), self.is_ground) for half in (ordered[:at], ordered[at:]))
        return [part for half in halves for part in half.cut(most)]

    def _axis(self) -> int:
        extents = [max(values) - min(values) for values in zip(*(each.place for each in self.members), strict=True)]
        if self.is_ground:
            return extents.index(max(extents))
        return next((axis for axis, extent in enumerate(extents) if extent), 0)


def groups_by_place(positions: Mapping[str, Position]) -> list[Group]:
    """Return images whose ground overlaps, touches or nearly does, together with those between them.

    Args:
        positions: name → where the image lies.
    """
    spaces: dict[Any, dict[str, Position]] = {}
    for name, position in positions.items():
        spaces.setdefault(position.space, {})[name] = position
    return [group for members in spaces.values() for group in _places(members)]


def _places(positions: Mapping[str, Position]) -> list[Group]:
    """Return the connected regions of cells, as wide as the largest image, in which images lie."""
    side = max(each.side for each in positions.values())
    if side == 0:
        side = _FOOTPRINT_M if next(iter(positions.values())).space == CAMERA else 1.0
    cells: dict[tuple[int, int], list[Member]] = {}
    for name, position in positions.items():
        x, y = position.center
        cells.setdefault((floor(x / side), floor(y / side)), []).append(Member(name, (x, y)))
    groups = []
    while cells:
        start, members = cells.popitem()
        edge = [start]
        while edge:
            column, row = edge.pop()
            for cell in [(column + right, row + up) for right in (-1, 0, 1) for up in (-1, 0, 1)]:
                if cell in cells:
                    members = members + cells.pop(cell)
                    edge.append(cell)
        groups.append(_group(members, is_ground=True))
    return groups


def groups_by_number(names: Iterable[str]) -> list[Group]:
    """Return runs of images in one folder whose names differ by numbers alone.

    A run is sorted by its numbers, dates and times last, and ends where the first of them makes a jump. An image whose
    name is like no other is a group of its own.

    Args:
        names: paths without ending, with `/`.

    Examples:
        >>> [[member.name for member in group.members] for group in groups_by_number(["a1", "a2", "b"])]
        [['a1', 'a2'], ['b']]
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        alike.setdefault((path.parent.as_posix(), _DIGITS.sub("#", path.name)), []).append(name)
    return [run for members in alike.values() for run in _runs(members)]


def _runs(names: Sequence[str]) -> list[Group]:
    words = [_DIGITS.findall(PurePosixPath(name).name) for name in names]
    fields = [field for field in zip(*words, strict=True) if len(set(map(int, field))) > 1]
    fields.sort(key=lambda field: max(map(len, field)) >= _LONG)
    places = zip(*(map(float, field) for field in fields), strict=True) if fields else ((0.0,) for _ in names)
    members = sorted((Member(name, place) for name, place in zip(names, places, strict=True)), key=_order)
    steps = [after.place[0] - before.place[0] for before, after in itertools.pairwise(members)]
    usual = statistics.median([step for step in steps if step] or [0])
    runs = [[members[0]]]
    for member, step in zip(members[1:], steps, strict=True):
        if step > _RUN_ENDS * usual:
            runs.append([])
        runs[-1].append(member)
    return [_group(run, is_ground=False) for run in runs]


def _group(members: Iterable[Member], *, is_ground: bool) -> Group:
    return Group(tuple(sorted(members, key=_order)), is_ground)


def _order(member: Member) -> tuple[tuple[float, ...], str]:
    return member.place, member.name
