from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rsseg_tf.child import open_child
from rsseg_tf.errors import ConfigError, DataError, ModelError, RssegError


def opened(**options: Any) -> Any:
    return open_child("tests.far_end", ended=lambda code: ModelError(f"ended with {code}"), **options)


def test_answers_come_in_the_order_of_the_requests_whatever_else_is_printed() -> None:
    with opened() as child:
        child.tell(("first", 1))
        child.tell(("path", [str(Path("ä"))]))
        assert child.read()["first"] == 1
        assert child.read()["path"] == ["ä"]
        assert child.ask(("last", None))["last"] is None
        child.end()
        assert child.read() == {"said": "no more"}


@pytest.mark.parametrize("kind", [ModelError, ConfigError, DataError, RssegError])
def test_an_error_there_is_raised_here(kind: type[RssegError]) -> None:
    with opened() as child, pytest.raises(RssegError, match="wrong") as caught:
        child.ask(("raise", kind.__name__))
    assert type(caught.value) is kind
    assert caught.value.hint == "mend it"


@pytest.mark.parametrize(("what", "code"), [("crash", "-11"), ("fail", "1")])
def test_a_process_that_ends_is_an_error_with_its_exit_code(what: str, code: str) -> None:
    with opened() as child:
        with pytest.raises(ModelError, match=f"^ended with {code}$"):
            child.ask((what, None))
        with pytest.raises(ModelError, match=f"^ended with {code}$"):
            child.ask(("megabytes", bytes(1 << 22)))


def test_a_process_that_takes_too_long_is_ended() -> None:
    with opened(most_s=0.5) as child, pytest.raises(ModelError, match="ended with None"):
        child.ask(("hang", None))


def test_nothing_is_imported_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "rsseg_tf", "pickle"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    with opened() as child:
        assert child.ask(("first", 1))["first"] == 1


def test_a_process_does_not_outlive_its_block() -> None:
    with opened() as child:
        pid = child.ask(("first", 1))["pid"]
        child.tell(("hang", None))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_error_of_the_block_is_not_taken_for_one_of_the_process() -> None:
    with pytest.raises(BrokenPipeError), opened():
        raise BrokenPipeError
