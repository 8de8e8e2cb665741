from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.config import Config, FolderConfig, dump_yaml, load_config
from rsseg_tf.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def test_defaults_are_the_papers_recipe():
    fit = Config().fit

    assert (fit.epochs, fit.batch_size, fit.learning_rate, fit.momentum, fit.l2) == (80, 8, 1e-3, 0.9, 1e-3)
    assert (fit.schedule, fit.step_epochs, fit.step_factor) == ("step", 10, 0.3)
    assert (fit.augment.flip_horizontal, fit.augment.translate_px) == (True, 10)


def test_command_line_beats_yaml_beats_defaults(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("fit: {epochs: 3, batch_size: 2}\n")

    config = load_config(path, ["fit.epochs=5"])

    assert (config.fit.epochs, config.fit.batch_size, config.fit.momentum) == (5, 2, 0.9)


@pytest.mark.parametrize(
    ("word", "value"), [("1e-4", 1e-4), ("1.0e-4", 1e-4), ("3", 3.0), (".5", 0.5), ("1_000.0", 1000.0)]
)
def test_numbers_are_read_by_the_fields_type(word, value):
    assert load_config(overrides=[f"fit.learning_rate={word}"]).fit.learning_rate == value


def test_colors_of_digits_stay_text(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("data: {name: folder, folder: {classes: {road: 000000, tree: 12E456}}}\n")

    assert load_config(path).data.folder.classes == {"road": "000000", "tree": "12E456"}


WORDS = st.text("abcz019_*-: #'é", min_size=1, max_size=8)


@given(
    epochs=st.integers(1, 10**6),
    rate=st.floats(1e-9, 1, allow_nan=False),
    flip=st.booleans(),
    classes=st.dictionaries(WORDS, WORDS, max_size=3),
    skip=st.lists(WORDS, max_size=3),
)
def test_what_is_dumped_loads_to_the_same(tmp_path_factory, epochs, rate, flip, classes, skip):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    default = Config()
    augment = replace(default.fit.augment, flip_vertical=flip)
    config = replace(
        default,
        fit=replace(default.fit, epochs=epochs, learning_rate=rate, augment=augment),
        data=replace(default.data, folder=FolderConfig(classes=classes)),
        prune=replace(default.prune, skip=tuple(skip)),
    )
    path.write_text(dump_yaml(config), encoding="utf-8")

    assert load_config(path) == config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path):
    assert load_config(path) != Config() or path.name == "scenes.yaml"


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("fit.epoch=1", "unknown setting `fit.epoch`", "did you mean `fit.epochs`?"),
        ("fitt.epochs=1", "unknown setting `fitt`", "did you mean `fit.epochs`?"),
        ("fitt={epochs: 1, l2: 0}", "unknown setting `fitt`", "did you mean `fit`?"),
        ("epochs=3", "unknown setting `epochs`", "did you mean `fit.epochs`?"),
        ("folder.classes={road: 1, water: 2}", "unknown setting `folder`", "did you mean `data.folder.classes`?"),
        ("folder.pairs=a.csv", "unknown setting `folder`", "did you mean `data.folder.pairs`?"),
        ("data.clases={road: 1}", "unknown setting `data.clases`", "did you mean `data.folder.classes`?"),
        ("fit.xyz=1", "unknown setting `fit.xyz`", "known here: epochs, batch_size"),
        ("prune.criterion=tailor", "must be one of fisher, ", "did you mean `taylor`?"),
        ("own.yaml", "expected `key=value`, got `own.yaml`", "-c own.yaml"),
        ("fit.epochs=1.5", "must be a whole number, got `1.5`", ""),
        ("fit.epochs=inf", "must be a whole number", ""),
        ("fit.learning_rate=nan", "must be a number", ""),
        ("fit.epochs=0", "must be at least 1", ""),
        ("fit.augment.flip_vertical=2", "must be true or false", ""),
        ("fit.augment.scale=[2, 1]", "0 < low <= high", ""),
        ("data.fitting=corp", "must be one of crop, resize, got `corp`", "did you mean `crop`?"),
        ("data.input_size=256", "must be a list of 2 values", "[a, b]"),
        ("data.input_size=[1, 2, 3]", "must have 2 values, got 3", ""),
        ("data.bands=[0,1]", "must be 1 to 16 numbers from 1", ""),
        (f"data.bands={[1] * 17}", "must be 1 to 16 numbers from 1", ""),
        ("data.scale=[0,9,5]", "must be ascending numbers, two", ""),
        ("data.scale=[[0,9],[9,9]]", "two for each band in turn, got [0.0, 9.0, 9.0, 9.0]", ""),
        ("fit=3", "is a section of settings", ""),
        ("fit.epochs=[1]", "must be a single value, got a list", ""),
        ("prune.macs=0", "must be above 0 and at most 1, got 0.0", ""),
        ("fit.checkpoint_steps=0", "must be at least 1 and at most 10,000,000, got 0", ""),
        ("fit.augment.translate_px=-3", "must be at least 0 and at most 10,000, got -3", ""),
        ("prune.retrain.label_smoothing=2", "at least 0 and at most 0.99, got 2.0", ""),
        ("prune.distill.temperature=0", "must be above 0 and at most 1,000, got 0.0", ""),
        ("seed=-1", "`seed` must be at least 0", ""),
        ("epochs", "expected `key=value`", "fit.epochs=3"),
    ],
)
def test_a_wrong_setting_says_what_and_how_to_mend_it(word, message, hint):
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=[word])

    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("data.root=photos", "data.root"),
        ("data.folder.pairs=splits.csv", "data.folder"),
        ("data.pairs=splits.csv", "data.folder"),
        ("data.isprs.clutter=ignore", "data.isprs"),
    ],
)
def test_a_data_set_of_files_without_its_name_is_not_replaced_by_generated_scenes(tmp_path, word, name):
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=[word])
    assert caught.value.message == f"`{name}` is given, but no `data.name`"
    assert "data.name=folder" in caught.value.hint

    assert load_config(overrides=[word, "data.name=scenes"]).data.name == "scenes"
    path = tmp_path / "named.yaml"
    path.write_text("data: {name: vaihingen}")
    assert load_config(path, [word]).data.name == "vaihingen"


