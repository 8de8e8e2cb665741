"""The examples of docs/pruning.md run, one after the other, and print what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import keras

from rsseg_tf import pruning

PAGE = Path(__file__).parent.parent / "docs" / "pruning.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_examples_run_and_print_what_the_page_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    shown = 0
    for language, text in BLOCKS:
        if language == "python":
            capsys.readouterr()
            exec(compile(text, str(PAGE), "exec"), names)
        else:
            assert capsys.readouterr().out == text
            shown += 1
    assert shown == 2
    assert names["plan"].keep
    assert keras.saving.load_model("slim.keras").count_params() < 0.6 * names["model"].count_params()


def test_every_name_on_the_page_is_public():
    used = set(re.findall(r"pruning\.([A-Za-z_]+)", "".join(text for _, text in BLOCKS)))
    assert used
    assert used <= set(pruning.__all__)
