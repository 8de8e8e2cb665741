"""Words and tables for people to read on a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence


def counted(number: int, noun: str) -> str:
    """Return the number with its noun, such as "1 image" or "2 images"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], *, most: int) -> str:
    """Return names for a sentence, those after the first `most` as a number."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def text_table(rows: Iterable[Sequence[str]], *, align: str = "<") -> str:
    """Lay out rows of cells as lines, columns two spaces apart and as wide as their widest cell.

    Args:
        rows: the head among them; short ones end early.
        align: `<` or `>` for each of the first columns; numbers are what the others hold, flush right.

    Examples:
        >>> print(text_table([("model", "ms"), ("a", "10.5")]))
        model    ms
        a      10.5
    """
    lines = list(rows)
    widths = [max(map(len, column)) for column in itertools.zip_longest(*lines, fillvalue="")]
    return "\n".join(
        "  ".join(
            f"{cell:{side}{width}}"
            for cell, side, width in zip(row, align.ljust(len(widths), ">"), widths, strict=False)
        ).rstrip()
        for row in lines
    )
