"""Laws of predictors that see other bands than red, green and blue."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from rsseg_tf.config import DataConfig
from rsseg_tf.datasets.images.channels import Channels
from rsseg_tf.datasets.images.pixels import read_image, read_indices
from rsseg_tf.errors import ConfigError, DataError, ModelError
from rsseg_tf.evaluation.data import data_for
from rsseg_tf.inference.folders import predict_files
from rsseg_tf.inference.predict import TiledPredictor, open_predictor
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.inference.video import predict_video
from rsseg_tf.tflite.metadata import embed_metadata
from tests.datasets.images.formats import tiff
from tests.inference.rasters import geotiff, predictor, stored
from tests.tflite.networks import METADATA, SIZE, image_model

PIXELS = np.random.default_rng(0).integers(0, 256, (50, 40, 5), dtype=np.uint8)
FOUR = Channels((5, 2, 3, 1))


def infrared(images: np.ndarray) -> np.ndarray:
    """Scores of three classes by the last band and the mean of all."""
    last, mean = images[..., -1].astype(np.int16), images.mean(axis=-1).astype(np.int16)
    return np.stack([128 - last, last - 128, mean - 100], axis=-1)


def seeing(channels: Channels = FOUR, bands: int = 4) -> TiledPredictor:
    return predictor(infrared, channels=channels, num_bands=bands)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("fitting", ["crop", "resize"])
def test_whole_images_and_mosaics_are_predicted_in_the_bands_of_the_model(
    tmp_path: Path, count: int, fitting: str
) -> None:
    bands = (5, 2, 3, 1, 4)[:count]
    model = dataclasses.replace(seeing(Channels(bands), count), fitting=fitting)
    tiff(PIXELS, photometric="MINISBLACK")(tmp_path / "whole.tif")
    geotiff(tmp_path / "strips.tif", PIXELS, photometric="MINISBLACK")
    predict_files(model, [tmp_path / "whole.tif", tmp_path / "strips.tif"], tmp_path / "out")
    expected = model.predict(np.ascontiguousarray(PIXELS[..., [band - 1 for band in bands]]))
    np.testing.assert_array_equal(read_indices(tmp_path / "out/whole_classes.png"), expected)
    np.testing.assert_array_equal(stored(tmp_path / "out/strips_classes.tif"), expected)
    shown = PIXELS[..., [4, 1, 2] if count >= 3 else [4, 4, 4]]
    overlay = read_image(tmp_path / "out/whole_overlay.jpg").astype(int)
    assert np.abs(overlay - (shown + model.palette.colorize(expected).astype(int)) / 2).mean() < 4  # a JPEG
    np.testing.assert_array_equal(read_image(tmp_path / "out/strips_overlay.jpg"), overlay)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Channels((1, 2, 3)), "sees 4 bands of an image, bands 1, 2, 3 are named"),
        (Channels((1, 2, 3, 6)), "has 5 bands, the settings ask for 6"),
        (Channels(scale=(0, 9, 0, 9, 0, 9)), "6 numbers for 4 bands"),
    ],
)
def test_what_does_not_fit_the_model_or_the_image_is_one_clear_error(
    tmp_path: Path, asked: Channels, words: str
) -> None:
    tiff(PIXELS, photometric="MINISBLACK")(tmp_path / "a.tif")
    with pytest.raises(ConfigError, match=words):
        predict_files(seeing(), [tmp_path / "a.tif"], tmp_path / "out", channels=asked)
    assert not list(tmp_path.rglob("*_classes*"))


@pytest.mark.parametrize("bands", [(), (1, 2, 3)])
def test_a_model_of_four_bands_that_nobody_names_sees_nothing(tmp_path: Path, bands: tuple[int, ...]) -> None:
    tiff(PIXELS[..., :3], photometric="RGB")(tmp_path / "a.tif")
    with pytest.raises(ConfigError, match="sees 4 bands") as caught:
        predict_files(seeing(Channels(bands)), [tmp_path / "a.tif"], tmp_path / "out")
    assert "--bands 1,2,3,4" in caught.value.hint
    assert "data.bands=[1,2,3,4]" in caught.value.hint


def test_a_model_of_four_bands_on_an_image_of_three(tmp_path: Path) -> None:
    tiff(PIXELS[..., :3], photometric="RGB")(tmp_path / "a.tif")
    with pytest.raises(ConfigError, match=r"a\.tif` has 3 bands, the settings ask for 4"):
        predict_files(seeing(Channels((1, 2, 3, 4))), [tmp_path / "a.tif"], tmp_path / "out")
    with pytest.raises(DataError, match=r"sees 4 bands of an image, got an array of shape \(50, 40, 3\)"):
        seeing().predict(PIXELS[..., :3])
    with pytest.raises(DataError, match="sees 4 bands"):
        seeing().predict_with_confidence(PIXELS[..., :3])


def test_data_are_read_in_the_bands_of_the_model_and_others_are_refused() -> None:
    scaled = dataclasses.replace(seeing(), channels=Channels((5, 2, 3, 1), (0, 10)))
    seen = data_for([scaled], DataConfig(name="folder"))
    assert (seen.bands, seen.scale) == ((5, 2, 3, 1), (0, 10))
    with pytest.raises(ConfigError, match="bands 1, 2, 3 are named"):
        data_for([scaled], DataConfig(name="folder", bands=(1, 2, 3)))
    with pytest.raises(ModelError, match="different"):
        data_for([seeing(), predictor()], DataConfig(name="folder"))


def test_a_video_has_no_more_than_colors(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (40, 48))
    writer.write(np.zeros((48, 40, 3), np.uint8))
    writer.release()
    with pytest.raises(ConfigError, match=r"a\.avi` has 3 colors, the model sees 4 bands"):
        predict_video(seeing(), str(tmp_path / "a.avi"), tmp_path / "out")


@pytest.mark.parametrize("count", [1, 2, 4, 16])
def test_a_file_sees_as_many_bands_as_its_input_has(tmp_path: Path, count: int) -> None:
    bands = tuple(range(1, count + 1))
    described = dataclasses.replace(METADATA, bands=bands, scale=(0.0, 9.0) * count)
    path = tmp_path / "model.tflite"
    path.write_bytes(embed_metadata(image_model(count), described))
    opened = open_predictor(path)
    assert (opened.num_bands, opened.channels) == (count, Channels(bands, (0.0, 9.0) * count))
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, count), dtype=np.uint8)
    np.testing.assert_array_equal(opened.predict(image), TFLiteRunner(path).classes(image))


def test_a_file_whose_description_names_other_bands_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(embed_metadata(image_model(4), dataclasses.replace(METADATA, bands=(1, 2, 3))))
    with pytest.raises(ModelError, match="takes 4 bands but its metadata names 1, 2, 3"):
        open_predictor(path)
