"""The numbers in a file of one band, such as a mask, as they are stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.stored import Box, Stored, Values
from rsseg_tf.errors import DataError


@dataclass(frozen=True)
class Numbers:
    """What a part of a file holds.

    Attributes:
        values: (h, w), of any type.
        nodata: the number that stands for nothing; None for none.
        valid: where the file's mask or alpha says that there is data, bool (h, w); None for everywhere.
    """

    values: Values
    nodata: float | None
    valid: NDArray[np.bool_] | None


def numbers_in(stored: Stored, box: Box) -> Numbers:
    """Return the numbers in a part of an open file: gray values, or the indices of a palette.

    Raises:
        DataError: if it is damaged there, or has colors.
    """
    count = len(stored.names)
    if count > 2 or stored.names[1:] not in ((), ("alpha",)):
        several = "is a color image" if count > 2 and stored.names[0] != "gray" else f"has {count} bands"
        raise DataError(
            f"`{stored.path}` {several}, expected one channel of class numbers",
            hint="give the classes as colors `RRGGBB`, or save the mask as gray PNG",
        )
    values = stored.read(tuple(range(1, count + 1)), box)
    valid = stored.mask(box)
    if count == 2:
        opaque = values[..., 1] > np.iinfo(values.dtype).max / 2
        valid = opaque if valid is None else valid & opaque
    return Numbers(values[..., 0], stored.nodata[0], valid)
