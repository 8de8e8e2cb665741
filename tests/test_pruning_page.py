"""The examples of docs/pruning.md run, one after the other, and print what the page says."""

from __future__ import annotations

import re

import keras

from rsseg_tf import pruning
from tests.pages import blocks, run_page

PAGE = "docs/pruning.md"


def test_the_examples_run_and_print_what_the_page_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run_page(PAGE, capsys)

    assert names["shown"] == 2
    assert names["plan"].keep
    assert keras.saving.load_model("slim.keras").count_params() < 0.6 * names["model"].count_params()


def test_every_name_on_the_page_is_public():
    used = set(re.findall(r"pruning\.([A-Za-z_]+)", "".join(text for _, text in blocks(PAGE))))
    assert used
    assert used <= set(pruning.__all__)
