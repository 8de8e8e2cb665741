"""The tables of a report, as data: one description that becomes HTML, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over repeats; no deviation for a single one."""

    mean: float
    deviation: float | None
    repeats: int


@dataclass(frozen=True)
class Part:
    """How many of how many: with few of them, one more or less is many percent."""

    found: int
    total: int


Value = str | int | float | bool | Spread | Part | None


@dataclass(frozen=True)
class Column:
    """A column: its head, how many decimals its numbers have, and whether the largest or smallest is the best.

    Attributes:
        head: what stands above it, with the unit.
        digits: decimals of its numbers.
        best: `max` or `min` to mark that value in each column, empty for none.
    """

    head: str
    digits: int = 2
    best: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell as a page shows it: its text, what it sorts by, whether it is a number, and the best of its column."""

    text: str
    sort_key: str
    is_number: bool
    is_best: bool


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
        name: of its CSV file, and its anchor on the page.
        title: its caption.
        columns: the first names the rows.
        rows: of as many values as there are columns.
        note: what a reader must know of it.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""

    def cells(self) -> list[list[Cell]]:
        """Return the cells of every row."""
        best = [_best([row[place] for row in self.rows], column) for place, column in enumerate(self.columns)]
        return [
            [
                Cell(
                    text=text_of(value, column.digits),
                    sort_key=_sort_key(value),
                    is_number=_number(value) is not None and not isinstance(value, bool),
                    is_best=wanted is not None and _number(value) == wanted,
                )
                for value, column, wanted in zip(row, self.columns, best, strict=True)
            ]
            for row in self.rows
        ]

    def to_markdown(self) -> str:
        """Return a Markdown table under its title."""
        heads = " | ".join(_escaped(column.head) for column in self.columns)
        rules = " | ".join("---" if place == 0 else "--:" for place in range(len(self.columns)))
        lines = [f"| {' | '.join(_escaped(cell.text) for cell in row)} |" for row in self.cells()]
        note = f"\n{self.note}\n" if self.note else ""
        return "\n".join([f"### {self.title}\n", f"| {heads} |", f"| {rules} |", *lines]) + f"\n{note}"

    def to_csv(self) -> str:
        """Return CSV with the heads first; numbers unrounded, a spread or part in two columns.

        Text that a spreadsheet would take for a formula, such as the name of a file, has `'` before it.
        """
        endings = [_csv_endings([row[place] for row in self.rows]) for place in range(len(self.columns))]
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        heads = zip(self.columns, endings, strict=True)
        writer.writerow([f"{column.head}{ending}" for column, own in heads for ending in own])
        for row in self.rows:
            cells = zip(row, endings, strict=True)
            writer.writerow([cell for value, own in cells for cell in _csv_cells(value, is_wide=len(own) > 1)])
        return stream.getvalue()


def text_of(value: Value, digits: int) -> str:
    """Return a value as a page shows it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "×" if value else ""
    if isinstance(value, Spread):
        around = "" if value.deviation is None else f" ± {value.deviation:.{digits}f}"
        return f"{value.mean:.{digits}f}{around}"
    if isinstance(value, Part):
        share = f" ({100 * value.found / value.total:.1f} %)" if value.total else ""
        return f"{value.found:,} of {value.total:,}{share}"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}" if isinstance(value, float) else value


def _number(value: Value) -> float | None:
    if isinstance(value, Spread):
        return value.mean
    if isinstance(value, Part):
        return value.found / value.total if value.total else None
    return float(value) if isinstance(value, int | float) else None


def _sort_key(value: Value) -> str:
    number = _number(value)
    return str(value or "") if number is None else repr(number)


def _best(values: Sequence[Value], column: Column) -> float | None:
    numbers = [number for number in map(_number, values) if number is not None]
    if not column.best or len(numbers) < 2:
        return None
    return max(numbers) if column.best == "max" else min(numbers)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _csv_endings(values: Sequence[Value]) -> tuple[str, ...]:
    """Return what the heads of a column's one or two columns end in."""
    if any(isinstance(value, Spread) for value in values):
        return (" (mean)", " (std)")
    return (" (found)", " (of)") if any(isinstance(value, Part) for value in values) else ("",)


def _csv_cells(value: Value, *, is_wide: bool) -> list[str]:
    if isinstance(value, Spread):
        return [repr(value.mean), "" if value.deviation is None else repr(value.deviation)]
    if isinstance(value, Part):
        return [str(value.found), str(value.total)]
    plain = "" if value is None else str(value)
    if isinstance(value, str) and plain.startswith(_FORMULA):
        plain = f"'{plain}"
    return [plain, ""] if is_wide else [plain]
