"""The site has every public name, and the files around a release agree with the package."""

import re
from pathlib import Path

import pytest
import yaml

import rsseg_tf
from rsseg_tf import pruning
from tools import site_pages

ROOT = Path(__file__).parents[2]


def test_the_api_page_has_every_name_that_the_packages_offer():
    documented = re.findall(r"^::: (\S+)$", site_pages.api_page(), re.MULTILINE)
    offered = [f"rsseg_tf.{name}" for name in rsseg_tf.__all__ if name != "pruning"]
    assert documented == offered + [f"rsseg_tf.pruning.{name}" for name in pruning.__all__]


@pytest.mark.parametrize(
    ("written", "on_the_site"),
    [
        ("[a](docs/data.md#near)", "[a](data.md#near)"),
        ("[a](../README.md) and [b](README.md)", "[a](index.md) and [b](index.md)"),
        ("[a](../configs/scenes.yaml)", "[a](configs/scenes.yaml)"),
        ("![a](docs/scenes.png)", "![a](scenes.png)"),
        ("[a](data.md) docs/data.md", "[a](data.md) docs/data.md"),
    ],
)
def test_links_lead_to_where_the_site_has_the_pages(written, on_the_site):
    assert site_pages.on_page_markdown(written, None) == on_the_site


def test_the_citation_and_the_changelog_are_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == rsseg_tf.__version__
    assert f"## [{citation['version']}] - {citation['date-released']}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_workflow_calls_our_make_targets_and_nothing_else():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert commands
    for command in commands:
        make, *words = command.split()
        assert make == "make"
        assert {word for word in words if "=" not in word} <= targets


def test_the_image_of_a_board_has_no_tensorflow_and_that_of_a_workstation_is_locked():
    stages = (ROOT / "Dockerfile").read_text().split("\nFROM ")
    board, workstation = (
        next(stage for stage in stages if stage.startswith(f"base AS {name}")) for name in ("board", "workstation")
    )
    assert "'.[geo]'" in board
    assert "--require-hashes -r requirements.lock" in workstation
