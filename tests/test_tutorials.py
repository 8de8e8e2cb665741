"""The tutorials run from top to bottom, with fewer steps on smaller images than they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rsseg_tf import pruning
from rsseg_tf.cli.main import main
from tests.pages import ROOT, blocks, commands, run_page, smaller

SURVEY, KERAS = "docs/tutorial.md", "docs/tutorial_keras.md"
SETTINGS = {
    "[128, 128]": "[32, 32]",
    "backbone: efficientnet_lite0": "backbone: resnet18, width: 0.25, aspp_width: 16, decoder_width: 16",
    "weights: imagenet": "weights: none",
    "epochs: 20": "epochs: 1",
    "steps_per_epoch: 500": "steps_per_epoch: 2",
    "batch_size: 8": "batch_size: 4",
    "control: teacher": "control: teacher\n  loops: 1\n  batches: 1",
}
WORDS = {"240": ["21", "--size", "64"], "512": ["80"]}
LATENCY = "prune.latency_ms="
NETWORK = {"epochs=15": "epochs=1", "epochs=8": "epochs=1", "loops=20": "loops=2"}


@pytest.fixture
def survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder to work in with the settings of the page, made small."""
    monkeypatch.chdir(tmp_path)
    ((_, settings),) = blocks(SURVEY, "yaml")
    assert all(old in settings for old in SETTINGS)
    Path("survey.yaml").write_text(smaller(settings, SETTINGS))


def run(words: list[str]) -> None:
    """A command of the page, on fewer and smaller images, to a share of its cost that any machine can reach."""
    small = [new for word in words for new in WORDS.get(word, [word])]
    small = ["prune.macs=0.6" if word.startswith(LATENCY) else word for word in small]
    assert main(small[1:]) == 0, words


@pytest.mark.usefixtures("survey")
def test_the_survey_is_made_checked_and_shown_by_the_commands_of_the_page() -> None:
    for words in commands(SURVEY):
        if words[1] == "data":
            run(words)

    assert Path("look.png").is_file()
    assert Path("survey/data.yaml").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("survey")
def test_the_survey_becomes_a_map_by_the_commands_of_the_page() -> None:
    for words in commands(SURVEY):
        run(words)

    assert Path("report/index.html").is_file()
    assert list(Path("maps").glob("*_overlay.jpg"))


def test_the_surveys_commands_are_ours_and_one_prunes_to_a_time() -> None:
    lines = commands(SURVEY)

    assert {words[0] for words in lines} == {"rsseg-tf"}
    assert any(word.startswith(LATENCY) for words in lines for word in words)


@pytest.mark.slow
def test_the_networks_page_prunes_tunes_and_exports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ((_, settings),) = blocks(KERAS, "yaml")
    Path("scenes.yaml").write_text(smaller(settings, {"train: 300, val: 8, test: 60": "train: 64, val: 2, test: 4"}))

    names = run_page(KERAS, capsys, changes=NETWORK)

    assert names["shown"] == 1
    assert names["slim"].count_params() < 0.6 * names["model"].count_params()
    assert names["exported"]["type"] == "int8"
    assert 0 <= names["int8_miou"] <= 1


def test_the_networks_page_uses_public_names_alone() -> None:
    code = "".join(text for _, text in blocks(KERAS, "python"))
    compile(code, KERAS, "exec")
    used = set(re.findall(r"pruning\.([A-Za-z_]+)", code))

    assert used
    assert used <= set(pruning.__all__)


@pytest.mark.parametrize("page", [SURVEY, KERAS])
def test_the_pages_are_linked_from_the_readme_and_the_site(page: str) -> None:
    assert f"]({page})" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert page.removeprefix("docs/") in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
