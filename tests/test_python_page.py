"""The examples of docs/python.md run as they stand, one after the other, and use public names alone."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import rsseg_tf
from rsseg_tf.datasets import write_image
from tests.pages import blocks, run_page

PAGE = "docs/python.md"


def test_the_examples_run_and_do_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ((_, settings),) = blocks(PAGE, "yaml")
    Path("survey.yaml").write_text(settings)
    photo = np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8)
    write_image(Path("photos/1.png"), photo)

    names = run_page(PAGE, capsys)

    assert names["shown"] == 1
    assert names["pruned"]["macs"] < 0.55 * names["pruned"]["dense_macs"]
    assert names["exported"]["type"] == "int8"
    assert names["change"].low <= names["change"].difference <= names["change"].high
    assert names["classes"].shape == photo.shape[:2]
    assert Path("maps/1_classes.png").is_file()
    assert names["slim"].count_params() < names["model"].count_params()


def test_the_page_uses_public_names_alone() -> None:
    code = "".join(text for _, text in blocks(PAGE, "python"))
    imported = {name for names in re.findall(r"from rsseg_tf import (.*)", code) for name in names.split(", ")}

    assert imported
    assert imported <= set(rsseg_tf.__all__)
