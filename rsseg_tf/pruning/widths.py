"""How many of some channels stay, as a function of how many groups of each family stay.

Of channels in one group that is a sum over the families. Of attention's it is a product: so many heads stay, times so
many places within each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.pruning.rules.site import Ids, Values


@dataclass(frozen=True)
class Membership:
    """The families of channel ids.

    Attributes:
        first: int64 (ids,), the family of the group that an id goes with, −1 where it must stay.
        second: int64 (ids,), that of the other group, −1 for none.
        sizes: how many groups each family has, (families,).
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    sizes: Values


@dataclass(frozen=True)
class Widths:
    """Numbers of channels that stay: each a sum of products of two factors, which are sums over the families.

    Attributes:
        slopes, constants: factors are `slopes @ counts + constants`, (factors, families) and (factors,).
        left, right: the two factors of a product, (products,).
        owners: the width that a product is a part of, (products,).
        number: of widths.
    """

    slopes: Values
    constants: Values
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    owners: NDArray[np.int64]
    number: int

    @classmethod
    def of(cls, arrays: Sequence[Ids | None], members: Membership) -> Widths:
        """Return how many of each array's ids stay, or 1 for None; a family's groups take the same share of each."""
        rows, pairs, owners = [_row(len(members.sizes) + 1, 0, 1)], [], []  # the first factor is always 1
        for owner, ids in enumerate(arrays):
            for product in _products(ids, members):
                pairs.append([*range(len(rows), len(rows) + len(product)), 0][:2])
                owners.append(owner)
                rows.extend(product)
        table = np.stack(rows)
        left, right = np.asarray(pairs, np.int64).reshape(-1, 2).T
        return cls(
            slopes=table[:, 1:] / np.maximum(members.sizes, 1),
            constants=table[:, 0],
            left=left,
            right=right,
            owners=np.asarray(owners, np.int64),
            number=len(arrays),
        )

    def at(self, counts: Values) -> Values:
        """Return the widths when `counts`, (families,), groups of each family stay."""
        factors = self.slopes @ counts + self.constants
        return np.bincount(self.owners, factors[self.left] * factors[self.right], self.number).astype(np.float64)

    def slope(self, counts: Values, weights: Values) -> Values:
        """Return what one group of each family adds to the sum of widths times `weights`, (families,)."""
        factors = self.slopes @ counts + self.constants
        by_product = weights[self.owners]
        by_factor = np.bincount(self.left, by_product * factors[self.right], len(factors))
        by_factor += np.bincount(self.right, by_product * factors[self.left], len(factors))
        return np.asarray(by_factor @ self.slopes)


def _products(ids: Ids | None, members: Membership) -> list[list[Values]]:
    """Return the products that add up to an array's width: of each its one or two factors, (1 + families,).

    A factor has first the channels that must stay, then those of each family when all of it stays.
    """
    columns = len(members.sizes) + 1
    if ids is None:
        return [[_row(columns, 0, 1)]]
    first, second = members.first[ids], members.second[ids]
    alone = second < 0
    products = [[np.bincount(first[alone] + 1, minlength=columns).astype(np.float64)]]
    if not alone.all():
        pairs, numbers = np.unique(np.stack([first, second])[:, ~alone], axis=1, return_counts=True)
        products += [
            [_row(columns, pair[0] + 1, number), _row(columns, pair[1] + 1, 1)]
            for pair, number in zip(pairs.T.tolist(), numbers.tolist(), strict=True)
        ]
    return products


def _row(columns: int, place: int, value: float) -> Values:
    row = np.zeros(columns)
    row[place] = value
    return row
