from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import pytest

from rsseg_tf.datasets.files.remote import remote_of
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.errors import ConfigError, DataError, MissingExtraError
from rsseg_tf.inference.folders import predict_files
from tests.inference.rasters import geotiff, predictor
from tests.inference.served import served
from tests.tflite.networks import frame

pytest.importorskip("fsspec", reason="needs the extra `cluster`")
pytest.importorskip("aiohttp", reason="needs the extra `cluster`")


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    write_image(tmp_path / "survey/a.png", frame(0, 40, 50))
    geotiff(tmp_path / "survey/b.tif", frame(1, 60, 30))
    return tmp_path / "survey"


@pytest.mark.parametrize("says_when", [True, False])
@pytest.mark.parametrize("prefix", ["", "/vsicurl/"])
def test_images_on_the_network_have_the_maps_of_files(
    tmp_path: Path, survey: Path, prefix: str, says_when: bool
) -> None:
    predict_files(predictor(), survey, tmp_path / "files")
    with served(survey, says_when=says_when) as server:
        words = [f"{prefix}{server.url}/{name}" for name in ("a.png", "b.tif")]
        records = predict_files(predictor(), words, tmp_path / "out")
    assert [record["image"] for record in records] == words
    for name in ("a_classes.png", "a_overlay.jpg", "b_classes.tif", "b_overlay.jpg"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "files" / name).read_bytes()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {path.name for path in (tmp_path / "files").iterdir()}


def test_what_did_not_change_is_not_fetched_again(tmp_path: Path, survey: Path) -> None:
    with served(survey) as server:
        words = [f"{server.url}/{name}" for name in ("a.png", "b.tif")]
        first = predict_files(predictor(), words, tmp_path / "out")
        server.got.clear()
        assert predict_files(predictor(), words, tmp_path / "out") == first
        assert server.got == []
        os.utime(survey / "a.png", (0, 0))
        with pytest.raises(ConfigError, match="another model, image or setting"):
            predict_files(predictor(), words, tmp_path / "out")


def test_a_file_that_is_not_there_is_named(tmp_path: Path, survey: Path) -> None:
    with served(survey) as server:
        word = f"{server.url}/c.png"
        with pytest.raises(DataError, match=r"c\.png"):
            predict_files(predictor(), [word], tmp_path / "out")
    with pytest.raises(DataError, match=r"c\.png"):
        predict_files(predictor(), [word], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("word", ["/vsizip/a.zip/b.tif", "zzz://host/a.tif"])
def test_an_address_of_another_kind_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(ConfigError, match="fetch"):
        predict_files(predictor(), [word], tmp_path / "out")


def test_without_fsspec_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def lacking(name: str, *more: Any) -> Any:
        if name == "fsspec":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return imported(name, *more)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(MissingExtraError) as caught:
        predict_files(predictor(), ["https://host/a.tif"], tmp_path / "out")
    assert "rsseg-tf[cluster]" in caught.value.hint


@pytest.mark.parametrize(
    ("word", "url"),
    [
        ("/vsicurl/https://host/a.tif", "https://host/a.tif"),
        ("/vsis3/bucket/b/a.tif", "s3://bucket/b/a.tif"),
        ("gs://bucket/a.tif", "gs://bucket/a.tif"),
        ("https://host/b/a.tif?token=1", "https://host/b/a.tif?token=1"),
    ],
)
def test_addresses_of_gdal_are_those_of_fsspec(word: str, url: str) -> None:
    remote = remote_of(word)
    assert remote is not None
    assert (remote.said, remote.url, remote.path.name) == (word, url, "a.tif")


@pytest.mark.parametrize("word", ["a.tif", "/data/a.tif", "photos/*.png", "C:/a.tif"])
def test_files_are_no_addresses(word: str) -> None:
    assert remote_of(word) is None


@pytest.mark.parametrize(
    ("url", "stem"),
    [("https://a.b/c/d.tif?x=1", "d"), ("https://a.b/", "image"), ("https://a.b", "image"), ("https://a.b/c/", "c")],
)
def test_results_of_an_address_have_a_name_of_their_own(url, stem):
    remote = remote_of(url)
    assert remote is not None
    assert remote.path.stem == stem
