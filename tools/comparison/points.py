"""Networks by time and accuracy: their means over seeds, as a table and as a figure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.report.pictures.figures import COLORS, MARKERS, pareto
from rsseg_tf.report.pictures.heatmap import check_matplotlib
from rsseg_tf.runs import atomic_path


@dataclass(frozen=True)
class Point:
    """A network in the figure: means over the seeds.

    Attributes:
        name: of the network, and the part of the reference's time that it was pruned to.
        ms: median milliseconds of the int8 file.
        share: of the reference's time.
        miou: in percent.
        spread: sample standard deviation of the mIoU over the seeds; 0 of one seed.
        lead: points of mIoU more than the reference, seed by seed.
        file_mb: size of the file.
        seeds: how many there are.
    """

    name: str
    ms: float
    share: float
    miou: float
    spread: float
    lead: float
    file_mb: float
    seeds: int


def points_of(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> list[Point]:
    """Return the points that the figures of several seeds make, fastest first."""
    found: dict[str, list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
    for seed in seeds:
        for row in seed:
            found.setdefault(row["name"], []).append((row, seed[0]))
    points = []
    for name, rows in found.items():
        mious = [100 * row["miou"] for row, _ in rows]
        points.append(
            Point(
                name,
                ms=statistics.mean(row["ms"] for row, _ in rows),
                share=statistics.mean(row["ms"] / first["ms"] for row, first in rows),
                miou=statistics.mean(mious),
                spread=statistics.stdev(mious) if len(mious) > 1 else 0.0,
                lead=statistics.mean(100 * (row["miou"] - first["miou"]) for row, first in rows),
                file_mb=statistics.mean(row["file_bytes"] for row, _ in rows) / 1e6,
                seeds=len(rows),
            )
        )
    return sorted(points, key=lambda point: point.ms)


def markdown(points: Sequence[Point]) -> str:
    """Return the points as a table; `*` is on those that none beats in both time and mIoU."""
    best = pareto([(point.ms, point.miou) for point in points])
    head = ("network", "seeds", "int8 ms", "of the first", "test mIoU %", "against the first", "file MB", "best")
    lines = [head, ("---",) * len(head)]
    for place, each in enumerate(points):
        score = f"{each.miou:.2f} ± {each.spread:.2f}" if each.seeds > 1 else f"{each.miou:.2f}"
        cells = (each.name, str(each.seeds), f"{each.ms:.1f}", f"{each.share:.3f}", score)
        lines.append((*cells, f"{each.lead:+.2f}", f"{each.file_mb:.2f}", "*" if place in best else ""))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw(points: Sequence[Point], path: Path) -> None:
    """Write the figure: test mIoU against milliseconds, a color and a marker a network, its rungs joined."""
    check_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    front = [points[place] for place in pareto([(point.ms, point.miou) for point in points])]
    axis.plot([each.ms for each in front], [each.miou for each in front], color="#bbbbbb", linewidth=6, zorder=0)
    networks = sorted({_network(point) for point in points})
    for name, color, marker in zip(networks, itertools.cycle(COLORS), itertools.cycle(MARKERS), strict=False):
        own = [point for point in points if _network(point) == name]
        axis.errorbar(
            [point.ms for point in own],
            [point.miou for point in own],
            yerr=[point.spread for point in own],
            color=color,
            marker=marker,
            label=name,
            capsize=3,
            linewidth=1,
        )
    axis.set_xscale("log")
    ticks = [tick for tick in (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150) if _near(tick, points)]
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("int8 latency, ms (one thread, log scale)")
    axis.set_ylabel("test mIoU, %")
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right center", frameon=False, title="network, and pruned")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _network(point: Point) -> str:
    return point.name.partition(",")[0]


def _near(tick: float, points: Sequence[Point]) -> bool:
    return points[0].ms / 1.5 <= tick <= points[-1].ms * 1.5
