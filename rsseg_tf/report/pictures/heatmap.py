"""The paper's Figure 1: a heat map of where every tensor's most significant bits lie, with the 8 bits kept of each."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import MissingExtraError
from rsseg_tf.runs import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_KINDS = ("weights", "biases", "activations")
_BITS_BELOW = 4
"""Columns below the lowest window, the first of which holds everything further down."""

_COLUMN_POINTS = (26, 52)
"""Where the two percentages at the right of a panel end."""

_ROW_INCHES = 0.15
_WINDOW_COLOR = "#d55e00"


def check_matplotlib() -> None:
    """Check that figures can be drawn, before long work whose result is to be drawn.

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", extra="report")


def write_heatmap(ranges: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Draw the ranges of a network: one row per layer, one column per bit position, one panel per kind of tensor.

    A cell's blue says which share of the tensor's values (0 apart) has its most significant bit there, the frame
    is the window's seven magnitude bits, and the figures at the right are the percentages lost below and above it.

    Args:
        ranges: what `ranges.json` holds: `model`, `samples`, `layers` and `tensors`.
        paths: files to write, whose suffixes (`.png`, `.svg`) say how.

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    check_matplotlib()
    import matplotlib as mpl

    with mpl.rc_context(
        {"font.size": 7.0, "svg.hashsalt": "rsseg-tf", "svg.fonttype": "none", "text.parse_math": False}
    ):
        figure = _figure(ranges)
        for path in paths:
            with atomic_path(path) as temporary:
                undated = {"Date": None} if path.suffix == ".svg" else {}
                figure.savefig(temporary, dpi=120, metadata=undated)


def _figure(ranges: Mapping[str, Any]) -> Figure:
    from matplotlib.figure import Figure

    panels = [_Panel(kind, _labeled(ranges, kind)) for kind in _KINDS]
    rows = _rows(ranges, panels)
    figure = Figure(figsize=(13, 1.9 + _ROW_INCHES * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, width_ratios=[panel.width for panel in panels])
    for axis, panel in zip(axes, panels, strict=True):
        image = _draw(axis, panel, rows)
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.4, aspect=50, pad=0.01)
    bar.set_label("share of the tensor's values other than 0 (%)")
    figure.suptitle(
        f"Most significant bits in {ranges['model']}, activations of {ranges['samples']:,} images.  "
        "Framed: the magnitude bits that the 8-bit window keeps.  First column: that bit and all below",
        fontsize=9,
    )
    return figure


@dataclass(frozen=True)
class _Panel:
    """One kind of tensors, by row label, and the bit positions that its columns stand for."""

    kind: str
    tensors: Mapping[str, Mapping[str, Any]]

    @property
    def low(self) -> int:
        lows: list[int] = [tensor["window"]["low"] for tensor in self.tensors.values()]
        return min(lows, default=0) - _BITS_BELOW

    @property
    def high(self) -> int:
        highs: list[int] = [tensor["window"]["high"] for tensor in self.tensors.values()]
        tops: list[int] = [tensor["lowest"] + len(tensor["counts"]) - 1 for tensor in self.tensors.values()]
        return max([self.low, *highs, *tops])

    @property
    def width(self) -> int:
        return self.high - self.low + 1

    def shares(self, rows: Sequence[str]) -> NDArray[np.float64]:
        """Return the percentages of each tensor's values by row and position, nan in the rows of other kinds."""
        table = np.full((len(rows), self.high - self.low + 1), np.nan)
        for label, tensor in self.tensors.items():
            columns = np.maximum(np.arange(len(tensor["counts"])) + tensor["lowest"] - self.low, 0)
            percent = 100 * np.asarray(tensor["counts"], float) / max(1, tensor["nonzero"])
            table[rows.index(label)] = np.bincount(columns, weights=percent, minlength=table.shape[1])
        return table


def _labeled(ranges: Mapping[str, Any], kind: str) -> dict[str, Mapping[str, Any]]:
    """Return the tensors of a kind by their layer's name, or by their own where the layer has several."""
    tensors = [tensor for tensor in ranges["tensors"] if tensor["kind"] == kind]
    times = Counter(tensor["layer"] for tensor in tensors)
    return {tensor["layer" if times[tensor["layer"]] == 1 else "name"]: tensor for tensor in tensors}


def _rows(ranges: Mapping[str, Any], panels: Sequence[_Panel]) -> list[str]:
    """Return every panel's labels, in the order of the layers."""
    layers = {label: tensor["layer"] for panel in panels for label, tensor in panel.tensors.items()}
    return sorted(layers, key=lambda label: ranges["layers"].index(layers[label]))


def _draw(axis: Axes, panel: _Panel, rows: Sequence[str]) -> AxesImage:
    from matplotlib.colors import PowerNorm

    axis.set_facecolor("#ececec")
    image = axis.imshow(
        panel.shares(rows),
        cmap="Blues",
        norm=PowerNorm(0.5, vmin=0, vmax=60),
        extent=(panel.low - 0.5, panel.high + 0.5, len(rows) - 0.5, -0.5),
        aspect="auto",
        interpolation="none",
    )
    _annotate(axis, -1.2, ("→ 0 %", "sat. %"))
    for label, tensor in panel.tensors.items():
        _draw_window(axis, rows.index(label), tensor["window"])
        _annotate(axis, rows.index(label), (_percent(tensor["underflow"]), _percent(tensor["overflow"])))
    axis.set_xticks([position for position in range(panel.low, panel.high + 1) if position % 4 == 0])
    axis.set_xlabel("position p of the most significant bit: 2^p ≤ |x| < 2^(p+1)")
    axis.set_title(panel.kind, fontsize=8)
    axis.tick_params(length=2)
    return image


def _draw_window(axis: Axes, place: int, window: Mapping[str, Any]) -> None:
    from matplotlib.patches import Rectangle

    corner, bits = (window["low"] - 0.5, place - 0.45), window["high"] - window["low"] + 1
    axis.add_patch(Rectangle(corner, bits, 0.9, fill=False, ec=_WINDOW_COLOR, lw=0.9))


def _annotate(axis: Axes, place: float, texts: tuple[str, str]) -> None:
    """Write two texts beside a row, right of the panel."""
    for text, points in zip(texts, _COLUMN_POINTS, strict=True):
        axis.annotate(
            text,
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(points, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=6,
        )


def _percent(share: float) -> str:
    if share == 0:
        return "–"
    return f"{100 * share:.2f}" if share >= 0.00005 else "<0.01"
