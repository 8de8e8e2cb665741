"""A style beside a class map, which QGIS reads by itself: names and colors of exactly the classes."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

from rsseg_tf.datasets.palette import Palette, format_color
from rsseg_tf.runs import write_text

_STYLE = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
{entries}
      </colorPalette>
    </rasterrenderer>
    <rasterresampler maxOversampling="2"/>
  </pipe>
</qgis>
"""


def write_style(path: Path, palette: Palette) -> None:
    """Write the style of a class map.

    Args:
        path: the map's name with the ending `.qml`.
        palette: its classes.

    Raises:
        RssegError: if it cannot be written.
    """
    entries = [
        f'        <paletteEntry value="{number}" label={quoteattr(name)} color="{format_color(color)}" alpha="255"/>'
        for number, (name, color) in enumerate(zip(palette.names, palette.colors, strict=True))
    ]
    write_text(path, _STYLE.format(entries="\n".join(entries)))
