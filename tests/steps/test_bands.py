"""Surveys of more bands and bits than a network sees: what the settings say of them goes with the model."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.datasets.images.pixels import read_indices, write_image
from rsseg_tf.tflite.metadata import read_metadata
from tests.datasets.images.formats import tiff

SIZE = 64


def scene(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Blue, green, red and near infrared of 12 bits, and the number of the strongest of red, green and blue."""
    rng = np.random.default_rng(number)
    mask = np.kron(rng.integers(0, 3, (4, 4)), np.ones((16, 16), np.int64)).astype(np.uint8)
    colors = np.where(mask[..., None] == np.arange(3), 3600, 400) + rng.integers(0, 90, (SIZE, SIZE, 3))
    infrared = rng.integers(0, 4096, (SIZE, SIZE, 1))
    return np.dstack([colors[..., ::-1], infrared]).astype(np.uint16), mask


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bands")
    for number, split in enumerate(("train", "train", "val", "test")):
        pixels, mask = scene(number)
        (root / "images" / split).mkdir(parents=True, exist_ok=True)
        tiff(pixels)(root / "images" / split / f"{number}.tif")
        write_image(root / "masks" / split / f"{number}.png", mask)
    pixels = keras.Input((32, 32, 3))
    layer = keras.layers.Conv2D(3, 1, use_bias=False, name="strongest")
    model = keras.Model(pixels, layer(pixels))
    layer.set_weights([np.eye(3, dtype=np.float32)[None, None]])
    model.save(root / "model.keras")
    (root / "config.yaml").write_text(
        f"data: {{name: folder, root: '{root}', input_size: [32, 32], bands: [3, 2, 1], scale: [0, 4095],"
        " folder: {classes: {red: 0, green: 1, blue: 2}}}\n"
        "export: {calibration_samples: 3, check_samples: 2, max_drop: 100}\nevaluate: {overlap: 0}\n"
    )
    assert main(["export-tflite", str(root / "model.keras"), "-o", str(root / "model.tflite")]) == 0
    return root


def test_the_settings_say_which_bands_and_the_check_finds_nothing_wrong(
    workshop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", "-c", str(workshop / "config.yaml")]) == 0
    assert main(["data", "check", "-c", str(workshop / "config.yaml"), "data.bands=[]", "data.scale=[]"]) == 3
    assert "does not say which are red, green and blue" in capsys.readouterr().out


def test_the_model_file_remembers_them(workshop: Path) -> None:
    metadata = read_metadata((workshop / "model.tflite").read_bytes())
    assert metadata is not None
    assert (metadata.bands, metadata.scale) == ((3, 2, 1), (0.0, 4095.0))


@pytest.mark.parametrize("model", ["model.tflite", "model.keras"])
def test_a_model_sees_the_bands_that_it_was_trained_on(
    workshop: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = workshop / "images/test/3.tif"
    assert main(["predict", str(workshop / model), str(image), "-o", str(tmp_path / "out")]) == 0
    np.testing.assert_array_equal(read_indices(tmp_path / "out/3_classes.png"), scene(3)[1])
    words = ["-c", str(workshop / "config.yaml"), "--json"]
    capsys.readouterr()
    for also in ([], ["data.bands=[]", "data.scale=[]"]):
        assert main(["evaluate", str(workshop / model), *words, *also]) == 0
        assert json.loads(capsys.readouterr().out)["miou"] == 1.0
        if model == "model.keras":
            break  # which knows of bands by its settings alone


def test_other_bands_can_be_asked_for(workshop: Path, tmp_path: Path) -> None:
    words = [
        "predict",
        str(workshop / "model.tflite"),
        str(workshop / "images/test/3.tif"),
        "-o",
        str(tmp_path / "out"),
    ]
    assert main([*words, "--bands", "1,2,3"]) == 0
    swapped = 2 - scene(3)[1].astype(int)
    np.testing.assert_array_equal(read_indices(tmp_path / "out/3_classes.png"), swapped)


def test_an_image_without_the_band_is_one_clear_error(
    workshop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiff(scene(0)[0][..., :2])(tmp_path / "two.tif")
    assert (
        main(["predict", str(workshop / "model.tflite"), str(tmp_path / "two.tif"), "-o", str(tmp_path / "out")]) == 2
    )
    said = capsys.readouterr().err
    assert "two.tif` has 2 bands, the settings ask for 3" in said
    assert "Traceback" not in said
