"""Files that are written as one set: an earlier set goes, nobody else's file does, and a kill is survived."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsseg_tf.errors import ConfigError
from rsseg_tf.replaced import replaced, require_replaceable

RECORD = "set.json"


def write(folder: Path, *names: str, fails: bool = False) -> None:
    with replaced(folder, RECORD, {"files": list(names), "kept": 1}):
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("new")
        if fails:
            raise RuntimeError


def held(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_set_takes_the_place_of_an_earlier_one_and_leaves_what_is_not_of_it(tmp_path):
    write(tmp_path / "out", "page", "tables/a", "tables/b")
    (tmp_path / "out/notes").write_text("mine")
    write(tmp_path / "out", "page", "tables/a")

    assert held(tmp_path / "out") == {RECORD, "page", "tables/a", "notes"}
    assert json.loads((tmp_path / "out" / RECORD).read_text()) == {"files": ["page", "tables/a"], "kept": 1}


@pytest.mark.parametrize("name", ["page", "tables/a", RECORD])
def test_a_file_of_somebody_else_is_in_the_way(tmp_path, name):
    (tmp_path / "tables").mkdir()
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match=f"{name}` is in the way"):
        write(tmp_path, "page", "tables/a")
    with pytest.raises(ConfigError, match=f"{name}` is in the way"):
        require_replaceable(tmp_path, RECORD, ["page", "tables/a"])

    assert held(tmp_path) == {name}
    assert (tmp_path / name).read_text() == "mine"


def test_what_an_end_on_the_way_left_is_replaced_by_the_next_call(tmp_path):
    write(tmp_path, "page", "old")
    with pytest.raises(RuntimeError):
        write(tmp_path, "page", "half", fails=True)
    write(tmp_path, "page")

    assert held(tmp_path) == {RECORD, "page"}


@pytest.mark.parametrize("content", ["[", "{}", "[1]", '{"files": 3}', '{"files": ["../outside"]}', "[" * 100_000])
def test_a_record_that_is_none_or_names_files_outside_gives_no_leave(tmp_path, content):
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / RECORD).write_text(content)
    if "outside" in content:
        write(tmp_path / "out", "page")
    else:
        with pytest.raises(ConfigError, match="in the way"):
            write(tmp_path / "out", "page")

    assert (tmp_path / "outside").read_text() == "mine"
