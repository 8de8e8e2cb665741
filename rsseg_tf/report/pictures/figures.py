"""The charts of a report, by matplotlib: accuracy against cost, confusion, training, channels kept."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rsseg_tf.report.models import ModelRow
from rsseg_tf.report.pictures.heatmap import check_matplotlib
from rsseg_tf.report.sources import Run
from rsseg_tf.report.tables import text_of
from rsseg_tf.runs import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's colors, told apart by color-blind readers too (jfly.uni-koeln.de/color, 2008)."""

MARKERS = "osD^vP*X"
"""Markers for models, in the order of `COLORS`."""

_DASHES = ("-", "--", "-.", ":")
_LEAST_SPAN = 5.0
"""Points of mIoU that a chart shows at least."""

_COSTS = (
    ("file_bytes", 1e6, "file (MB)"),
    ("macs", 1e9, "multiply-accumulates (G)"),
    ("latency_ms", 1, "latency (ms)"),
)


@dataclass(frozen=True)
class Look:
    """How a model looks in all charts."""

    color: str
    marker: str
    dashes: str


def looks_of(rows: Sequence[ModelRow], runs: Sequence[Run]) -> tuple[dict[str, Look], dict[Path, Look]]:
    """Return the looks of the models by name, and those of the runs by folder: that of the first model of the run."""
    models = {row.name: _look(place) for place, row in enumerate(rows)}
    found = {row.run: models[row.name] for row in reversed(rows) if row.run}
    others = (run.path for run in runs if run.path not in found)
    return models, {**found, **{path: _look(len(rows) + place) for place, path in enumerate(others)}}


def _look(place: int) -> Look:
    return Look(COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)], _DASHES[place % len(_DASHES)])


@dataclass(frozen=True)
class Drawing:
    """A chart of a report.

    Attributes:
        name: of its files, and its anchor on the page.
        title: its caption.
        description: what it shows, for those who cannot see it.
        figure: the matplotlib figure.
    """

    name: str
    title: str
    description: str
    figure: Figure

    def save(self, folder: Path) -> str:
        """Write `{name}.png` and `{name}.svg` into a folder, and give the SVG as a data URL."""
        check_matplotlib()
        import matplotlib as mpl

        with mpl.rc_context({"svg.hashsalt": "rsseg-tf", "svg.fonttype": "path", "text.parse_math": False}):
            for suffix in (".png", ".svg"):
                with atomic_path(folder / f"{self.name}{suffix}") as temporary:
                    undated = {"Date": None} if suffix == ".svg" else {}
                    self.figure.savefig(temporary, dpi=150, metadata=undated)
        return svg_url(folder / f"{self.name}.svg")


def svg_url(path: Path) -> str:
    """Return an SVG file as a data URL."""
    return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"


def drawings(rows: Sequence[ModelRow], runs: Sequence[Run]) -> list[Drawing]:
    """Return every chart that the models and runs have figures for."""
    check_matplotlib()
    import matplotlib as mpl

    with mpl.rc_context({"text.parse_math": False}):  # names may hold a `$`
        return _drawn(rows, runs)


def _drawn(rows: Sequence[ModelRow], runs: Sequence[Run]) -> list[Drawing]:
    scored = [row for row in rows if row.scores]
    known = [row for row in scored if row.score("miou") is not None]
    logged = [run for run in runs if run.log]
    pruned = [run for run in runs if run.plan]
    models, own = looks_of(rows, runs)
    return [
        *([tradeoff(known, models)] if len(known) > 1 else []),
        *([confusions(scored)] if scored else []),
        *([training(logged, own)] if logged else []),
        *([pruning([run for run in pruned if run.pruning], own)] if any(run.pruning for run in pruned) else []),
        *(channels(run, own[run.path]) for run in pruned),
    ]


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points that no other beats: (cost, score), cheaper or equal and better or equal."""
    return [
        place
        for place, (cost, score) in enumerate(points)
        if not any(
            other_cost <= cost and other_score >= score and (other_cost, other_score) != (cost, score)
            for other_cost, other_score in points
        )
    ]


def tradeoff(rows: Sequence[ModelRow], looks: Mapping[str, Look]) -> Drawing:
    """Return mIoU against file size, multiply-accumulates and latency, with the Pareto front of each."""
    costs = [cost for cost in _COSTS if sum(getattr(row, cost[0]) is not None for row in rows) > 1]
    figure = _figure(4.4 * len(costs), 3.8)
    axes = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axis, (key, unit, label) in zip(axes, costs, strict=True):
        known = [row for row in rows if getattr(row, key) is not None]
        points = [(getattr(row, key) / unit, row.score("miou") or 0.0) for row in known]
        front = sorted(points[place] for place in pareto(points))
        if len(front) > 1:
            axis.plot(*zip(*front, strict=True), color="#888888", linestyle="--", zorder=1, label="Pareto front")
        for row, point in zip(known, points, strict=True):
            look = looks[row.name]
            axis.scatter(*point, marker=look.marker, color=look.color, s=60, zorder=2, label=row.name)
        axis.set_xlabel(label)
        axis.set_xlim(0, 1.1 * max(cost for cost, _ in points))
        axis.grid(alpha=0.3)
    axes[0].set_ylim(*_span([row.score("miou") or 0.0 for row in rows]))
    axes[0].set_ylabel("mIoU (%)")
    named = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=3, frameon=False)
    described = "; ".join(f"{row.name}: mIoU {row.score('miou'):.2f} %, {row.file_bytes / 1e6:.1f} MB" for row in rows)
    return Drawing("tradeoff", "Accuracy against cost", described, figure)


def _span(scores: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis of percents: a tenth of the points must not look like a cliff."""
    low, high = min(scores), max(scores)
    rest = max(0.2 * (high - low), (_LEAST_SPAN - (high - low)) / 2)
    return low - rest, high + rest


