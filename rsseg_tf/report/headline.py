"""What a report says first: what its best trade saves and costs, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsseg_tf.evaluation.by_class import loss_in_words
from rsseg_tf.report.differences import classes_between, is_comparable
from rsseg_tf.report.models import ModelRow, base_of

MOST_LOST = 1.0
"""Points of mIoU that the best trade loses at most, if there is a model that loses no more."""


@dataclass(frozen=True)
class Offer:
    """A model by what it takes and gives.

    Attributes:
        name: what tables call it.
        file_bytes: size of its file.
        latency_ms: median of one run, None where it was not measured.
        miou: in percent.
    """

    name: str
    file_bytes: int
    latency_ms: float | None
    miou: float


def headline(rows: Sequence[ModelRow]) -> list[str]:
    """Return what the best trade costs and saves against its base, and which class lost most."""
    scored = [row for row in rows if row.score("miou") is not None]
    if not scored:
        return []
    offers = {row.name: Offer(row.name, row.file_bytes, row.latency_ms, row.score("miou") or 0.0) for row in scored}
    smallest = min(scored, key=lambda row: row.file_bytes)
    first = base_of(smallest, scored)
    others = [row for row in scored if row is not first and base_of(row, scored) is first]
    base = offers[first.name]
    best = best_trade(base, [offers[row.name] for row in others])
    if best is None:
        return [f"{base.name} has an mIoU of {base.miou:.2f} % and needs {base.file_bytes / 1e6:.1f} MB."]
    sentences = [in_words(base, best)]
    row = next(row for row in others if row.name == best.name)
    if is_comparable(first, row):
        sentences.append(f"By class: {loss_in_words(classes_between(first, row))}.")
    if smallest.name not in (best.name, base.name):
        sentences.append(f"The smallest: {in_words(base, offers[smallest.name])}")
    return sentences


def best_trade(base: Offer, others: Sequence[Offer]) -> Offer | None:
    """Return the smallest of the models that lose at most a point, or else the one that loses least.

    A model that is no smaller than its base is no trade, unless there is nothing else.
    """
    smaller = [each for each in others if each.file_bytes < base.file_bytes] or others
    kept = [each for each in smaller if each.miou >= base.miou - MOST_LOST]
    if kept:
        return min(kept, key=lambda each: each.file_bytes)
    return max(smaller, key=lambda each: each.miou, default=None)


def in_words(base: Offer, other: Offer) -> str:
    """Return a sentence about what became of size, time and mIoU."""
    sizes = f"{other.file_bytes / 1e6:.1f} MB instead of {base.file_bytes / 1e6:.1f}"
    parts = [f"{sizes}{_times(base.file_bytes, other.file_bytes, 'smaller')}"]
    if base.latency_ms and other.latency_ms:
        times = f"{other.latency_ms:.1f} ms instead of {base.latency_ms:.1f}"
        parts.append(f"{times}{_times(base.latency_ms, other.latency_ms, 'faster')}")
    points = other.miou - base.miou
    change = f"{abs(points):.2f} points {'more' if points > 0 else 'less'}" if round(points, 2) else "the same"
    parts.append(f"mIoU {other.miou:.2f} % instead of {base.miou:.2f} ({change})")
    return f"{other.name} against {base.name}: {', '.join(parts)}."


def _times(before: float, after: float, word: str) -> str:
    return f" ({before / after:.1f} times {word})" if before / after >= 1.05 else ""
