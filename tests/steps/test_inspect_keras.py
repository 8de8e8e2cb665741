"""What `inspect` says of `.keras` files: layers, groups, the largest cut."""

from __future__ import annotations

import json

import keras
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.cli.main import main


@pytest.fixture
def saved(tmp_path):
    """The path of a saved network: two 16-channel convolutions that are added, one of 24 channels, and a classifier."""

    def save(size=8):
        inputs = keras.Input((size, size, 3), name="image")
        left = layers.Conv2D(16, 3, padding="same", name="left")(inputs)
        right = layers.Conv2D(16, 1, name="right")(inputs)
        x = layers.Conv2D(24, 1, name="middle")(left + right)
        model = keras.Model(inputs, layers.Conv2D(2, 1, name="classifier")(x), name="net")
        model.save(tmp_path / "net.keras")
        return tmp_path / "net.keras"

    return save


def printed(capsys, *words):
    assert main(["inspect", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_groups_and_the_largest_cut_are_json_with_stable_keys(saved, capsys):
    facts = json.loads(printed(capsys, saved(), "--groups", "--json"))
    assert list(facts) == ["model", "params", "macs", "int8_bytes", "groups", "families", "frozen", "largest_cut"]
    # left: 28 · 16, right: 4 · 16, middle: 17 · 24, classifier: 25 · 2 parameters; 64 positions.
    assert (facts["params"], facts["macs"], facts["groups"]) == (970, 64 * (27 * 16 + 3 * 16 + 16 * 24 + 24 * 2), 40)
    assert facts["families"] == [
        # A group's two filters and biases, and the 24 weights of `middle` that read it.
        {
            "groups": 16,
            "members": {"left": 1, "right": 1},
            "params": 28 + 4 + 24,
            "macs": 64 * (27 + 3 + 24),
            "int8_bytes": 27 + 3 + 24 + 8,
        },
        {"groups": 24, "members": {"middle": 1}, "params": 17 + 2, "macs": 64 * 18, "int8_bytes": 18 + 4},
    ]
    assert facts["frozen"] == {"image": "is an input of the model", "classifier": "is an output of the model"}
    # Every layer but the classifier keeps 8 channels.
    assert facts["largest_cut"] == {
        "round_to": 8,
        "min_channels": 8,
        "params": (32 * 8 + 9 * 8 + 9 * 2) / 970,
        "macs": (30 * 8 + 8 * 8 + 8 * 2) / (30 * 16 + 16 * 24 + 24 * 2),
        "int8_bytes": (30 * 8 + 8 * 8 + 8 * 2 + 4 * 26) / (30 * 16 + 16 * 24 + 24 * 2 + 4 * 58),
    }


def test_groups_are_printed_with_members_costs_reasons_and_the_largest_cut(saved, capsys):
    assert printed(capsys, saved(), "--groups").splitlines() == [
        "net: 40 groups in 2 families",
        "    16 groups of left + right: 56 params, 3,456 MACs each",
        "    24 groups of middle: 19 params, 1,152 MACs each",
        "frozen `image`: is an input of the model",
        "frozen `classifier`: is an output of the model",
        "the largest cut (kept counts multiples of 8 and at least 8) leaves 35.7% of the params, "
        "35.1% of the MACs, 37.1% of the int8 bytes",
    ]


def test_an_open_input_size_leaves_the_macs_out(saved, capsys):
    path = saved(None)
    facts = json.loads(printed(capsys, path, "--groups", "--json"))
    assert facts["macs"] is facts["largest_cut"]["macs"] is facts["families"][0]["macs"] is None
    text = printed(capsys, path, "--groups").splitlines()
    assert text[1].endswith("56 params, unknown MACs each")
    assert text[-1].endswith("leaves 35.7% of the params, 37.1% of the int8 bytes")
    assert printed(capsys, path).splitlines()[0].endswith("970 parameters, an unknown number of multiply-accumulates")


def test_layers_of_nested_models_and_operations_and_shared_layers_are_listed(tmp_path, capsys):
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 1, name="inside")], name="inner")
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, inner(inner(inputs)) * 2.0)
    model.save(tmp_path / "net.keras")
    facts = json.loads(printed(capsys, tmp_path / "net.keras", "--json"))
    assert [(layer["name"], layer["output_shape"]) for layer in facts["layers"]] == [
        ("inside", [None, 8, 8, 3]),
        (facts["layers"][1]["name"], [None, 8, 8, 3]),
    ]
    assert facts["layers"][0]["macs"] == facts["macs"] == 2 * 64 * 9


def wide(tmp_path, size):
    """The path of a saved network whose 3×3 kernel at rate 8 is a 3×1 on (9, 8), and all live on an open size."""
    inputs = keras.Input((*size, 3), name="image")
    x = layers.Conv2D(16, 3, padding="same", dilation_rate=8, name="wide")(inputs)
    keras.Model(inputs, layers.Conv2D(2, 1, name="classifier")(x), name="net").save(tmp_path / "net.keras")
    return tmp_path / "net.keras"


def test_a_model_is_shown_layer_by_layer_with_what_never_meets_the_picture(tmp_path, capsys):
    path = wide(tmp_path, (9, 8))
    facts = json.loads(printed(capsys, path, "--json"))
    assert list(facts) == [*("model", "params", "macs", "bytes", "dead_params", "dead_macs", "uncounted", "layers")]
    assert facts["uncounted"] == []
    assert list(facts["layers"][0]) == [*("name", "type", "output_shape", "params", "macs", "bytes", "dead_params")]
    assert (facts["params"], facts["dead_params"]) == (28 * 16 + 34, 6 * 3 * 16)
    assert (facts["macs"], facts["dead_macs"]) == (72 * (27 * 16 + 32), 72 * 18 * 16)
    assert [layer["dead_params"] for layer in facts["layers"]] == [18 * 16, 0]
    text = printed(capsys, path).splitlines()
    assert text[0] == f"{path}: 482 parameters, 33,408 multiply-accumulates"
    assert text[1].startswith("of these 288 parameters (59.8%) and 20,736 multiply-accumulates are of taps that never")
    assert text[-2].split() == ["wide", "Conv2D", "?×9×8×16", "448", "31,104", "1,792"]


def test_groups_cost_what_they_do_once_such_taps_are_gone(tmp_path, capsys):
    facts = json.loads(printed(capsys, wide(tmp_path, (9, 8)), "--groups", "--json"))
    assert facts["params"] == 10 * 16 + 34
    assert facts["families"][0]["params"] == 10 + 2


def test_a_model_of_live_taps_alone_says_nothing_of_dead_ones(tmp_path, capsys):
    path = wide(tmp_path, (None, None))
    facts = json.loads(printed(capsys, path, "--json"))
    assert (facts["dead_params"], facts["dead_macs"]) == (0, None)
    assert "never meet" not in printed(capsys, path)


def test_the_largest_cut_can_be_built_and_keeps_skipped_layers(saved):
    model = keras.saving.load_model(saved())
    plan = pruning.largest_cut(pruning.find_groups(model), round_to=4, min_channels=6, skip=("right",))
    assert {name: len(kept) for name, kept in plan.keep.items()} == {"middle": 8}
    assert pruning.cost(pruning.rebuild(model, plan)).params == plan.cost["params"]


def test_groups_of_a_tflite_file_are_a_clear_error(tmp_path, capsys):
    (tmp_path / "net.tflite").write_bytes(b"")
    assert main(["inspect", str(tmp_path / "net.tflite"), "--groups"]) == 2
    captured = capsys.readouterr()
    assert "`--groups` reads .keras files" in captured.err
    assert "give the .keras file that it was exported from" in captured.err
