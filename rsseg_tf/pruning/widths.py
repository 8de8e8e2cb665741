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
        parts = [(owner, part) for owner, ids in enumerate(arrays) for part in _parts(ids, members)]
        factors = np.concatenate([np.zeros((0, len(members.sizes) + 1)), *(pair for _, pair in parts)])
        return cls(
            slopes=factors[:, 1:] / np.maximum(members.sizes, 1),
            constants=factors[:, 0],
            left=np.arange(0, len(factors), 2),
            right=np.arange(1, len(factors), 2),
            owners=np.asarray([owner for owner, _ in parts], np.int64),
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


def _parts(ids: Ids | None, members: Membership) -> list[Values]:
    """Return the products that add up to an array's width, (2, 1 + families) each: factors when all groups stay.

    The first column has the channels that must stay, the others those of each family.
    """
    families = len(members.sizes)
    every = np.eye(families + 1)
    if ids is None:
        return [every[[0, 0]]]
    first, second = members.first[ids], members.second[ids]
    alone = second < 0
    parts = [np.stack([np.bincount(first[alone] + 1, minlength=families + 1), every[0]])]
    if not alone.all():
        pairs, number = np.unique(np.stack([first, second])[:, ~alone], axis=1, return_counts=True)
        parts += [every[pair + 1] * [[count], [1]] for pair, count in zip(pairs.T, number.tolist(), strict=True)]
    return parts
