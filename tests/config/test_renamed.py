"""Former names of settings are read as the new ones, with a line that says so."""

import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.config import dump_yaml, listing, load_config, same_settings
from rsseg_tf.config.renamed import FORMERLY, RENAMED
from rsseg_tf.errors import ConfigError


def write(path, text):
    path.write_text(text)
    return path


def test_a_former_name_in_a_file_is_read_and_told(tmp_path, capsys):
    path = write(tmp_path / "old.yaml", "prune: {normalise: l2, loops: 7}\n")

    config = load_config(path)

    assert (config.prune.normalize, config.prune.loops) == ("l2", 7)
    assert capsys.readouterr().err == f"warning: `prune.normalise` in `{path}` is now called `prune.normalize`\n"


def test_a_former_name_in_a_word_is_read_and_told(capsys):
    assert load_config(overrides=["prune.normalise=l2"]).prune.normalize == "l2"
    assert capsys.readouterr().err == "warning: `prune.normalise` is now called `prune.normalize`\n"


def test_settings_that_moved_into_a_section_of_their_reader_are_read_where_they_were(tmp_path, capsys):
    flat = "data: {name: folder, pairs: a.csv, classes: {road: 1}, ignore_colors: [0], clutter: ignore, split: paper}\n"
    words = ["data.name=folder", "data.folder={pairs: a.csv, classes: {road: 1}, ignore_colors: [0]}"]

    moved = load_config(write(tmp_path / "flat.yaml", flat))

    assert capsys.readouterr().err.count("warning:") == 5
    assert moved == load_config(overrides=[*words, "data.isprs.clutter=ignore"])


def test_a_new_word_wins_over_a_former_name_in_a_file(tmp_path):
    path = write(tmp_path / "old.yaml", "prune: {normalise: l2}\n")

    assert load_config(path, ["prune.normalize=mean"]).prune.normalize == "mean"


def test_both_names_at_once_are_refused(tmp_path):
    path = write(tmp_path / "both.yaml", "prune: {normalise: l2, normalize: mean}\n")

    with pytest.raises(ConfigError, match="are the same setting") as caught:
        load_config(path)
    assert "both.yaml" in caught.value.message
    assert caught.value.hint == "keep `prune.normalize`"
    with pytest.raises(ConfigError, match="are the same setting"):
        load_config(overrides=["prune.normalise=l2", "prune.normalize=mean"])


def test_the_line_goes_to_stderr_and_is_not_printed_of_a_runs_own_record(tmp_path, capsys):
    path = write(tmp_path / "config.yaml", "prune: {normalise: l2}\n")

    assert load_config(path, is_record=True).prune.normalize == "l2"
    assert capsys.readouterr() == ("", "")
    assert main(["data", "check", "prune.normalise=l2", "--json"]) == 0
    told = capsys.readouterr()
    assert "normalise" not in told.out
    assert told.err.count("warning:") == 1


@pytest.mark.parametrize(
    "text", ["prune: 3", "prune: [normalise]", "prune: {normalise: [l2]}", "prune: {normalise: x}"]
)
def test_wrong_values_under_a_former_name_are_errors_as_ever(tmp_path, text):
    with pytest.raises(ConfigError, match="prune"):
        load_config(write(tmp_path / "wrong.yaml", text))


@pytest.mark.parametrize("former", RENAMED)
def test_every_former_name_leads_to_a_setting_that_there_is(former):
    names = {each.name for section in listing.all_sections({}) for each in section.settings}

    assert RENAMED[former] in names
    assert former not in names


OLD = "data: {name: folder, root: photos, folder: {classes: {road: 1}}}\n"
"""What a run wrote before there was `data.folder.split_by`."""


def test_a_run_from_before_a_setting_is_read_as_it_was(tmp_path):
    path = write(tmp_path / "config.yaml", OLD)

    assert load_config(path, is_record=True).data.folder.split_by == "name"
    assert load_config(path, ["data.folder.split_by=neighbors"], is_record=True).data.folder.split_by == "neighbors"
    assert load_config(path).data.folder.split_by == "neighbors"


@pytest.mark.parametrize("value", ["neighbors", "name"])
def test_a_record_that_has_the_setting_is_read_as_it_says(tmp_path, value):
    path = write(tmp_path / "own.yaml", OLD)
    record = write(tmp_path / "config.yaml", dump_yaml(load_config(path, [f"data.folder.split_by={value}"])))

    assert load_config(record, is_record=True).data.folder.split_by == value


@pytest.mark.parametrize("value", ["neighbors", "name"])
def test_an_unfinished_run_from_before_a_setting_may_be_the_same(tmp_path, value):
    """Whether it is shows in the hash of its data."""
    new = dump_yaml(load_config(write(tmp_path / "own.yaml", OLD), [f"data.folder.split_by={value}"]))

    assert same_settings(OLD, new)
    assert same_settings(new, OLD)
    assert not same_settings(OLD, new.replace("road: '1'", "road: '2'"))


def test_new_runs_that_deal_otherwise_are_not_the_same(tmp_path):
    texts = [
        dump_yaml(load_config(write(tmp_path / "own.yaml", OLD), [f"data.folder.split_by={value}"]))
        for value in ("neighbors", "name")
    ]

    assert not same_settings(*texts)


def test_a_record_of_another_reader_gets_no_settings_of_folder(tmp_path):
    path = write(tmp_path / "config.yaml", "data: {name: uavid, root: uavid}\n")

    assert load_config(path, is_record=True) == load_config(path)


@pytest.mark.parametrize("name", FORMERLY)
def test_what_runs_did_before_a_setting_is_not_its_default(name):
    settings = {each.name: each.default for section in listing.all_sections({}) for each in section.settings}

    assert settings[name] != FORMERLY[name]
