"""Polygons on the grid of the mosaic that they were drawn over: blocks with masks, listed as a data set."""

from __future__ import annotations

import copy
import functools
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.drawn.blocks import Block, blocks_of, dealt_blocks, least_side
from rsseg_tf.datasets.drawn.features import Layer, read_layer
from rsseg_tf.datasets.drawn.listing import Pair, write_listing
from rsseg_tf.datasets.files.place import reprojected, transform_of
from rsseg_tf.datasets.files.raster import library_settings, open_dataset_of
from rsseg_tf.datasets.palette import IGNORE, MAX_CLASSES
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.progress import Progress
from rsseg_tf.runs import atomic_path, write_text
from rsseg_tf.text import counted

_LISTED = 8
_PROBE_PX = 256
_OF_A_MOSAIC = frozenset({"SRS", "GeoTransform", "GCPList", "Metadata", "MaskBand", "VRTRasterBand"})
_OF_A_BAND = frozenset(
    {"Description", "NoDataValue", "HideNoDataValue", "ColorInterp", "ColorTable", "CategoryNames", "Metadata"}
    | {"UnitType", "Offset", "Scale"}
)
"""Of GDAL's description of a mosaic and of a band, what tells what its numbers mean, not where they are."""


@dataclass(frozen=True)
class Burning:
    """How polygons become masks.

    Attributes:
        attribute: what names the class of a polygon.
        classes: the class names, in order; empty for all values that there are, sorted.
        ignored: values whose polygons are ignored, as is what lies in no polygon.
        background: the class of what lies in no polygon; empty where that is ignored.
        layer: (GeoPackage) the name of the layer.
        block: about how many pixels a block is high and wide.
        gap: pixels that lie between blocks of different splits.
    """

    attribute: str
    classes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    background: str = ""
    layer: str = ""
    block: int = 2048
    gap: int = 64

    def __post_init__(self) -> None:
        """Refuse blocks that the gap leaves nothing of.

        Raises:
            ConfigError: if `block` is too small.
        """
        if self.block < least_side(self.gap):
            raise ConfigError(
                f"a block of {self.block} pixels has nothing left within a gap of {self.gap}",
                hint=f"give blocks of {least_side(self.gap)} pixels or more, or a smaller gap",
            )


@dataclass(frozen=True)
class _Shapes:
    """Polygons in the coordinates of the mosaic, their numbers, and west, south, east and north of each (n, 4)."""

    geometries: NDArray[np.object_]
    numbers: list[int]
    bounds: NDArray[np.float64]

    def near(self, corners: NDArray[np.float64]) -> list[tuple[Any, int]]:
        """Return those that may touch what lies between some points (n, 2), with their numbers."""
        low, high = corners.min(axis=0), corners.max(axis=0)
        touch = np.all(self.bounds[:, :2] < high, axis=1) & np.all(self.bounds[:, 2:] > low, axis=1)
        return [(self.geometries[place], self.numbers[place]) for place in np.flatnonzero(touch).tolist()]


def burn(mosaic: Path, labels: Path, out: Path, how: Burning, *, progress: Progress | None = None) -> dict[str, Any]:
    """Burn polygons on the grid of a mosaic, and write a data set of blocks that leaves the mosaic where it is.

    A pixel is of the last polygon that its middle lies in. Blocks without a label or without data are left out.

    Args:
        mosaic: the image, of whatever size.
        labels: polygons; their coordinates are turned into those of the mosaic.
        out: a folder, which is made: a VRT and a mask for each block, `pairs.csv`, `data.yaml`.
        how: what is a class, and how the splits are made.
        progress: called after every block.

    Returns:
        The configuration, pairs of every split and pixels of every class, as JSON values.

    Raises:
        DataError: if a file cannot be read, the coordinate reference system of one is not known, an attribute or a
            class is not there, or no polygon lies in the mosaic.
        ConfigError: if there are too many classes, or the folder holds something.
    """
    layer = read_layer(labels, layer=how.layer)
    names, numbers = _classes(layer, how)
    with open_dataset_of(mosaic) as dataset, library_settings():
        shapes = _on_mosaic(layer, dataset, mosaic, how.attribute, numbers)
        fill = names.index(how.background) if how.background else IGNORE
        blocks = blocks_of(dataset.height, dataset.width, side=how.block)
        kept = list(_counted(dataset, blocks, shapes, fill, len(names), progress))
        if not kept:
            raise DataError(f"no polygon of `{labels}` covers a pixel of `{mosaic}`", hint=_compare(layer, dataset))
        splits = dealt_blocks(np.stack([count for _, count in kept]))
        template, totals, pairs = _template(dataset), np.zeros(len(names), np.int64), []
        for (whole, _), split in zip(kept, splits, strict=True):
            margin = 0 if split == "train" else how.gap
            block = whole.within(margin, height=dataset.height, width=dataset.width)
            mask = _burned(dataset, block, shapes, fill)
            counts = _class_counts(mask, len(names))
            if counts.any():
                pair = Pair(f"images/{block.name}.vrt", f"masks/{block.name}.tif", split)
                write_text(out / pair.image, _windowed(template, block, dataset))
                _write_mask(out / pair.mask, mask, dataset, block)
                pairs.append(pair)
                totals += counts
    result = write_listing(out, pairs, {name: str(number) for number, name in enumerate(names)})
    return {**result, "pixels": dict(zip(names, map(int, totals), strict=True))}


