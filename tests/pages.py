"""Runs the examples of a document, so that what it says is so."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def blocks(page: str, language: str = "") -> list[tuple[str, str]]:
    """The fenced blocks of a page of the repository, or those in one language, in order: language and text."""
    found = re.findall(r"```(\w+)\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return [block for block in found if language in ("", block[0])]


def smaller(text: str, changes: Mapping[str, str]) -> str:
    """A block with what would take long replaced."""
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def commands(page: str) -> list[list[str]]:
    """The command lines in the shell blocks of a page, in words: without comments, and lines that go on joined."""
    lines = "".join(text for _, text in blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


_AS_IT_IS: Mapping[str, str] = {}


def run_page(
    page: str, capsys: pytest.CaptureFixture[str], *, changes: Mapping[str, str] = _AS_IT_IS, **given: Any
) -> Mapping[str, Any]:
    """Run the Python blocks of a page one after the other, with the names `given` in sight and `changes` made.

    A block of text must be what the Python before it printed.

    Returns:
        All names at the end, and `shown`: how many blocks of text were compared.
    """
    names = {**given, "shown": 0}
    for language, text in blocks(page):
        if language == "python":
            capsys.readouterr()
            exec(compile(smaller(text, changes), page, "exec"), names)
        elif language == "text":
            assert capsys.readouterr().out == text
            names["shown"] += 1
    return names
