"""Polygons over an orthomosaic become the masks that GDAL would burn, in blocks that do not touch across splits."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import shlex
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pyogrio import raw
from rasterio import features
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform, transform_geom
from rasterio.windows import Window

from rsseg_tf.cli.main import cli
from rsseg_tf.config import load_config
from rsseg_tf.datasets import open_dataset
from rsseg_tf.datasets.check import check_dataset
from rsseg_tf.datasets.drawn.blocks import blocks_of, dealt_blocks
from rsseg_tf.datasets.drawn.burning import Burning, burn
from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.errors import ConfigError, DataError, MissingExtraError, RssegError
from tests.inference.rasters import UTM, geotiff
from tests.tflite.networks import frame

HEIGHT, WIDTH = 400, 520
HOW = Burning("kind", block=130, gap=20)


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return geotiff(tmp_path_factory.mktemp("survey") / "ortho.tif", np.maximum(frame(0, HEIGHT, WIDTH), 1), nodata=0)


def square(column: float, row: float, side: float, *, hole: float = 0) -> list[list[tuple[float, float]]]:
    """Rings in the coordinates of the mosaic, from pixels of it."""

    def ring(column: float, row: float, side: float) -> list[tuple[float, float]]:
        corners = [(0, 0), (0, side), (side, side), (side, 0), (0, 0)]
        return [UTM["transform"] @ (column + right, row + down) for right, down in corners]

    rings = [ring(column, row, side)]
    return rings + ([ring(column + side / 2 - hole / 2, row + side / 2 - hole / 2, hole)] if hole else [])


SHAPES = [
    (square(column * 60 + 7.3, row * 60 + 3.1, 52, hole=11 * (row % 2)), ("roof", "road", "tree")[(row + column) % 3])
    for row, column in itertools.product(range(6), range(8))
]


def expected() -> np.ndarray:
    names = ("road", "roof", "tree")
    pairs = [({"type": "Polygon", "coordinates": rings}, names.index(kind)) for rings, kind in SHAPES]
    burned: np.ndarray = features.rasterize(
        pairs, (HEIGHT, WIDTH), fill=IGNORE, transform=UTM["transform"], dtype=np.uint8
    )
    return burned


def geojson(path: Path, shapes: list[Any] = SHAPES, *, crs: str = "", attribute: str = "kind") -> Path:
    """In degrees, as the standard asks, or with the member `crs` that QGIS writes for other systems."""
    found = []
    for rings, kind in shapes:
        geometry: dict[str, Any] = {"type": "Polygon", "coordinates": rings}
        geometry = geometry if crs else dict(transform_geom("EPSG:32640", "EPSG:4326", geometry))
        found.append({"type": "Feature", "properties": {attribute: kind}, "geometry": geometry})
    named = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    path.write_text(json.dumps({"type": "FeatureCollection", **named, "features": found}))
    return path


def drawn(path: Path, *, system: str = "EPSG:32640", layer: str = "drawn", **options: str) -> Path:
    """A layer in the format that the ending says, as GDAL writes it."""
    polygons = np.array([shapely.Polygon(rings[0], rings[1:]) for rings, _ in SHAPES])
    moved = shapely.transform(polygons, lambda points: np.array(transform("EPSG:32640", system, *points.T)).T)
    kinds = np.array([kind for _, kind in SHAPES], object)
    about = {"geometry_type": "Polygon", "crs": system, "layer": layer}
    raw.write(path, shapely.to_wkb(moved), [kinds, np.arange(len(kinds))], ["kind", "id"], **about, **options)
    return path


WRITERS = {
    "degrees.geojson": geojson,
    "utm.geojson": lambda path: geojson(path, crs="urn:ogc:def:crs:EPSG::32640"),
    "utm.gpkg": drawn,
    "mercator.gpkg": lambda path: drawn(path, system="EPSG:3857"),
    "utm.shp": lambda path: drawn(path, layer="utm"),
    "utm.fgb": drawn,
}


@pytest.mark.parametrize("name", WRITERS)
def test_blocks_hold_the_pixels_and_the_labels_of_their_place(mosaic: Path, tmp_path: Path, name: str) -> None:
    made = burn(mosaic, WRITERS[name](tmp_path / name), tmp_path / "set", HOW)
    dataset = open_dataset(load_config(Path(made["config"])).data)
    whole, labels, seen = frame(0, HEIGHT, WIDTH), expected(), np.zeros((HEIGHT, WIDTH), int)
    for split in dataset.splits():
        for sample in dataset.samples(split):
            with rasterio.open(sample.image) as block:
                column, row = ~UTM["transform"] @ (block.transform.c, block.transform.f)
            pixels, mask = dataset.read(sample)
            box = (slice(round(row), round(row) + len(mask)), slice(round(column), round(column) + mask.shape[1]))
            assert np.array_equal(pixels, np.maximum(whole[box], 1))
            assert np.array_equal(mask, labels[box])
            seen[box] += 1
    assert seen.max() == 1
    assert np.mean(seen) > 0.85
    assert made["pixels"] == {
        name: int(np.count_nonzero((labels == number) & (seen > 0)))
        for number, name in enumerate(dataset.palette.names)
    }
    assert check_dataset(dataset).problems == ()


def described(path: Path, source: str, stem: Path) -> Path:
    """A VRT of three bands; `source` is what each is made of, of files whose names begin with `stem`."""
    ends = f'xOff="0" yOff="0" xSize="{WIDTH}" ySize="{HEIGHT}"'
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{number}"><NoDataValue>0</NoDataValue>'
        f"{source.format(band=number, other=4 - number, ends=ends, stem=stem)}</VRTRasterBand>"
        for number in (1, 2, 3)
    )
    placed = ", ".join(map(str, UTM["transform"].to_gdal()))
    head = f"<SRS>{UTM['crs']}</SRS><GeoTransform>{placed}</GeoTransform>"
    path.write_text(f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}">{head}{bands}</VRTDataset>')
    return path


def warped(path: Path, source: Path) -> Path:
    with rasterio.open(source) as dataset, WarpedVRT(dataset, crs="EPSG:3857", nodata=0) as turned:
        rasterio.shutil.copy(turned, path, driver="VRT")
    return path


SOURCES = {
    "a file each": "<SimpleSource><SourceFilename>{stem}{band}.tif</SourceFilename><SourceBand>1</SourceBand>"
    "<SrcRect {ends}/><DstRect {ends}/></SimpleSource>",
    "another order": "<SimpleSource><SourceFilename>{stem}.tif</SourceFilename><SourceBand>{other}</SourceBand>"
    "<SrcRect {ends}/><DstRect {ends}/></SimpleSource>",
    "scaled": "<ComplexSource><SourceFilename>{stem}.tif</SourceFilename><SourceBand>{band}</SourceBand>"
    "<ScaleOffset>20</ScaleOffset><ScaleRatio>0.5</ScaleRatio><SrcRect {ends}/><DstRect {ends}/></ComplexSource>",
}


@pytest.mark.parametrize("kind", [*SOURCES, "warped"])
def test_blocks_of_a_vrt_hold_what_it_shows_however_it_is_made(mosaic: Path, tmp_path: Path, kind: str) -> None:
    with rasterio.open(mosaic) as dataset:
        for number, band in enumerate(dataset.read(), start=1):
            geotiff(tmp_path / f"ortho{number}.tif", band[..., None], nodata=0)
    vrt = tmp_path / "mosaic.vrt"
    if kind == "warped":
        warped(vrt, mosaic)
    else:
        described(vrt, SOURCES[kind], tmp_path / "ortho" if kind == "a file each" else mosaic.with_suffix(""))
    made = burn(vrt, geojson(tmp_path / "a.geojson"), tmp_path / "set", HOW)
    dataset = open_dataset(load_config(Path(made["config"])).data)
    images = [sample.image for split in dataset.splits() for sample in dataset.samples(split)]
    assert images
    for image in images:
        with rasterio.open(vrt) as whole, rasterio.open(image) as block:
            column, row = map(round, ~whole.transform @ (block.transform.c, block.transform.f))
            assert np.array_equal(block.read(), whole.read(window=Window(column, row, block.width, block.height)))
            assert (block.nodata, block.crs) == (0, whole.crs)


def test_no_block_touches_one_of_another_split(mosaic: Path, tmp_path: Path) -> None:
    made = burn(mosaic, geojson(tmp_path / "a.geojson"), tmp_path / "set", HOW)
    dataset = open_dataset(load_config(Path(made["config"])).data)
    assert dataset.splits() == ("train", "val", "test")
    bounds = []
    for split in dataset.splits():
        for sample in dataset.samples(split):
            with rasterio.open(sample.image) as block:
                bounds.append((split, block.bounds))
    for (one, first), (other, second) in itertools.combinations(bounds, 2):
        across = max(first.left - second.right, second.left - first.right)
        along = max(first.bottom - second.top, second.bottom - first.top)
        assert max(across, along) >= (0 if one == other else 20 * 0.5 - 1e-6)


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(64, 3000))
def test_blocks_cover_a_mosaic_once(height: int, width: int, side: int) -> None:
    blocks = blocks_of(height, width, side=side)
    assert sum(block.shape[0] * block.shape[1] for block in blocks) == height * width
    assert max(max(block.shape) for block in blocks) <= 1.5 * side + 1
    assert len({block.name for block in blocks}) == len(blocks)


def test_every_split_has_its_share_of_a_rare_class() -> None:
    counts = np.full((42, 2), [1000, 0])
    counts[[3, 17, 30, 41, 5, 8, 22], 1] = 50
    splits = np.array(dealt_blocks(counts))
    assert [np.count_nonzero(splits == name) for name in ("val", "test")] == [6, 6]
    assert [counts[splits == name, 1].sum() for name in ("train", "val", "test")] == [250, 50, 50]


@pytest.mark.parametrize("kind", ["alpha", "mask"])
def test_gaps_of_the_mosaic_are_gaps_of_its_blocks(tmp_path: Path, kind: str) -> None:
    filled = np.full((HEIGHT, WIDTH), 255, np.uint8)
    filled[100:300, 50:250] = 0
    filled[:135, :135] = 0
    pixels = frame(0, HEIGHT, WIDTH)
    path = geotiff(tmp_path / "a.tif", np.dstack([pixels, filled]) if kind == "alpha" else pixels)
    if kind == "mask":
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(filled)
    how = Burning("kind", background="ground", block=130, gap=0)
    made = burn(path, geojson(tmp_path / "a.geojson"), tmp_path / "set", how)
    assert sum(made["splits"].values()) == 11  # of 12, one has no data
    found = check_dataset(open_dataset(load_config(Path(made["config"])).data))
    labeled = sum(sum(split.pixels.values()) for split in found.splits.values())
    assert labeled == np.count_nonzero(filled)
    assert found.problems == ()


def test_background_is_a_class_where_there_is_data(mosaic: Path, tmp_path: Path) -> None:
    few = geojson(tmp_path / "a.geojson", SHAPES[:1])
    made = burn(mosaic, few, tmp_path / "set", Burning("kind", background="ground", block=130, gap=0))
    inside = np.count_nonzero(expected()[:60, :60] != IGNORE)
    assert made["pixels"] == {"ground": HEIGHT * WIDTH - inside, "roof": inside}
    alone = burn(mosaic, few, tmp_path / "alone", Burning("kind", block=130, gap=0))
    assert alone["splits"] == {"train": 1}


def test_an_ignored_value_takes_labels_away(mosaic: Path, tmp_path: Path) -> None:
    how = Burning("kind", classes=("roof", "road"), ignored=("tree",), block=130, gap=0)
    made = burn(mosaic, geojson(tmp_path / "a.geojson"), tmp_path / "set", how)
    assert list(made["pixels"]) == ["roof", "road"]
    assert made["pixels"]["roof"] == np.count_nonzero(expected() == 1)


def refused(mosaic: Path, labels: Path, how: Burning = HOW) -> RssegError:
    with pytest.raises(RssegError) as caught:
        burn(mosaic, labels, labels.parent / "set", how)
    assert caught.value.hint
    assert not (labels.parent / "set").exists()
    return caught.value


def test_what_does_not_fit_is_named(mosaic: Path, tmp_path: Path) -> None:
    labels = geojson(tmp_path / "a.geojson")
    assert "no attribute `class`" in refused(mosaic, labels, Burning("class", block=130, gap=0)).message
    strange = refused(mosaic, labels, Burning("kind", classes=("roof", "road"), block=130, gap=0))
    assert "`tree` (16)" in strange.message
    far = geojson(tmp_path / "far.geojson", [(square(9000, 9000, 50), "roof")])
    assert "none of the 1 polygon" in refused(mosaic, far).message
    nameless = geojson(tmp_path / "none.geojson", [*SHAPES, (SHAPES[0][0], None)])
    assert "none (1)" in refused(mosaic, nameless).message
    nowhere = geotiff(tmp_path / "nowhere.tif", frame(0, 90, 90), crs=None)
    unsaid = refused(nowhere, labels)
    assert "does not say its coordinate reference system" in unsaid.message
    words = shlex.split(unsaid.hint.partition("rio ")[2].replace("32632", "32640"))
    subprocess.run([Path(sys.executable).with_name("rio"), *words], check=True)
    burn(nowhere, labels, tmp_path / "placed", HOW)
    with pytest.raises(ConfigError, match="nothing left"):
        Burning("kind", block=130, gap=50)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.geojson", b"{"),
        ("a.geojson", b'{"type": "FeatureCollection", "features": []}'),
        ("a.geojson", b'{"features": [{"geometry": {"type": "Point", "coordinates": [1, 2]}}]}'),
        ("a.gpkg", b"SQLite format 3\0 and no more"),
        ("a.shp", b"\0\0"),
        ("a.kml", b"<kml/>"),
    ],
)
def test_a_file_that_is_none_is_named(mosaic: Path, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert name.partition(".")[0] in refused(mosaic, tmp_path / name).message


def test_names_that_are_no_text_are_told(mosaic: Path, tmp_path: Path) -> None:
    path = geojson(tmp_path / "a.geojson", SHAPES[:2])
    path.write_bytes(path.read_bytes().replace(b'"kind"', b'"k\x8dnd"'))
    assert "a.geojson`: it holds text that is not UTF-8" in refused(mosaic, path).message


def test_a_layer_is_named_where_there_are_several(mosaic: Path, tmp_path: Path) -> None:
    path = drawn(drawn(tmp_path / "a.gpkg"), layer="other")
    assert "--layer" in refused(mosaic, path).hint
    burn(mosaic, path, tmp_path / "set", Burning("kind", layer="other", block=130, gap=20))


def test_shapes_that_are_cut_off_are_named(mosaic: Path, tmp_path: Path) -> None:
    path = drawn(tmp_path / "a.gpkg", SPATIAL_INDEX="NO")
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE drawn SET geom = substr(geom, 1, 60) WHERE fid = 3")
    assert "1 of the 48 features of `drawn` have no outline, or a damaged one" in refused(mosaic, path).message
    shape = drawn(tmp_path / "b.shp", layer="b")
    whole = shape.read_bytes()
    shape.write_bytes(whole[:-30])
    assert "1 of the 48 features of `b`" in refused(mosaic, shape).message
    shape.write_bytes(whole)
    shape.with_suffix(".dbf").unlink()
    assert "no `b.dbf`" in refused(mosaic, shape).message


def test_a_mosaic_that_is_damaged_is_named(tmp_path: Path) -> None:
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    path = geotiff(tmp_path / "ortho.tif", np.maximum(frame(0, HEIGHT, WIDTH), 1), nodata=0, **tiles)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 9_000] = bytes(9_000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read `.*ortho\.tif`: .+") as caught:
        burn(path, geojson(tmp_path / "a.geojson"), tmp_path / "set", HOW)
    assert "See previous" not in caught.value.message


@pytest.mark.parametrize("latitude", [95, 1e300])
def test_corners_beyond_the_pole_are_named(mosaic: Path, tmp_path: Path, latitude: float) -> None:
    path = geojson(tmp_path / "a.geojson")
    found = json.loads(path.read_text())
    found["features"][7]["geometry"]["coordinates"][0][2][1] = latitude
    path.write_text(json.dumps(found))
    assert "a.geojson`: coordinates in EPSG:4326 have no place in EPSG:32640" in refused(mosaic, path).message


def test_corners_that_are_no_numbers_are_counted(mosaic: Path, tmp_path: Path) -> None:
    shape = drawn(tmp_path / "b.shp", layer="b")
    whole = bytearray(shape.read_bytes())
    whole[-8:] = struct.pack("<d", math.nan)
    shape.write_bytes(whole)
    assert "1 of the 48 features of `b`" in refused(mosaic, shape).message


@pytest.mark.parametrize("number", [-1, 0])
def test_a_system_that_is_undefined_is_none(mosaic: Path, tmp_path: Path, number: int) -> None:
    """QGIS writes layers without a coordinate reference system so."""
    path = drawn(tmp_path / "a.gpkg")
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE gpkg_contents SET srs_id = {number}")
        database.execute(f"UPDATE gpkg_geometry_columns SET srs_id = {number}")
    assert "a.gpkg` does not say its coordinate reference system" in refused(mosaic, path).message


def test_without_its_library_the_extra_is_named(mosaic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyogrio.errors", None)
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    error = refused(mosaic, geojson(tmp_path / "a.geojson"))
    assert isinstance(error, MissingExtraError)
    assert "`pyogrio`" in error.message
    assert "rsseg-tf[geo]" in error.hint


_BOTH = """
import sys
from pathlib import Path
import {first}
from rsseg_tf.datasets.drawn.burning import Burning, burn
from rsseg_tf.datasets.drawn.features import read_layer
if "{first}" == "pyogrio":
    read_layer(Path(sys.argv[2]))
