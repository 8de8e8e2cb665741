"""The tutorials run from top to bottom, with fewer steps on smaller images than they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsseg_tf.cli.main import main
from tests.pages import ROOT, blocks, commands, run_page, smaller

SURVEY, KERAS = "docs/tutorial.md", "docs/tutorial_keras.md"
SETTINGS = {
    "[128, 128]": "[32, 32]",
    "backbone: efficientnet_lite0": "backbone: resnet18, width: 0.125, aspp_width: 8, decoder_width: 8, low_level_width: 8",
    "weights: imagenet": "weights: none",
    "steps_per_epoch: 80": "steps_per_epoch: 2",
    "batch_size: 8": "batch_size: 2",
    "loops: 15": "loops: 1",
}
WORDS = {"120": ["21", "--size", "64"], "1024": ["80"]}
NETWORK = {"epochs=15": "epochs=1", "epochs=8": "epochs=1", "loops=20": "loops=2"}


def test_the_survey_goes_from_images_to_a_map_by_the_commands_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ((_, settings),) = blocks(SURVEY, "yaml")
    assert all(word in settings for word in SETTINGS)
    Path("survey.yaml").write_text(smaller(settings, SETTINGS))

    for words in commands(SURVEY):
        assert words[0] == "rsseg-tf"
        assert main(few(words[1:])) == 0, words
    assert Path("report/index.html").is_file()


def few(words: list[str]) -> list[str]:
    """A command on fewer and smaller images, to a time that the small network can be cut to."""
    if any(word.startswith("prune.latency_ms=") for word in words):
        dense_ms = json.loads(Path("board.json").read_text())["total_ms"]
        words = [f"prune.latency_ms={0.9 * dense_ms}" if word.startswith("prune.latency") else word for word in words]
    return [new for word in words for new in WORDS.get(word, [word])]


def test_the_networks_page_prunes_tunes_and_exports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ((_, settings),) = blocks(KERAS, "yaml")
    Path("scenes.yaml").write_text(smaller(settings, {"train: 300, val: 20, test: 60": "train: 80, val: 2, test: 4"}))

    names = run_page(KERAS, capsys, changes=NETWORK)

    assert names["shown"] == 1
    assert names["slim"].count_params() < 0.6 * names["model"].count_params()
    assert names["exported"]["type"] == "int8"
    assert 0 <= names["int8_miou"] <= 1


@pytest.mark.parametrize("page", [SURVEY, KERAS])
def test_the_pages_are_linked_from_the_readme_and_the_site(page: str) -> None:
    assert f"]({page})" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert page.removeprefix("docs/") in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
