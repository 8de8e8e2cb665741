"""The figures of the paper, to stand beside ours where the data set is the same.

Nguyen and Huynh-The, "Prune and Quantize Semantic Segmentation Network for Aerial Objects Recognition", REV-JEC
2024, doi 10.21553/rev-jec.380: Tables II to V. Percent, MB and millions, as printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRow:
    """One row of Table II or III; None for what is not printed.

    Attributes:
        backbone: `resnet18` or `resnet50`.
        pruned: whether channels were removed.
        quantized: whether it computes in 8 bits.
        accuracy: global accuracy in percent.
        miou: mean IoU in percent.
        boundary_f1: mean boundary F1 in percent.
        memory_mb: as MATLAB estimates it.
        params_m: millions of parameters.
    """

    backbone: str
    pruned: bool
    quantized: bool
    accuracy: float | None
    miou: float
    boundary_f1: float | None
    memory_mb: float
    params_m: float | None


ROWS: Mapping[str, tuple[PaperRow, ...]] = {
    "uavid": (
        PaperRow("resnet18", False, False, 81.09, 53.06, 62.19, 59.75, 20.6),
        PaperRow("resnet18", True, False, 76.25, 51.06, 59.08, 24.67, 9.2),
        PaperRow("resnet18", False, True, 75.63, 51.02, 58.97, 14.96, 20.6),
        PaperRow("resnet18", True, True, 72.14, 50.27, 58.88, 6.24, 9.2),
        PaperRow("resnet50", False, False, 84.65, 59.26, 69.11, 148.32, 43.9),
        PaperRow("resnet50", True, False, 84.79, 59.53, 69.47, 127.85, 37.8),
        PaperRow("resnet50", False, True, 84.23, 59.41, 69.13, 37.08, 43.9),
        PaperRow("resnet50", True, True, 83.96, 58.54, 68.88, 31.94, 37.8),
    ),
    "vaihingen": (
        PaperRow("resnet50", True, False, 91.18, 81.24, 90.13, 135.19, None),
        PaperRow("resnet50", False, True, None, 81.04, None, 33.79, None),
    ),
}
"""`data.name` → rows of Tables II (UAVid, 540×960) and III (Vaihingen, 512×512)."""

_UAVID = ("clutter", "building", "road", "tree", "low vegetation", "moving car", "static car", "human")
_VAIHINGEN = ("impervious surface", "building", "low vegetation", "tree", "car")

CLASS_IOU: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "uavid": {
        "paper: pruned resnet50": dict(
            zip(_UAVID, (56.86, 89.67, 71.86, 75.99, 67.97, 62.87, 45.89, 5.11), strict=True)
        ),
        "paper: int8 resnet50": dict(zip(_UAVID, (55.67, 88.95, 70.44, 75.53, 67.11, 61.76, 44.22, 4.69), strict=True)),
    },
    "vaihingen": {
        "paper: pruned resnet50": dict(zip(_VAIHINGEN, (86.14, 90.98, 72.01, 80.53, 76.56), strict=True)),
        "paper: int8 resnet50": dict(zip(_VAIHINGEN, (86.10, 90.95, 71.76, 79.96, 76.41), strict=True)),
    },
}
"""`data.name` → model → class → IoU in percent, of Tables IV and V."""


def paper_row(data_name: str, *, backbone: str, pruned: bool, quantized: bool) -> PaperRow | None:
    """Return the paper's row for such a model on that data set, if it has one."""
    wanted = (backbone, pruned, quantized)
    rows = ROWS.get(data_name, ())
    return next((row for row in rows if (row.backbone, row.pruned, row.quantized) == wanted), None)
