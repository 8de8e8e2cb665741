"""What is measured of a mosaic is what happened."""

from __future__ import annotations

import json

import bench_mosaic
import numpy as np
import rasterio

from rsseg_tf.cli.main import main as run
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.inference.tiling import TileGrid
from rsseg_tf.tflite.metadata import embed_metadata
from tests.tflite.networks import METADATA, SIZE, frame, tiny_model

SIDE = 520


def test_every_tile_is_counted_and_the_map_is_whole(tmp_path, capsys):
    model, images = tmp_path / "tiny.tflite", tmp_path / "images"
    model.write_bytes(embed_metadata(tiny_model("int8"), METADATA))
    for number in range(2):
        write_image(images / f"{number}.png", frame(number, 60, 90))
    words = [str(model), str(images), "--side", str(SIDE), "--work", str(tmp_path), "--out", str(tmp_path / "out.json")]
    invoke = TFLiteRunner.invoke

    assert run(words, command=bench_mosaic.main, name="bench_mosaic") == 0

    found = json.loads((tmp_path / "out.json").read_text())
    grid = TileGrid(SIDE, SIDE, (SIZE, SIZE), METADATA.overlap)
    assert found["tiles"] == len(grid.tops) * len(grid.lefts)
    assert 0 < found["interpreter_s"] < found["wall_s"]
    assert found["peak_mb"] > 0
    assert f"{found['tiles']} tiles" in capsys.readouterr().out
    assert TFLiteRunner.invoke is invoke
    with rasterio.open(tmp_path / "map" / f"mosaic{SIDE}_classes.tif") as written:
        assert written.shape == (SIDE, SIDE)
        assert written.crs.to_epsg() == 32640


def test_the_mosaic_is_filled_with_the_images(tmp_path):
    bench_mosaic.write_mosaic(tmp_path / "mosaic.tif", [np.full((512, 100, 3), 7, np.uint8)], side=512)
    with rasterio.open(tmp_path / "mosaic.tif") as mosaic:
        assert (mosaic.read() == 7).all()