def _classes(layer: Layer, how: Burning) -> tuple[list[str], dict[str, int]]:
    """Return the class names, and the number of every value of the attribute."""
    values = Counter(_values(layer, how.attribute))
    found = [value for value in sorted(values) if value not in how.ignored and value]
    names = list(how.classes or found)
    if how.background and how.background not in names:
        names.insert(0, how.background)
    foreign = [value for value in values if value not in (*names, *how.ignored)]
    if foreign:
        listed = ", ".join(f"`{value}` ({values[value]})" if value else f"none ({values['']})" for value in foreign)
        raise DataError(
            f"`{how.attribute}` of `{layer.path}` has values that are no class: {listed}",
            hint="name them in --classes, or in --ignore ('' for polygons without a value)",
        )
    if not 0 < len(names) <= MAX_CLASSES:
        raise ConfigError(f"`{how.attribute}` has {len(names)} values, expected 1 to {MAX_CLASSES} classes")
    numbers = {name: number for number, name in enumerate(names)}
    return names, numbers | dict.fromkeys(how.ignored, IGNORE)


def _values(layer: Layer, attribute: str) -> list[str]:
    """Return an attribute of every polygon as people read it: numbers that are whole without a point."""
    if attribute not in layer.attributes:
        hint = _one_of(sorted(layer.attributes))
        raise DataError(f"the polygons of `{layer.path}` have no attribute `{attribute}`", hint=hint)
    values = layer.attributes[attribute].tolist()
    whole = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    return ["" if value is None or value != value else str(value) for value in whole]


def _one_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"there are {', '.join(names[:_LISTED])}{more}" if names else "they have none: add one"


def _on_mosaic(layer: Layer, dataset: Any, mosaic: Path, attribute: str, numbers: dict[str, int]) -> _Shapes:
    """Return the polygons in the coordinates of the mosaic; GDAL burns those of other systems without a word."""
    import shapely

    if transform_of(dataset) is None:
        raise DataError(f"`{mosaic}` does not say where it lies", hint="export it with its georeference")
    if (layer.crs is None) != (dataset.crs is None):
        which, hint = (
            (layer.path, "set it in QGIS, by Layer > Set CRS of Layer(s), and save the layer again")
            if layer.crs is None
            else (mosaic, f"say which it is, for example: rio edit-info --crs EPSG:32632 {mosaic}")
        )
        raise DataError(f"`{which}` does not say its coordinate reference system", hint=hint)
    placed = layer.shapes
    if layer.crs not in (None, dataset.crs):
        try:
            placed = shapely.transform(placed, functools.partial(reprojected, source=layer.crs, target=dataset.crs))
        except DataError as error:
            raise DataError(f"`{layer.path}`: {error.message}", hint=_compare(layer, dataset)) from error
    shapes = _Shapes(placed, [numbers[value] for value in _values(layer, attribute)], shapely.bounds(placed))
    if not shapes.near(_corners(dataset.transform, dataset.height, dataset.width)):
        raise DataError(
            f"none of the {counted(len(placed), 'polygon')} of `{layer.path}` lies in `{mosaic}`",
            hint=_compare(layer, dataset),
        )
    return shapes


def _corners(transform: Any, height: int, width: int) -> NDArray[np.float64]:
    return np.array([transform @ (column, row) for column in (0, width) for row in (0, height)])


def _compare(layer: Layer, dataset: Any) -> str:
    return f"compare them in QGIS: the polygons are in {layer.crs}, the mosaic is in {dataset.crs}"