made = burn(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), Burning("kind", block=130, gap=20))
print(made["pixels"])
"""


@pytest.mark.parametrize("first", ["rasterio", "pyogrio"])
def test_two_builds_of_gdal_share_a_process(mosaic: Path, tmp_path: Path, first: str) -> None:
    """The wheels of rasterio and pyogrio bring one each, with PROJ and its tables; whichever comes first."""
    labels = drawn(tmp_path / "a.gpkg", system="EPSG:3857")
    words = [sys.executable, "-W", "error", "-c", _BOTH.format(first=first)]
    done = subprocess.run([*words, mosaic, labels, tmp_path / "set"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == f"{burn(mosaic, labels, tmp_path / 'again', HOW)['pixels']}\n"


def test_the_command_says_what_to_do_next(mosaic: Path, tmp_path: Path) -> None:
    words = ["data", "burn", str(mosaic), str(geojson(tmp_path / "a.geojson")), "--attribute", "kind", "--block", "200"]
    done = CliRunner().invoke(cli, [*words, "-o", str(tmp_path / "set")], catch_exceptions=False)
    assert done.exit_code == 0
    assert f"use -c {tmp_path / 'set/data.yaml'}" in done.stdout
    with pytest.raises(ConfigError, match="holds something"):
        CliRunner().invoke(cli, [*words, "-o", str(tmp_path / "set")], catch_exceptions=False)


def test_a_mosaic_without_a_place_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain.png"
    from rsseg_tf.datasets.images.pixels import write_image

    write_image(plain, frame(0, 90, 90))
    with pytest.raises(DataError, match="where it lies"):
        burn(plain, geojson(tmp_path / "a.geojson"), tmp_path / "set", HOW)
