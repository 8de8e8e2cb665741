"""A file's content is also that of its masks and of what a VRT is made of."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioDeprecationWarning

from rsseg_tf.config import DataConfig, FolderConfig
from rsseg_tf.datasets import open_dataset
from rsseg_tf.datasets.examine import examine
from rsseg_tf.datasets.files.companions import content_hash, files_of, pixel_files
from rsseg_tf.datasets.prepared.store import source_of
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.runs import file_hash
from tests.datasets.readers.layouts import write_csv
from tests.inference.rasters import geotiff
from tests.tflite.networks import frame


def vrt(path: Path, source: Path) -> Path:
    rasterio.shutil.copy(source, path, driver="VRT")
    return path


def test_an_image_alone_is_its_bytes(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "a.tif", frame(0, 20, 30))
    assert files_of(image) == [image]
    assert content_hash([image]) == file_hash(image)


def test_masks_vrts_of_vrts_and_world_files_count(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "a.tif", frame(0, 20, 30))
    inner, outer = vrt(tmp_path / "b.vrt", image), tmp_path / "c.vrt"
    outer.write_text(inner.read_text().replace("a.tif", "b.vrt"))
    (tmp_path / "c.vrt.msk").write_bytes(b"1")
    (tmp_path / "c.wld").write_text("1\n0\n0\n-1\n0\n0\n")
    found = {each.name for each in pixel_files(outer)}
    assert found == {"c.vrt", "c.vrt.msk", "b.vrt", "a.tif"}
    assert [each.name for each in files_of(outer)][-1] == "c.wld"


STATISTICS = """<PAMDataset>
  <PAMRasterBand band="1">
    <Histograms><HistItem><HistMin>0</HistMin><HistCounts>1|2</HistCounts></HistItem></Histograms>
    <Metadata>
      <MDI key="STATISTICS_MAXIMUM">255</MDI>
    </Metadata>
  </PAMRasterBand>
</PAMDataset>
"""


def test_statistics_that_a_viewer_leaves_beside_an_image_are_not_its_content(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "a.tif", frame(0, 20, 30))
    (tmp_path / "a.tif.aux.xml").write_text(STATISTICS)
    assert pixel_files(image) == [image]
    nodata = STATISTICS.replace("</PAMRasterBand>", "<NoDataValue>0</NoDataValue></PAMRasterBand>")
    (tmp_path / "a.tif.aux.xml").write_text(nodata)
    assert pixel_files(image) == [image, tmp_path / "a.tif.aux.xml"]


def test_statistics_of_gdal_itself_are_not_content(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "a.tif", frame(0, 20, 30))
    with rasterio.open(image) as dataset, pytest.warns(RasterioDeprecationWarning):
        dataset.statistics(1, approx=False)
    assert (tmp_path / "a.tif.aux.xml").exists()
    assert pixel_files(image) == [image]


def test_what_replaced_pixels_behind_a_vrt_change(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "a.tif", frame(0, 20, 30))
    made = vrt(tmp_path / "b.vrt", image)
    before, source = content_hash(pixel_files(made)), source_of(Sample("b", made, None))
    geotiff(image, 255 - frame(0, 20, 30))
    os.utime(image, ns=(1, 1))
    assert content_hash(pixel_files(made)) != before
    assert source_of(Sample("b", made, None)) != source


def test_a_vrt_of_nothing_is_left_to_whoever_reads_its_pixels(tmp_path: Path) -> None:
    made = vrt(tmp_path / "b.vrt", geotiff(tmp_path / "a.tif", frame(0, 20, 30)))
    made.write_text("<VRTDataset")
    assert pixel_files(made) == [made]
    assert np.array_equal(content_hash([made]), file_hash(made))


def test_the_examination_of_a_mask_that_is_a_vrt_tells_its_source(tmp_path: Path) -> None:
    labels = geotiff(tmp_path / "labels.tif", frame(0, 20, 30)[..., :1] % 2)
    for split in ("train", "val"):
        geotiff(tmp_path / f"set/{split}.tif", frame(0, 20, 30))
        vrt(tmp_path / f"set/{split}_mask.vrt", labels)
    rows = [f"{split}.tif,{split}_mask.vrt,{split}" for split in ("train", "val")]
    write_csv(tmp_path / "set/splits.csv", *rows)
    folder = FolderConfig(pairs="splits.csv", classes={"a": "0", "b": "1"})
    dataset = open_dataset(DataConfig(name="folder", root=str(tmp_path / "set"), folder=folder))
    (sample,) = dataset.samples("train")
    before = examine(dataset, sample)[0]
    geotiff(labels, 1 - frame(0, 20, 30)[..., :1] % 2)
    os.utime(labels, ns=(1, 1))
    after = examine(dataset, sample)[0]
    assert before.problems == after.problems == ()
    assert before.mask_sha256 != after.mask_sha256
    assert before.image_sha256 == after.image_sha256
