"""The comparison as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = (
    *("method", "params M", "nonzero M", "GMACs", "test mIoU % before", "val", "test", "int8 test"),
    *("int8 MB", "gzip MB", "int8 ms (p50)", "speed"),
)


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a method, the dense model first; `speed` is against it."""
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


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f}"
