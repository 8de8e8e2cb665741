"""A `.keras` file knows its classes, wherever it goes."""

import shutil

import keras
import numpy as np
import pytest

from rsseg_tf.config import dump_yaml, load_config
from rsseg_tf.config.reading import overridden
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.steps.shared.model_classes import classes_of, keep_classes, learned_pixel_m, pixel_m_of, with_pixel_m
from tests.inference.rasters import geotiff, origin
from tests.tflite.networks import frame

PALETTE = Palette(("Straße", "roof"), ((1, 2, 3), (255, 0, 9)))


def saved(path):
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 1)(image))
    model.save(path)
    return model


def test_classes_stay_in_the_file_and_keras_loads_it(tmp_path):
    model = saved(tmp_path / "model.keras")
    keep_classes(tmp_path / "model.keras", PALETTE)
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.copy(tmp_path / "model.keras", tmp_path / "elsewhere" / "other.keras")

    assert classes_of(tmp_path / "elsewhere" / "other.keras") == PALETTE
    for ours, theirs in zip(keras.models.load_model(moved).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_file_that_does_not_say_takes_those_of_its_run_and_one_alone_has_none(tmp_path):
    saved(tmp_path / "model.keras")
    assert classes_of(tmp_path / "model.keras") is None
    config = load_config(overrides=["data.name=folder", "data.root=x", "data.folder.classes={a: '010203', b: FF0009}"])
    (tmp_path / "config.yaml").write_text(dump_yaml(config))

    found = classes_of(tmp_path / "model.keras")
    assert found is not None
    assert (found.names, found.colors) == (("a", "b"), ((1, 2, 3), (255, 0, 9)))


def test_damaged_or_foreign_members_are_not_believed(tmp_path):
    import zipfile

    for text in ("{", "[]", '{"class_names": ["a"], "class_colors": [[1, 2]]}', '{"class_names": 3}'):
        path = tmp_path / "model.keras"
        saved(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("rsseg_tf.json", text)
        assert classes_of(path) is None
    (tmp_path / "no.keras").write_bytes(b"no zip")
    assert classes_of(tmp_path / "no.keras") is None


def test_what_is_nested_too_deep_is_not_believed(tmp_path):
    import zipfile

    saved(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras", "a") as archive:
        archive.writestr("rsseg_tf.json", "[" * 20_000 + "]" * 20_000)
    assert classes_of(tmp_path / "model.keras") is None


@pytest.mark.parametrize("side", [0.0, 0.3])
def test_the_size_of_a_pixel_stays_in_the_file_and_serves_where_settings_say_nothing(tmp_path, side):
    saved(tmp_path / "model.keras")
    assert pixel_m_of(tmp_path / "model.keras") == 0
    keep_classes(tmp_path / "model.keras", PALETTE, pixel_m=side)
    learned = pixel_m_of(tmp_path / "model.keras")
    said = load_config(overrides=["data.ground_sampling_distance_m=2"])

    assert learned == side
    assert with_pixel_m(load_config(), learned).data.ground_sampling_distance_m == side
    assert with_pixel_m(said, learned) == said


def placed_data(folder, *sides):
    """Georeferenced pairs with pixels of some sizes; without a georeference for None."""
    lines = ["image,mask,split"]
    for number, side in enumerate(sides):
        if side is None:
            write_image(folder / f"{number}.png", frame(0, 20, 30))
        else:
            geotiff(folder / f"{number}.tif", frame(0, 20, 30), transform=origin(325_000, 2_780_000, side))
        lines.append(f"{number}.{'png' if side is None else 'tif'},mask.png,train")
    write_image(folder / "mask.png", np.zeros((20, 30), np.uint8))
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    words = [
        "data.name=folder",
        f"data.root={folder}",
        "data.folder.pairs=pairs.csv",
        "data.folder.classes={a: 0, b: 1}",
    ]
    return load_config(overrides=words)


@pytest.mark.parametrize(
    ("sides", "learned"),
    [((0.3, 0.3, 0.05), 0.3), ((0.3, None), 0.0), ((None,), 0.0), ((0.3, 0.3, None), 0.3)],
)
def test_a_model_learns_from_pixels_as_large_as_most_images_say(tmp_path, sides, learned):
    config = placed_data(tmp_path, *sides)
    dataset = open_dataset(config.data)

    assert learned_pixel_m(config, dataset) == pytest.approx(learned, rel=1e-3)
    assert learned_pixel_m(overridden(config, ["data.ground_sampling_distance_m=2"]), dataset) == 2
    assert learned_pixel_m(overridden(config, ["data.fitting=resize"]), dataset) == 0
