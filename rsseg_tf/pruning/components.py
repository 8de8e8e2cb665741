"""Which channels can only go together, from what the walk over the graph wrote down.

A channel of attention stays where its head stays and its place within the heads stays. So it is in two groups, and goes
with either: that of the head, and that of the place, which takes one channel from every head. All other channels are in
one group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from rsseg_tf.pruning.rules.site import Freeze, Ids, Ledger

Part = Literal["", "heads", "widths"]
"""What a group is of attention with several heads: one of them, or one place within all of them; empty elsewhere."""


@dataclass(frozen=True)
class Components:
    """The groups of the ids of a graph.

    Attributes:
        group_of: int64 (ids,), number of the group, −1 for channels that must stay.
        also_of: int64 (ids,), number of the other group that a channel goes with, −1 for none.
        parts: what each group takes of attention, (groups,).
        reasons: id that must stay → what freezes it.
    """

    group_of: Ids
    also_of: Ids
    parts: tuple[Part, ...]
    reasons: Mapping[int, Freeze]


def components(ledger: Ledger) -> Components:
    """Return the groups of all ids of a ledger."""
    _close_grids(ledger)
    label, cells, rows, columns = _labels(ledger)
    row_of, column_of = (np.full(ledger.count + 1, -1) for _ in range(2))
    row_of[cells], column_of[cells] = rows, columns
    why: dict[int, Freeze] = {}
    for freeze in [*ledger.freezes, *_knots(ledger, cells, rows, columns, label)]:
        own = np.unique(label[freeze.ids])
        for each in (own, row_of[own], column_of[own]):
            for frozen in each[each >= 0].tolist():
                why.setdefault(frozen, freeze)
    first = np.where(row_of[label] >= 0, row_of[label], label)
    second = column_of[label]
    stays = np.isin(first, list(why)) & ((second < 0) | np.isin(second, list(why)))
    reasons = {index: why[number] for index, number in enumerate(first.tolist()) if stays[index]}
    group_of, also_of, label_of = _numbered(first, second, list(why))
    kind: dict[int, Part] = {**dict.fromkeys(rows.tolist(), "heads"), **dict.fromkeys(columns.tolist(), "widths")}
    return Components(group_of, also_of, tuple(kind.get(each, "") for each in label_of.tolist()), reasons)


def _connected(couples: list[Ids], count: int) -> Ids:
    pairs = np.concatenate([np.zeros((2, 0), np.int64), *couples], axis=1)
    graph = coo_array((np.ones(pairs.shape[1], np.int8), pairs), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _close_grids(ledger: Ledger) -> None:
    """Let channels that were spread over two axes leave a grid: as heads do where they go with some, else by column."""
    waiting = [grid for grid in ledger.grids if len(grid) > 1]
    more = bool(ledger.heads)
    label = _connected(ledger.couples, ledger.count) if more else np.zeros(0, np.int64)
    while more:
        taken = np.unique(np.concatenate([label[each.cells].reshape(-1) for each in ledger.heads.values()]))
        found = [np.isin(label[grid], taken).any() for grid in waiting]
        for grid, is_taken in zip(waiting, found, strict=True):
            if is_taken:
                ledger.heads_of(grid, next(iter(ledger.heads.values())).layer)
        waiting = [grid for grid, is_taken in zip(waiting, found, strict=True) if not is_taken]
        more = any(found)
    ledger.couples.extend(np.stack([grid[0], row]) for grid in waiting for row in grid[1:])


def _labels(ledger: Ledger) -> tuple[Ids, Ids, Ids, Ids]:
    """Return each id's component, and of the channels of heads the components of the channel, its row and its column.

    Where channels of several heads go together, so do these heads, and so do the places within them.
    """
    heads = list(ledger.heads.values())
    cells, rows, columns = (
        np.concatenate([np.zeros(0, np.int64), *each])
        for each in (
            [own.cells.reshape(-1) for own in heads],
            [np.repeat(own.rows, own.cells.shape[1]) for own in heads],
            [np.tile(own.columns, len(own.cells)) for own in heads],
        )
    )
    label = _connected(ledger.couples, ledger.count)
    if not heads:
        return label, cells, rows, columns
    _, first, place = np.unique(label[cells], return_index=True, return_inverse=True)
    joined = [np.stack([each, each[first[place]]]) for each in (rows, columns)]
    label = _connected([*ledger.couples, *joined], ledger.count)
    return label, label[cells], label[rows], label[columns]


def _knots(ledger: Ledger, cells: Ids, rows: Ids, columns: Ids, label: Ids) -> list[Freeze]:
    """Return freezes of channels of heads that also stand for heads, or for places within heads."""
    both = np.concatenate([np.intersect1d(*pair) for pair in ((cells, rows), (cells, columns), (rows, columns))])
    if not len(both):
        return []
    layer = next(iter(ledger.heads.values())).layer
    return [Freeze(np.flatnonzero(np.isin(label, both)), layer, "multiplies heads with their widths")]


def _numbered(first: Ids, second: Ids, frozen: list[int]) -> tuple[Ids, Ids, NDArray[np.int64]]:
    """Return the groups of ids of the components `first` and, where it is not −1, `second`, and each group's component.

    Numbered by each group's first id, so that a model always gives the same numbers.
    """
    both = np.stack([first, second], axis=1).reshape(-1)
    free = (both >= 0) & ~np.isin(both, frozen)
    label_of, place, inverse = np.unique(both[free], return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(place))
    groups = np.full(len(both), -1)
    groups[free] = number[inverse]
    group_of, also_of = groups.reshape(-1, 2).T
    alone = group_of < 0
    return np.where(alone, also_of, group_of), np.where(alone, -1, also_of), label_of[np.argsort(place)]