def _counted(
    dataset: Any, blocks: list[Block], shapes: _Shapes, fill: int, num_classes: int, progress: Progress | None
) -> Iterator[tuple[Block, NDArray[np.int64]]]:
    """Yield the blocks that have labels and data, with the pixels of each class."""
    for done, block in enumerate(blocks, start=1):
        mask = _burned(dataset, block, shapes, fill)
        counts = _class_counts(mask, num_classes)
        if counts.any() and _has_data(dataset, block):
            yield block, counts
        if progress:
            progress(done, len(blocks))


def _has_data(dataset: Any, block: Block) -> bool:
    shape = tuple(min(side, _PROBE_PX) for side in block.shape)
    return bool(dataset.dataset_mask(window=_window(block), out_shape=shape).any())


def _class_counts(mask: NDArray[np.uint8], num_classes: int) -> NDArray[np.int64]:
    return np.bincount(mask.ravel(), minlength=IGNORE + 1)[:num_classes].astype(np.int64)


def _burned(dataset: Any, block: Block, shapes: _Shapes, fill: int) -> NDArray[np.uint8]:
    from rasterio.features import rasterize

    placed = _placed(block, dataset)
    near = shapes.near(_corners(placed, *block.shape))
    if not near:
        return np.full(block.shape, fill, np.uint8)
    mask: NDArray[np.uint8] = rasterize(near, block.shape, fill=fill, transform=placed, dtype=np.uint8)
    return mask


def _window(block: Block) -> Any:
    from rasterio.windows import Window

    rows, columns = block.box
    return Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)


def _placed(block: Block, dataset: Any) -> Any:
    return dataset.transform @ dataset.transform.translation(block.box[1].start, block.box[0].start)


def _write_mask(path: Path, mask: NDArray[np.uint8], dataset: Any, block: Block) -> None:
    from rasterio.io import MemoryFile

    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "compress": "deflate", "nodata": IGNORE}
    placed = _placed(block, dataset)
    sides = {"height": block.shape[0], "width": block.shape[1], "crs": dataset.crs, "transform": placed}
    with MemoryFile() as memory:  # of a full disk GDAL says nothing
        with memory.open(**profile, **sides) as made:
            made.write(mask, 1)
        with atomic_path(path) as temporary:
            temporary.write_bytes(memory.read())


def _template(dataset: Any) -> ET.Element:
    """Return GDAL's description of the whole mosaic: its bands, colors, nodata values and masks.

    Of a mosaic that is a VRT itself, GDAL returns the mosaic's own description: how its bands are made of other files.
    So each band is told anew that it is a band of the mosaic.
    """
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy as copied

    with MemoryFile(ext=".vrt") as memory:
        copied(dataset, memory.name, driver="VRT")
        root = ET.fromstring(memory.read().decode())
    _keep(root, _OF_A_MOSAIC)
    path = str(Path(dataset.name).resolve())
    for number, band in enumerate(root.findall("VRTRasterBand"), start=1):
        _keep(band, _OF_A_BAND)
        _add_source(band, path, str(number))
    for band in root.findall("MaskBand/VRTRasterBand"):
        _keep(band, _OF_A_BAND)
        _add_source(band, path, "mask,1")
    return root


def _keep(element: ET.Element, tags: frozenset[str]) -> None:
    """Leave children with these tags alone, and what GDAL's plain kind of dataset or band has for attributes."""
    for child in [child for child in element if child.tag not in tags]:
        element.remove(child)
    element.attrib.pop("subClass", None)


def _add_source(band: ET.Element, path: str, number: str) -> None:
    source = ET.SubElement(band, "SimpleSource")
    ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = path
    ET.SubElement(source, "SourceBand").text = number
    ET.SubElement(source, "SrcRect")
    ET.SubElement(source, "DstRect")


def _windowed(template: ET.Element, block: Block, dataset: Any) -> str:
    root = copy.deepcopy(template)
    (height, width), (rows, columns) = block.shape, block.box
    root.set("rasterXSize", str(width))
    root.set("rasterYSize", str(height))
    placed = _placed(block, dataset).to_gdal()
    for element in root.iter("GeoTransform"):
        element.text = ", ".join(repr(float(value)) for value in placed)
    sides = {"xSize": str(width), "ySize": str(height)}
    for rectangle in root.iter("SrcRect"):
        rectangle.attrib.update({**sides, "xOff": str(columns.start), "yOff": str(rows.start)})
    for rectangle in root.iter("DstRect"):
        rectangle.attrib.update({**sides, "xOff": "0", "yOff": "0"})
    return ET.tostring(root, encoding="unicode")
