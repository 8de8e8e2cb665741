"""What is measured of a survey is read, drawn and predicted."""

from __future__ import annotations

import json
from pathlib import Path

import bench_input
import bench_survey as tool
import numpy as np
import pyogrio
import pytest
import rasterio

from rsseg_tf.cli.main import main as run
from rsseg_tf.datasets import open_dataset
from rsseg_tf.datasets.files import opening
from rsseg_tf.datasets.parts import InParts
from rsseg_tf.tflite.metadata import embed_metadata
from tests.tflite.networks import METADATA, tiny_model

NEED = {"images_per_s": 2.0, "cpu_ms_per_image": 500.0, "images": 4}


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_input, "HEIGHT", 270)
    monkeypatch.setattr(bench_input, "WIDTH", 480)


def test_the_mosaic_is_so_large_that_windows_are_read_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tool.main.params[1].default ** 2 > opening.LARGE_PIXELS
    monkeypatch.setattr(opening, "LARGE_PIXELS", 1 << 20)
    config = tool.write_survey(tmp_path, 2048)
    dataset = open_dataset(config.data)
    (sample,) = dataset.samples("train")
    assert isinstance(dataset, InParts)
    assert dataset.size_in_parts(sample) == (2048, 2048)
    box = (slice(900, 1200), slice(1000, 1200))
    with rasterio.open(sample.image) as image, rasterio.open(sample.mask) as mask:
        assert image.block_shapes[0] == (512, 512)
        window = rasterio.windows.Window.from_slices(*box)
        expected = np.moveaxis(image.read(window=window), 0, -1), mask.read(1, window=window)
    for seen, stored in zip(dataset.read_part(sample, box), expected, strict=True):
        np.testing.assert_array_equal(seen, stored)


def test_every_figure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "needed", lambda _work: NEED)
    model = tmp_path / "tiny.tflite"
    model.write_bytes(embed_metadata(tiny_model("int8"), METADATA))
    sides = {"side": 1024, "map-side": 700, "probe-side": 600, "size": 32, "batch": 2, "steps": 3, "turns": 2}
    words = [word for name, value in sides.items() for word in (f"--{name}", str(value))]
    out = tmp_path / "out.json"
    work = str(tmp_path / "work")
    assert run([str(model), *words, "--work", work, "--out", str(out)], command=tool.main, name="bench_survey") == 0
    found = json.loads(out.read_text())["turns"]
    assert [len(each) for each in found.values()] == [2, 2, 2, 2]
    assert found["windows"][0]["images"] == 4
    assert found["windows"][0]["images_per_s"] > 0
    assert found["prediction"][0]["wall_s_per_mp"] > 0
    assert pyogrio.read_info(tmp_path / "work/map.gpkg")["features"] > 100
    told = capsys.readouterr().out
    assert "× the need of a step" in told
    assert "the prediction takes" in told


def test_a_turn_that_was_disturbed_does_not_count() -> None:
    assert tool.medians([{"a": 1.0, "b_mb": 5.0}, {"a": 2.0, "b_mb": 4.0}, {"a": 90.0, "b_mb": 1.0}]) == {
        "a": 2.0,
        "b_mb": 5.0,
    }
