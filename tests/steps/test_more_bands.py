"""A survey of four bands from its files to a class map, where near infrared alone tells lawn from plastic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.datasets.images.pixels import read_image, read_indices, write_image
from rsseg_tf.tflite.metadata import read_metadata
from tests.datasets.images.formats import tiff
from tests.inference.rasters import geotiff, origin, stored

SIZE = 64
COLORS = ["data.bands=[1,2,3]", "data.scale=[0,3000]"]


def scene(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Red, green, blue and near infrared of 16 bits, and 1 where there is lawn: bright in near infrared alone."""
    rng = np.random.default_rng(number)
    mask = np.kron(rng.integers(0, 2, (2, 2)), np.ones((32, 32), np.int64)).astype(np.uint8)
    pixels = rng.normal([700, 1500, 600, 0], 150, (SIZE, SIZE, 4))
    pixels[..., 3] += np.where(mask, 4500, 1200)
    return np.clip(pixels, 0, 65_535).astype(np.uint16), mask


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("survey")
    for number, split in enumerate(("train", "train", "train", "train", "val", "val", "test", "test")):
        pixels, mask = scene(number)
        geotiff(
            root / "images" / split / f"{number}.tif", pixels, transform=origin(325_000 + 100 * number, 2_780_000, 0.5)
        )
        write_image(root / "masks" / split / f"{number}.png", mask)
    (root / "survey.yaml").write_text(
        f"data: {{name: folder, root: '{root}', input_size: [32, 32], bands: [1, 2, 3, 4],\n"
        "  scale: [0, 3000, 0, 3000, 0, 3000, 0, 6000], folder: {classes: {plastic: 0, lawn: 1}}}\n"
        "model: {width: 0.25, aspp: separable, decoder: none, aspp_width: 32}\n"
        "fit: &recipe {epochs: 1, steps_per_epoch: 40, batch_size: 4, optimizer: adamw, learning_rate: 0.002,\n"
        "  augment: {flip_vertical: true, color: 0.2, blur_px: 0.5, noise: 2}}\n"
        "prune: {macs: 0.5, loops: 1, batches: 2, recalibration_batches: 2,\n"
        "  retrain: {epochs: 1, steps_per_epoch: 14, batch_size: 4, optimizer: adamw, learning_rate: 0.001}}\n"
        "export: {calibration_samples: 8, check_samples: 4, max_drop: 100}\nevaluate: {overlap: 8}\n"
    )
    return root


@pytest.fixture(scope="module")
def workshop(survey: Path) -> Path:
    """A dense run, a pruned one, and the int8 file of that."""
    assert main(["data", "check", "-c", str(survey / "survey.yaml")]) == 0
    assert main(["fit", "-c", str(survey / "survey.yaml"), "-o", str(survey / "dense")]) == 0
    assert main(["prune", str(survey / "dense"), "-o", str(survey / "pruned")]) == 0
    assert main(["export-tflite", str(survey / "pruned"), "-o", str(survey / "pruned.tflite")]) == 0
    return survey


def miou(words: list[str], capsys: pytest.CaptureFixture[str]) -> float:
    capsys.readouterr()
    assert main(["evaluate", *words, "--json"]) == 0
    return float(json.loads(capsys.readouterr().out)["miou"])


def test_the_file_says_what_it_sees(workshop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metadata = read_metadata((workshop / "pruned.tflite").read_bytes())
    assert metadata is not None
    assert metadata.bands == (1, 2, 3, 4)
    assert metadata.scale == (0, 3000, 0, 3000, 0, 3000, 0, 6000)
    assert main(["inspect", str(workshop / "pruned.tflite")]) == 0
    said = capsys.readouterr().out
    assert "uint8 1×32×32×4" in said
    assert "bands 1, 2, 3, 4, scaled by 0, 3000, 0, 3000, 0, 3000, 0, 6000" in said


@pytest.mark.parametrize("model", ["dense", "pruned", "pruned.tflite"])
def test_four_bands_tell_the_classes_apart(workshop: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert miou([str(workshop / model), "-c", str(workshop / "survey.yaml")], capsys) > 0.7


@pytest.mark.slow
def test_three_bands_do_not(workshop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["-c", str(workshop / "survey.yaml")]
    assert main(["fit", *settings, "-o", str(tmp_path / "colors"), *COLORS]) == 0
    assert miou([str(tmp_path / "colors")], capsys) < 0.55


def test_reports_benchmarks_and_contact_sheets_take_four_bands(
    workshop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = [str(workshop / name) for name in ("dense", "pruned", "pruned.tflite")]
    assert main(["report", *inputs, "-o", str(tmp_path / "report"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []
    assert main(["benchmark", str(workshop / "pruned.tflite"), "--repeats", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["p50_ms"] > 0
    sheet = tmp_path / "sheet.png"
    assert main(["data", "show", "-c", str(workshop / "survey.yaml"), "--split", "test", "-o", str(sheet)]) == 0
    shown = read_image(sheet)[4 : 4 + SIZE, 4 : 4 + SIZE]
    assert shown.mean((0, 1)) == pytest.approx(np.array([700, 1500, 600]) / 3000 * 255, abs=12)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("evaluate", "the settings of the data name 3"),
        ("prune", "the settings of the data name 3"),
        ("export-tflite", "the settings of the data name 3"),
    ],
)
def test_settings_of_other_bands_are_one_clear_error(
    workshop: Path, tmp_path: Path, command: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [] if command == "evaluate" else ["-o", str(tmp_path / "out")]
    assert main([command, str(workshop / "dense"), *out, *COLORS]) == 1
    said = capsys.readouterr().err
    assert "sees 4 bands" in said
    assert words in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("model", ["pruned", "pruned.tflite"])
def test_a_class_map_needs_no_options(workshop: Path, tmp_path: Path, model: str) -> None:
    pixels, mask = scene(7)
    tiff(pixels)(tmp_path / "plain.tif")  # which is predicted as a whole, a georeferenced one in strips
    images = [str(workshop / "images/test/7.tif"), str(tmp_path / "plain.tif")]
    assert main(["predict", str(workshop / model), *images, "-o", str(tmp_path / "out")]) == 0
    classes = read_indices(tmp_path / "out/plain_classes.png")
    assert (classes == mask).mean() > 0.8
    np.testing.assert_array_equal(stored(tmp_path / "out/7_classes.tif"), classes)
    one, other = (read_image(tmp_path / f"out/{name}_overlay.jpg") for name in ("7", "plain"))
    assert one.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(one, other)