def confusions(rows: Sequence[ModelRow]) -> Drawing:
    """Return one matrix per model: of the pixels of each true class, the percentage predicted as each class."""
    columns = min(2, len(rows))
    lines = -(-len(rows) // columns)
    names = list((rows[0].scores or {})["class_names"])
    side = 1.6 + 0.5 * len(names)
    figure = _figure(columns * (side + 0.9), lines * side)
    axes = figure.subplots(lines, columns, squeeze=False).flat
    for axis in axes[len(rows) :]:
        axis.set_axis_off()
    for axis, row in zip(axes, rows, strict=False):
        _draw_confusion(axis, np.array((row.scores or {})["confusion"], float), names, title=row.name)
    described = "; ".join(f"{row.name}: accuracy {text_of(row.score('accuracy'), 2)} %" for row in rows)
    return Drawing("confusion", "What is taken for what (% of each true class)", described, figure)


def _draw_confusion(axis: Axes, counts: np.ndarray[Any, Any], names: Sequence[str], *, title: str) -> None:
    totals = counts.sum(axis=1, keepdims=True)
    percent = np.divide(100 * counts, totals, out=np.zeros_like(counts), where=totals > 0)
    axis.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for (true, predicted), value in np.ndenumerate(percent):
        color = "white" if value > 55 else "black"
        axis.text(predicted, true, f"{value:.0f}", ha="center", va="center", color=color, fontsize=8)
    axis.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set(title=title, xlabel="predicted", ylabel="true")


def training(runs: Sequence[Run], looks: Mapping[Path, Look]) -> Drawing:
    """Return loss and validation mIoU by epoch, one line per run; a pruned run starts with its model just pruned."""
    figure = _figure(8.8, 3.6)
    loss, score = figure.subplots(1, 2)
    for run in runs:
        look = looks[run.path]
        style = {"color": look.color, "linestyle": look.dashes}
        label = run.path.name or str(run.path)
        loss.plot([row["epoch"] for row in run.log], [row["loss"] for row in run.log], marker=".", label=label, **style)
        points = list(_validated(run))
        score.plot(*zip(*points, strict=True), marker=look.marker, **style) if points else None
    loss.set(xlabel="epoch", ylabel="training loss")
    score.set(xlabel="epoch", ylabel="validation mIoU (%)")
    for axis in (loss, score):
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    described = "; ".join(f"{run.path.name}: {len(run.log)} epochs, loss {run.log[-1]['loss']:.3f}" for run in runs)
    return Drawing("training", "Training, and retraining after pruning", described, figure)


def _validated(run: Run) -> Iterable[tuple[float, float]]:
    before = run.manifest["results"].get("val_miou_before_retraining")
    if before is not None:
        yield 0, 100 * before
    yield from ((row["epoch"], 100 * row["val_miou"]) for row in run.log if row["val_miou"] == row["val_miou"])


def pruning(runs: Sequence[Run], looks: Mapping[Path, Look]) -> Drawing:
    """Return the shares of the dense model's multiply-accumulates and parameters that are left after each loop."""
    figure = _figure(6.4, 3.4)
    axis = figure.subplots()
    for run in runs:
        loops = [0.0, *(row["loop"] for row in run.pruning)]
        for key, label, dashes in (("macs", "MACs", "-"), ("params", "parameters", "--")):
            left = [100.0, *(100 * row[key] for row in run.pruning)]
            axis.plot(loops, left, dashes, color=looks[run.path].color, label=f"{run.path.name}: {label}")
    axis.set(xlabel="loop", ylabel="left of the dense model (%)", ylim=(0, 103))
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    ends = (f"{run.path.name}: {100 * run.pruning[-1]['macs']:.1f} % of the MACs are left" for run in runs)
    return Drawing("pruning", "Pruning, loop by loop", "; ".join(ends), figure)


def channels(run: Run, look: Look) -> Drawing:
    """Return how many output channels of each pruned layer stay, of how many."""
    kept, widths = _widths(run.plan or {})
    names = list(widths)
    figure = _figure(7.5, 1.2 + 0.2 * len(names))
    axis = figure.subplots()
    axis.barh(names, [widths[name] for name in names], color="#d9d9d9", label="removed")
    axis.barh(names, [kept[name] for name in names], color=look.color, label="kept")
    for place, name in enumerate(names):
        axis.text(widths[name], place, f" {kept[name]} of {widths[name]}", va="center", fontsize=7)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.margins(x=0.14)
    axis.tick_params(axis="y", labelsize=7)
    axis.set_xlabel("output channels")
    axis.legend(loc="lower right", frameon=False)
    left, dense = sum(kept.values()), sum(widths.values())
    described = f"{run.path.name} keeps {left:,} of {dense:,} channels in {len(names)} layers that lose some"
    return Drawing(f"channels_{run.path.name}", f"Channels kept per layer: {run.path.name}", described, figure)


def _widths(plan: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    widths = {name: int(width) for name, width in plan["widths"].items()}
    return {name: len(plan["keep"][name]) for name in widths}, widths


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