@pytest.mark.parametrize("text", ["fit: [", "- 1\n", "just text", "\x00"])
def test_a_file_that_is_no_mapping_is_named(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"macs": 0.5}),
        (["prune.latency_ms=45"], {"latency_ms": 45.0}),
        (["prune.params=0.3"], {"params": 0.3}),
        (["prune.latency_ms=45", "prune.macs=0.5"], {"macs": 0.5, "latency_ms": 45.0}),
        (["prune.latency_ms=45", "prune.macs=0.7"], {"macs": 0.7, "latency_ms": 45.0}),
        (["prune.macs=1"], {}),
    ],
)
def test_a_target_that_is_given_takes_the_place_of_the_default_one(words, expected):
    assert load_config(overrides=words).prune.given == expected


def test_a_target_of_the_file_stays_beside_one_of_the_command_unless_it_is_a_records_default(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("prune: {macs: 0.5}")
    words = ["prune.latency_ms=45"]
    assert load_config(path, words).prune.given == {"macs": 0.5, "latency_ms": 45.0}
    assert load_config(path, words, is_record=True).prune.given == {"latency_ms": 45.0}
    path.write_text("prune: {macs: 0.5, latency_ms: 45}")
    assert load_config(path, is_record=True).prune.given == {"macs": 0.5, "latency_ms": 45.0}
    path.write_text("prune: {latency_ms: 45}")
    assert load_config(path).prune.given == {"latency_ms": 45.0}
    path.write_text("prune: {macs: 0.3}")
    assert load_config(path, words, is_record=True).prune.given == {"macs": 0.3, "latency_ms": 45.0}


def test_retraining_can_be_switched_off_and_training_cannot():
    assert load_config(overrides=["prune.retrain.epochs=0"]).prune.retrain.epochs == 0
    with pytest.raises(ConfigError, match=r"`fit.epochs` must be at least 1"):
        load_config(overrides=["fit.epochs=0"])


def test_ranges_are_given_in_pairs_or_in_one_row():
    pairs, row = (
        load_config(overrides=["data.name=folder", f"data.scale={text}"]) for text in ("[[0,3],[1,6]]", "[0,3,1,6]")
    )

    assert pairs.data.scale == row.data.scale == (0.0, 3.0, 1.0, 6.0)


@pytest.mark.parametrize(
    "text",
    ["fit: {epochs: 1}\nfit: {epochs: 2}\n", "fit:\n  epochs: 1\n  epochs: 2\n", "fit: {epochs: 1, epochs: 1}\n"],
)
def test_a_key_that_comes_twice_is_an_error_that_says_where(tmp_path, text):
    path = tmp_path / "twice.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=r"not valid YAML: the key `(fit|epochs)` comes twice.*line [123]"):
        load_config(path)


@pytest.mark.parametrize(("text", "expected"), [("auto", 0), ("16", 16)])
def test_a_word_may_stand_for_a_number(text, expected):
    assert load_config(overrides=[f"prune.round_to={text}"]).prune.round_to == expected


def test_another_word_is_told_which_one_there_is():
    with pytest.raises(ConfigError, match=r"`prune.round_to` in .* must be a whole number or auto, got `tile`"):
        load_config(overrides=["prune.round_to=tile"])
