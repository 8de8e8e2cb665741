"""A CSV file that lists pairs of images and masks, and the split of each."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rsseg_tf.config.parsing import nearest
from rsseg_tf.datasets.readers.files import Listing
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.datasets.splits.dealing import SPLITS
from rsseg_tf.errors import DataError
from rsseg_tf.text import counted

COLUMNS = ("image", "mask", "split")

_DELIMITERS = ",;\t"


def pair_lists(root: Path) -> list[str]:
    """Return the names of the CSV files in a folder that have the columns of such a list."""
    found = []
    for path in sorted(root.glob("*.csv")):
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                header = stream.readline(1 << 16)
            names = _names(header, _delimiter(header))
        except (OSError, UnicodeDecodeError, csv.Error):  # another program's
            continue
        if set(COLUMNS) <= set(names):
            found.append(path.name)
    return found


def listed_pairs(root: Path, pairs: str) -> Listing:
    """Return what the CSV file `pairs` below `root` lists, whose paths are relative to `root`.

    Raises:
        DataError: if it does not parse, or lists nothing.
    """
    splits: dict[str, dict[str, Sample]] = {}
    problems: list[DataError] = []
    incomplete: set[str] = set()
    for line, row in _rows(root / pairs):
        where, split = f"`{root / pairs}` line {line}", row.get("split", "")
        known = splits.setdefault(split, {})
        wrong = _row_problems(root, row, where)
        if not wrong:
            name = Path(row["image"]).with_suffix("").as_posix()
            if name in known:
                again = f"{where} lists `{row['image']}` again in `{split}`"
                wrong = [DataError(again, hint="drop the line")]
            known[name] = Sample(name, root / row["image"], root / row["mask"] if row["mask"] else None)
        problems += wrong
        incomplete |= {split} if wrong else set()
    if not splits:
        raise DataError(f"`{root / pairs}` lists no pairs", hint=f"one line a pair: {','.join(COLUMNS)}")
    listed = {split: tuple(samples.values()) for split, samples in splits.items()}
    return Listing(listed, tuple(problems), tuple(_unusual(listed, root / pairs)), frozenset(incomplete))


def _unusual(splits: Mapping[str, Sequence[Sample]], path: Path) -> Iterator[DataError]:
    """Yield what to think of about each split whose name is not a usual one."""
    for split, samples in splits.items():
        if split and split not in SPLITS:
            close = nearest(split, SPLITS)
            hint = f"did you mean `{close}`?" if close else "a training reads train and val alone"
            yield DataError(f"`{path}` names the split `{split}` ({counted(len(samples), 'pair')})", hint=hint)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells of each line after the header, which shows what separates them."""
    hint = f"it is a UTF-8 text with the columns {','.join(COLUMNS)}"
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            delimiter = _delimiter(header)
            names = _names(header, delimiter)
            missing = [column for column in COLUMNS if column not in names]
            if missing:
                raise DataError(f"`{path}` lacks the column {', '.join(f'`{name}`' for name in missing)}", hint=hint)
            reader = csv.DictReader(stream, names, delimiter=delimiter, strict=True)
            for row in reader:
                cells = {column: row[column].strip() for column in COLUMNS if row[column] is not None}
                yield reader.line_num + 1, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read `{path}`: {getattr(error, 'strerror', None) or error}", hint=hint) from error


def _delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)


def _names(header: str, delimiter: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]


def _row_problems(root: Path, row: Mapping[str, str], where: str) -> list[DataError]:
    if len(row) < len(COLUMNS):
        return [DataError(f"{where} has too few cells", hint=f"a line holds {','.join(COLUMNS)}")]
    problems = [
        DataError(f"{where} names the {column} `{root / row[column]}`, which does not exist", hint="check the path")
        for column in ("image", "mask")
        if row[column] and _is_absent(root / row[column])
    ]
    empty = [column for column in ("image", "split") if not row[column]]
    if empty:
        problems.append(DataError(f"{where} has no {' and no '.join(empty)}", hint="fill the cell or drop the line"))
    return problems


def _is_absent(path: Path) -> bool:
    try:
        return not path.is_file()
    except OSError:  # its folder may not be looked into: reading it says why
        return False
