"""The comparison as a Markdown table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

HEAD = (
    *("method", "params M", "nonzero M", "GMACs", "test mIoU % before", "val", "test", "int8 test"),
    *("int8 MB", "gzip MB", "int8 ms (p50)", "speed"),
)


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return one line a method, the dense model first; `speed` is against it."""
    lines = [HEAD, ("---",) * len(HEAD), *(_cells(row, rows[0]) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Mapping[str, Any], dense: Mapping[str, Any]) -> tuple[str, ...]:
    before = row["before"] or {"test": None}
    return (
        row["method"],
        f"{row['params'] / 1e6:.2f}",
        f"{row['nonzero_params'] / 1e6:.2f}",
        f"{row['macs'] / 1e9:.2f}",
        *(_percent(value) for value in (before["test"], row["after"]["val"], row["after"]["test"])),
        _percent(row["int8_test_miou"]),
        f"{row['int8_bytes'] / 1e6:.2f}",
        f"{row['int8_gzip_bytes'] / 1e6:.2f}",
        f"{row['int8_p50_ms']:.1f}",
        f"{dense['int8_p50_ms'] / row['int8_p50_ms']:.2f}×",
    )


def seeds_table(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """Return one line a method over several seeds, each a sequence of rows in the same order, the dense model first.

    Scores are means ± sample standard deviations. `lead` is what the first method has on test after the
    retraining more than this one, seed by seed, since the seeds share their windows.
    """
    head = ("method", "seeds", "params M", "GMACs", "test mIoU % before", "val", "test", "int8 test", "lead")
    methods = list(zip(*seeds, strict=True))
    lines = [head, ("---",) * len(head), *(_seeds_cells(rows, methods[1]) for rows in methods)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _seeds_cells(rows: Sequence[Mapping[str, Any]], leader: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    is_dense = rows[0]["before"] is None
    leads = [best["after"]["test"] - row["after"]["test"] for best, row in zip(leader, rows, strict=True)]
    return (
        rows[0]["method"],
        str(len(rows)),
        *(f"{statistics.mean(row[key] for row in rows) / unit:.2f}" for key, unit in (("params", 1e6), ("macs", 1e9))),
        "–" if is_dense else _spread([row["before"]["test"] for row in rows]),
        *(_spread([row["after"][split] for row in rows]) for split in ("val", "test")),
        _spread([row["int8_test_miou"] for row in rows]),
        "–" if is_dense or rows is leader else _spread(leads, sign="+"),
    )


def _spread(shares: Sequence[float], *, sign: str = "") -> str:
    """Return mean ± sample standard deviation, in percent."""
    values = [100 * share for share in shares]
    return f"{statistics.mean(values):{sign}.2f} ± {statistics.stdev(values):.2f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f}"
