from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.datasets.images.pixels import read_image, read_indices, write_image
from rsseg_tf.datasets.images.resize import resized_mask
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.inference.areas import class_areas
from rsseg_tf.inference.folders import find_images, output_names, predict_files
from rsseg_tf.inference.predict import ForeignModel, TiledPredictor, open_predictor, with_overlap
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.run_folder import only_writer
from rsseg_tf.tflite.ports import Normalization
from tests.tflite.networks import METADATA, SIZE, frame

PALETTE = Palette(("dark", "bright"), ((0, 0, 90), (250, 250, 0)))


class Brightness:
    """A network that calls a pixel bright where its red is; it counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.calls += 1
        bright = images[..., :1].astype(np.float32)
        return np.concatenate([127.5 - bright, bright - 127.5], axis=-1)


def predictor(infer: Brightness | None = None, **changes: object) -> TiledPredictor:
    options = {"input_size": (16, 16), "overlap": 4, "model_sha256": "m", **changes}
    return TiledPredictor(infer or Brightness(), PALETTE, **options)  # type: ignore[arg-type]


def image_files(folder: Path, *names: str) -> list[Path]:
    for number, name in enumerate(names):
        write_image(folder / name, frame(number, 20, 30))
    return [folder / name for name in names]


@given(st.integers(1, 50), st.integers(1, 50))
def test_tiles_give_a_class_to_every_pixel(height: int, width: int) -> None:
    image = frame(0, height, width)
    assert np.array_equal(predictor().predict(image), image[..., 0] > 127)


@given(st.integers(1, 50), st.integers(1, 50))
def test_a_resizing_predictor_runs_once_and_gives_a_class_to_every_pixel(height: int, width: int) -> None:
    infer = Brightness()
    classes = predictor(infer, fitting="resize").predict(frame(0, height, width))
    assert classes.shape == (height, width)
    assert infer.calls == 1


def test_an_image_of_the_network_s_size_is_neither_resized_nor_tiled() -> None:
    image = frame(0, 16, 16)
    for fitting in ("crop", "resize"):
        assert np.array_equal(predictor(fitting=fitting).predict(image), image[..., 0] > 127)


@given(st.integers(1, 9))
def test_a_mask_that_grows_and_shrinks_again_is_what_it_was(factor: int) -> None:
    mask = np.random.default_rng(0).integers(0, 5, (7, 11), dtype=np.uint8)
    assert np.array_equal(resized_mask(resized_mask(mask, (7 * factor, 11 * factor)), (7, 11)), mask)


def test_a_file_with_metadata_sets_the_predictor_up(models: Path) -> None:
    opened = open_predictor(models / "sealed.tflite")
    assert opened.palette.names == METADATA.class_names
    assert opened.overlap == METADATA.overlap
    assert opened.ground_sampling_distance_m == METADATA.ground_sampling_distance_m


def test_a_file_on_one_tile_gives_the_runner_s_classes(models: Path) -> None:
    path = models / "sealed.tflite"
    assert np.array_equal(open_predictor(path).predict(frame()), TFLiteRunner(path).classes(frame()))


def test_a_file_without_metadata_numbers_its_classes(models: Path) -> None:
    opened = open_predictor(models / "int8.tflite")
    assert opened.palette.names == ("class 0", "class 1", "class 2", "class 3")
    assert opened.predict(frame(0, 50, 70)).shape == (50, 70)


def test_a_file_without_metadata_takes_the_palette_it_is_given(models: Path) -> None:
    palette = Palette(METADATA.class_names, METADATA.class_colors)
    assert open_predictor(models / "int8.tflite", palette=palette).palette == palette


def test_a_foreign_file_is_what_is_said_of_it(models: Path) -> None:
    foreign = ForeignModel(("a", "b", "c", "d"), "resize", Normalization(0, 255))
    opened = open_predictor(models / "float32.tflite", foreign=foreign)
    assert (opened.palette.names, opened.fitting) == (("a", "b", "c", "d"), "resize")
    expected = TFLiteRunner(models / "float32.tflite", normalization=Normalization(0, 255)).classes(frame())
    assert np.array_equal(opened.predict(frame()), expected)


@pytest.mark.parametrize(
    ("file", "foreign"),
    [("sealed.tflite", ForeignModel(fitting="resize")), ("int8.tflite", ForeignModel(class_names=("a", "b")))],
)
def test_what_does_not_fit_the_file_is_refused(models: Path, file: str, foreign: ForeignModel) -> None:
    with pytest.raises(ConfigError, match=file):
        open_predictor(models / file, foreign=foreign)


@pytest.mark.parametrize("overlap", [-1, SIZE])
def test_an_overlap_as_large_as_a_tile_is_refused(models: Path, overlap: int) -> None:
    with pytest.raises(ConfigError, match="overlap"):
        with_overlap(open_predictor(models / "sealed.tflite"), overlap)


def test_every_image_gets_a_class_map_an_overlay_and_a_record(tmp_path: Path) -> None:
    (image,) = image_files(tmp_path / "in", "a.png")
    (record,) = predict_files(predictor(), [image], tmp_path / "out")
    truth = frame(0, 20, 30)[..., 0] > 127
    assert np.array_equal(read_indices(tmp_path / "out/a_classes.png"), truth)
    assert read_image(tmp_path / "out/a_overlay.jpg").shape == (20, 30, 3)
    assert json.loads((tmp_path / "out/a.json").read_text()) == record
    assert record["classes"]["bright"]["pixels"] == truth.sum()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.json",
        "a_classes.png",
        "a_classes.qml",
        "a_overlay.jpg",
    ]


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.01, 10))
def test_areas_add_up_to_the_image(height: int, width: int, meters: float) -> None:
    classes = (frame(1, height, width)[..., 0] > 127).astype(np.uint8)
    areas = class_areas(classes, PALETTE.names, ground_sampling_distance_m=meters).values()
    assert sum(area["pixels"] for area in areas) == height * width
    assert sum(area["share"] for area in areas) == pytest.approx(1)
    assert sum(area["area_m2"] for area in areas) == pytest.approx(height * width * meters**2)


def test_without_the_size_of_a_pixel_there_is_no_area() -> None:
    areas = class_areas(np.zeros((3, 3), np.uint8), PALETTE.names)
    assert areas["dark"] == {"pixels": 9, "share": 1.0, "area_m2": None}


def test_what_was_predicted_is_not_predicted_again(tmp_path: Path) -> None:
    images = image_files(tmp_path / "in", "a.png", "b.png")
    first = predict_files(predictor(), images[:1], tmp_path / "out")
    infer = Brightness()
    both = predict_files(predictor(infer), images, tmp_path / "out")
    assert both[0] == first[0]
    assert infer.calls == 2  # the two rows of tiles of the second image alone
    assert predict_files(predictor(infer), images, tmp_path / "out") == both
    assert infer.calls == 2


def test_overwrite_predicts_again(tmp_path: Path) -> None:
    images = image_files(tmp_path / "in", "a.png")
    predict_files(predictor(), images, tmp_path / "out")
    infer = Brightness()
    predict_files(predictor(infer), images, tmp_path / "out", overwrite=True)
    assert infer.calls > 0


@pytest.mark.parametrize("changes", [{"model_sha256": "other"}, {"overlap": 5}, {"fitting": "resize"}])
def test_results_of_another_model_or_setting_are_not_mixed_in(tmp_path: Path, changes: dict[str, object]) -> None:
    images = image_files(tmp_path / "in", "a.png")
    predict_files(predictor(), images, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"a\.json"):
        predict_files(predictor(**changes), images, tmp_path / "out")


def test_results_of_another_image_of_that_name_are_not_mixed_in(tmp_path: Path) -> None:
    predict_files(predictor(), image_files(tmp_path / "in", "a.png"), tmp_path / "out")
    other = image_files(tmp_path / "other", "b.png", "a.png")[1:]
    with pytest.raises(ConfigError, match=r"a\.json"):
        predict_files(predictor(), other, tmp_path / "out")


def test_results_do_not_go_among_the_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds images"):
        predict_files(predictor(), image_files(tmp_path, "a.png"), tmp_path)


def test_a_truncated_image_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    (image,) = image_files(tmp_path / "in", "a.png")
    image.write_bytes(image.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"a\.png"):
        predict_files(predictor(), [image], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_are_found_in_files_folders_and_patterns_once_each(tmp_path: Path) -> None:
    images = image_files(tmp_path, "a.png", "b.jpg", "sub/c.TIF".lower())
    (tmp_path / "notes.txt").write_text("no image")
    assert find_images([str(tmp_path)]) == images
    assert find_images([str(tmp_path / "*.png"), str(tmp_path)]) == images
    assert find_images([str(tmp_path / "**/c.tif")]) == images[2:]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_files(tmp_path, "a.png", "locked/b.png")
    scan = os.scandir

    def refusing(folder: str) -> object:
        if Path(folder).name == "locked":  # the mode of a folder would not keep root out
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match="locked"):
        find_images([str(tmp_path)])


@pytest.mark.parametrize("word", ["missing.png", "empty", "*.png"])
def test_a_word_that_names_no_image_is_an_error(tmp_path: Path, word: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image"):
        find_images([str(tmp_path / word)])


@given(
    st.lists(st.sampled_from(["a/1.png", "a/1.jpg", "b/1.png", "c/b_1_png.png", "c/2.png", "x/a/1.png"]), unique=True)
)
def test_names_of_outputs_are_unique_even_where_case_does_not_count(paths: list[str]) -> None:
    names = output_names([Path(path) for path in paths])
    assert len({name.lower() for name in names}) == len(paths)


def test_two_processes_do_not_predict_into_one_folder(tmp_path: Path) -> None:
    images = image_files(tmp_path / "in", "a.png")
    with only_writer(tmp_path / "out"), pytest.raises(ConfigError, match="another process writes to"):
        predict_files(predictor(), images, tmp_path / "out")
    assert len(predict_files(predictor(), images, tmp_path / "out")) == 1
