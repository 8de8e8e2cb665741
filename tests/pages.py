"""Runs the examples of a document, so that what it says is so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def blocks(page: str, language: str = "") -> list[tuple[str, str]]:
    """The fenced blocks of a page of the repository, or those in one language, in order: language and text."""
    found = re.findall(r"```(\w+)\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return [block for block in found if language in ("", block[0])]


def run_page(page: str, capsys: pytest.CaptureFixture[str], **given: Any) -> Mapping[str, Any]:
    """Run the Python blocks of a page one after the other, with the names `given` in sight.

    A block of text must be what the Python before it printed.

    Returns:
        All names at the end, and `shown`: how many blocks of text were compared.
    """
    names = {**given, "shown": 0}
    for language, text in blocks(page):
        if language == "python":
            capsys.readouterr()
            exec(compile(text, page, "exec"), names)
        elif language == "text":
            assert capsys.readouterr().out == text
            names["shown"] += 1
    return names
