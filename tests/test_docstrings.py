"""The examples in docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib
import shutil
from pathlib import Path

import pytest

from tests.test_architecture import ROOT, SOURCES

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCES
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_do_what_they_show(
    name: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(models / "sealed.tflite", "model.tflite")

    failed, attempted = doctest.testmod(importlib.import_module(name))

    assert attempted, f"{name} has an example that is in no docstring"
    assert not failed, capsys.readouterr().out
