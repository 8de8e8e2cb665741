"""A `.keras` file knows its classes, wherever it goes."""

import shutil

import keras
import numpy as np

from rsseg_tf.config import dump_yaml, load_config
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.steps.shared.model_classes import classes_of, keep_classes

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
