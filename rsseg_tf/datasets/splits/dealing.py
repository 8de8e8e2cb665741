"""Deals the images of a data set that says nothing of splits to train, val and test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rsseg_tf.config.data import SplitBy
from rsseg_tf.datasets.files.position import position_of
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.datasets.splits.neighbors import Group, Member, groups_by_number, groups_by_place
from rsseg_tf.text import counted

LEAST_TO_DEAL = 7
SPLITS = ("train", "val", "test")

_SHARE = 7  # a seventh each for val and test
_MOST_OF_IT = 1.5  # of a share, where whole groups would be more


@dataclass(frozen=True)
class Dealing:
    """How images were dealt.

    Attributes:
        splits: `train`, `val` and `test` → samples in the order that they came in; `train` alone for fewer than seven.
        words: how, for people.
    """

    splits: dict[str, tuple[Sample, ...]]
    words: str


def deal(samples: Sequence[Sample], by: SplitBy = "neighbors") -> Dealing:
    """Deal about a seventh of the samples each to val and test, and the rest to train.

    Copies that Roboflow made of one image (`NAME.rf.HASH`) stay together. Which groups go where is decided by a hash of
    their names: the same on every machine, in every order. Where groups are larger than a share, they are cut
    into blocks of neighbors.

    Args:
        samples: of one data set.
        by: `neighbors` keeps together what lies nearby, by georeferences and by the places that cameras wrote down,
            else by runs of numbers in the names; `name` keeps nothing together but copies.
    """
    origins: dict[str, list[Sample]] = {}
    for sample in samples:
        origins.setdefault(sample.name.partition(".rf.")[0], []).append(sample)
    if len(origins) < LEAST_TO_DEAL:
        return Dealing({"train": tuple(samples)}, f"fewer than {LEAST_TO_DEAL} images: all train")
    if by == "name":
        groups, how = [Group((Member(name, ()),), is_ground=False) for name in origins], ""
    else:
        groups, how = _grouped(origins)
    split_of, cut = _split_of(groups, held=round(len(origins) / _SHARE))
    splits = {
        name: tuple(each for each in samples if split_of.get(each.name.partition(".rf.")[0], "train") == name)
        for name in SPLITS
    }
    together = f"{how}; {cut}" if how else "a hash of each name, neighbors apart"
    return Dealing(splits, f"dealt by {together}")


def _grouped(origins: dict[str, list[Sample]]) -> tuple[list[Group], str]:
    """Return groups of neighbors, and what tells that they are."""
    positions = {}
    for name, copies in origins.items():
        found = (position_of(each.image) for each in copies if each.image is not None)
        if position := next((each for each in found if each), None):
            positions[name] = position
    placed = groups_by_place(positions)
    named = groups_by_number(name for name in origins if name not in positions)
    ways = [
        f"{what} ({counted(sum(map(len, groups)), 'image')} in {counted(len(groups), 'group')} of neighbors)"
        for what, groups in (("position", placed), ("the numbers in names", named))
        if groups
    ]
    return placed + named, " and ".join(ways)


def _split_of(groups: list[Group], *, held: int) -> tuple[dict[str, str], str]:
    """Return the split of each name that does not go to train, and whether groups had to be cut, in words."""
    ordered = sorted(groups, key=lambda group: hashlib.sha256(group.name.encode()).digest())
    test, val = _chosen(ordered, held)
    cut = "all of them whole"
    if min(test.count, val.count) * 2 < held:
        whole = [group for group in ordered if len(group) <= held]
        blocks = [block for group in ordered if len(group) > held for block in reversed(group.cut(held))]
        test, val = _chosen(whole + blocks, held)
        cut = f"{counted(len(ordered) - len(whole), 'large group')} cut into {len(blocks)} blocks"
    return {**test.names("test"), **val.names("val")}, cut


@dataclass(frozen=True)
class _Choice:
    groups: list[Group]

    @property
    def count(self) -> int:
        return sum(map(len, self.groups))

    def names(self, split: str) -> dict[str, str]:
        return {member.name: split for group in self.groups for member in group.members}


def _chosen(groups: Iterable[Group], held: int) -> tuple[_Choice, _Choice]:
    """Return the first groups that make about `held` images for test, and of the rest those for val.

    Blocks of one group come from its end, so that val lies between test and train, and little ground is shared.
    """
    left, choices = list(groups), []
    for _ in range(2):
        taken: list[Group] = []
        count = 0
        for group in left:
            after = count + len(group)
            if abs(after - held) < abs(count - held) and after <= _MOST_OF_IT * held:
                taken, count = [*taken, group], after
        chosen = {group.name for group in taken}
        left = [group for group in left if group.name not in chosen]
        choices.append(_Choice(taken))
    return choices[0], choices[1]
