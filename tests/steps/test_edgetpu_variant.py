"""`export-tflite --for edgetpu`: a file that maps whole, or no file and the reasons."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.config import ExportConfig
from rsseg_tf.config.export import check_export
from rsseg_tf.errors import ConfigError
from rsseg_tf.number_formats import FORMATS
from rsseg_tf.steps.edgetpu_variant import for_target
from rsseg_tf.tflite.metadata import read_metadata

SIZE = 64
SETTINGS = """
data: {name: scenes, input_size: [64, 64], scenes: {train: 4, val: 2, test: 2, size: 64}}
export: {calibration_samples: 2, check_samples: 2, max_drop: 100}
"""


def network(*, activation: str = "relu", enlarge: str = "bilinear") -> keras.Model:
    """A few channels, six classes, and an enlargement at the end."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(8, 3, strides=4, padding="same", activation=activation, name="features")(image)
    x = keras.layers.Conv2D(6, 1, name="classifier")(x)
    if enlarge == "transposed":
        return keras.Model(image, keras.layers.Conv2DTranspose(6, 8, strides=4, padding="same")(x))
    return keras.Model(image, keras.layers.UpSampling2D(4, interpolation=enlarge, name="logits")(x))


def export(folder: Path, model: keras.Model, *arguments: str) -> int:
    (folder / "settings.yaml").write_text(SETTINGS)
    model.save(folder / "model.keras")
    return main(["export-tflite", str(folder / "model.keras"), "-c", str(folder / "settings.yaml"), *arguments])


def test_the_processor_gets_what_was_asked_for():
    asked = ExportConfig(type="float16", head="classes")

    assert for_target(asked, network()) == asked


@pytest.mark.parametrize("asked", ["logits", "classes", "logits-low"])
def test_the_host_enlarges_and_finds_the_largest_logit(asked):
    assert for_target(ExportConfig(head=asked, target="edgetpu"), network()).head == "logits-low"


def test_a_network_without_a_bilinear_end_keeps_its_logits():
    assert for_target(ExportConfig(head="classes", target="edgetpu"), network(enlarge="transposed")).head == "logits"


@pytest.mark.parametrize("number_format", [name for name, known in FORMATS.items() if not known.is_int8])
def test_other_numbers_than_int8_are_refused(number_format):
    with pytest.raises(ConfigError, match=number_format) as caught:
        check_export(ExportConfig(type=number_format, target="edgetpu"))

    assert "export.type=int8" in caught.value.hint


def test_the_file_maps_whole_and_says_so(tmp_path, capsys):
    assert export(tmp_path, network(), "--for", "edgetpu", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    path = tmp_path / "model_int8_for-edgetpu.tflite"

    assert result["model"] == str(path)
    assert result["head"] == "logits-low"
    assert (result["edgetpu"]["maps_fully"], result["edgetpu"]["mac_share"]) == (True, 1.0)
    assert read_metadata(path.read_bytes()).head == "logits-low"


def test_the_processors_file_is_not_linted(tmp_path, capsys):
    assert export(tmp_path, network(), "--json", "export.head=logits") == 0

    assert json.loads(capsys.readouterr().out)["edgetpu"] is None


def test_a_network_that_does_not_map_leaves_no_file_and_is_told_why(tmp_path, capsys):
    assert export(tmp_path, network(activation="leaky_relu"), "export.target=edgetpu") == 3
    message = capsys.readouterr().err

    assert "LEAKY_RELU" in message
    assert "features" in message
    assert "use ReLU" in message
    assert {path.name for path in tmp_path.iterdir()} == {"settings.yaml", "model.keras"}
