"""Images beside what models see in them: one self-contained HTML page, as the paper's Figures 2 and 3."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.palette import IGNORE, Palette
from rsseg_tf.report.tables import Table
from rsseg_tf.runs import write_text

_OPACITY = 0.55
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1d2430; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .3rem .8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } thead { border-bottom: 2px solid #1d2430; }
tbody tr { border-bottom: 1px solid #d8dde5; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .6rem; margin: 0 0 1.4rem; }
figure { margin: 0; } img { width: 100%; image-rendering: pixelated; display: block; }
figcaption { font-size: .8rem; color: #566072; } .legend span { display: inline-block; margin-right: 1.2rem; }
.legend i { display: inline-block; width: .9em; height: .9em; margin-right: .4em; vertical-align: -.1em; }
.legend i { border: 1px solid #8a93a3; }
"""


@dataclass(frozen=True)
class Panel:
    """One image and what was made of it.

    Attributes:
        name: of the image.
        image: uint8 (H, W, 3) RGB.
        truth: uint8 (H, W), 255 = ignore.
        predictions: model name → uint8 (H, W).
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    predictions: Mapping[str, NDArray[np.uint8]]


def overlay(image: NDArray[np.uint8], mask: NDArray[np.uint8], palette: Palette) -> NDArray[np.uint8]:
    """Return the image tinted by class, uint8 (H, W, 3); ignored pixels stay as they are."""
    tinted = (1 - _OPACITY) * image + _OPACITY * palette.colorize(mask)
    return np.where((mask == IGNORE)[..., None], image, np.rint(tinted)).astype(np.uint8)


def write_overlay_page(
    path: Path,
    panels: Sequence[Panel],
    palette: Palette,
    *,
    title: str,
    summary: Sequence[str] = (),
    table: Table | None = None,
) -> None:
    """Write an HTML page with a row of pictures for each panel below sentences and a table; it needs nothing else."""
    lead = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in summary)
    body = "".join(_row(panel, palette) for panel in panels)
    write_text(
        path,
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
        f"{lead}{_table(table) if table else ''}{_legend(palette)}{body}</html>\n",
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(column.head)}</th>" for column in table.columns)
    lines = ("".join(f"<td>{html.escape(cell.text)}</td>" for cell in row) for row in table.cells())
    rows = "".join(f"<tr>{line}</tr>" for line in lines)
    note = f"<p>{html.escape(table.note)}</p>" if table.note else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{note}'


def _legend(palette: Palette) -> str:
    entries = (
        f'<span><i style="background: rgb{color}"></i>{html.escape(name)}</span>'
        for name, color in zip(palette.names, palette.colors, strict=True)
    )
    return f'<p class="legend">{"".join(entries)}</p>'


def _row(panel: Panel, palette: Palette) -> str:
    pictures = {
        "image": panel.image,
        "ground truth": overlay(panel.image, panel.truth, palette),
        **{name: overlay(panel.image, mask, palette) for name, mask in panel.predictions.items()},
    }
    figures = "".join(
        f'<figure><img alt="{html.escape(name)}" src="data:image/png;base64,{_png(picture)}">'
        f"<figcaption>{html.escape(name)}</figcaption></figure>"
        for name, picture in pictures.items()
    )
    return f'<h3>{html.escape(panel.name)}</h3><div class="row">{figures}</div>'


def _png(picture: NDArray[np.uint8]) -> str:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return base64.b64encode(encoded.tobytes()).decode()
