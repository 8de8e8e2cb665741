"""A bad command line, what must become of it, and the laws that hold whatever it is."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rsseg_tf.cli.main import cli, main
from rsseg_tf.errors import RssegError

LIMIT_S = 20
OUT = "out"
"""The only path, below the folder of inputs, that a case may write to."""

FINE, FAILED, USAGE = 0, 1, 2
"""Exit codes of cases that end in no error of the tree: all is well, an error of the system, click's own."""


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        words: the command line, in the folder of `tests.faults.inputs`.
        ends: the error of the tree that it ends in, whose exit code it is; or an exit code of the above.
        says: part of the message.
        without: packages that are not installed.
    """

    words: str
    ends: type[RssegError] | int
    says: str = ""
    without: tuple[str, ...] = ()

    @property
    def code(self) -> int:
        """Its exit code."""
        return self.ends if isinstance(self.ends, int) else self.ends.exit_code


@dataclass(frozen=True)
class Ending:
    """What became of a command line; `crash` is a traceback, `error` the error of the tree that ended it."""

    code: int
    out: str
    err: str
    seconds: float
    crash: str = ""
    error: type[RssegError] | None = None


class HangError(BaseException):
    """A case that does not end; no handler of ours may take it for an error of its own."""


def run(words: Sequence[str], *, without: Sequence[str] = ()) -> Ending:
    """Run a command line in this process and folder."""
    out, err = io.StringIO(), io.StringIO()
    seen: list[type[RssegError]] = []
    crash, code, started = "", -1, time.monotonic()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _lacking(without), _limited():
        try:
            code = main(words, command=_Watched(seen))
        except (Exception, HangError, SystemExit):
            crash = traceback.format_exc()
    seconds = time.monotonic() - started
    return Ending(code, out.getvalue(), err.getvalue(), seconds, crash, seen[0] if seen else None)


class _Watched:
    """The program, which notes the error of the tree that leaves it."""

    def __init__(self, seen: list[type[RssegError]]) -> None:
        self._seen = seen

    def main(self, **arguments: Any) -> None:
        try:
            cli.main(**arguments)
        except RssegError as error:
            self._seen.append(type(error))
            raise


@contextlib.contextmanager
def _lacking(packages: Sequence[str]) -> Iterator[None]:
    there = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in packages}
    sys.modules.update({**dict.fromkeys(there), **dict.fromkeys(packages)})
    try:
        yield
    finally:
        for name in packages:
            del sys.modules[name]
        sys.modules.update(there)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise HangError(f"not done after {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def faults(case: Case, folder: Path) -> list[str]:
    """Return what is wrong with the way in which a case ends, as text and with --json."""
    before, here, found = listing(folder), Path.cwd(), []
    words = shlex.split(case.words)
    os.chdir(folder)
    try:
        for more in ([], ["--json"]):
            ending = run([*words, *more], without=case.without)
            is_json = more or "--json" in words
            found += [*_told(case, ending), *(_printed(ending) if is_json else [])]
            shutil.rmtree(folder / OUT, ignore_errors=True)
    finally:
        os.chdir(here)
    after = listing(folder)
    changed = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    return found + [f"changed or left behind: {path}" for path in changed]


def listing(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return size and time of every file below a folder of inputs; folders, and what a case may write, apart."""
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name) != folder / OUT]
        for name in names:
            facts = Path(place, name).lstat()
            found[str(Path(place, name).relative_to(folder))] = (facts.st_size, facts.st_mtime_ns)
    return found


def _told(case: Case, ending: Ending) -> list[str]:
    if ending.crash:
        return [ending.crash]
    found = [] if ending.code == case.code else [f"exits with {ending.code}, not {case.code}"]
    wanted = None if isinstance(case.ends, int) else case.ends
    if ending.error is not None and not (wanted and issubclass(ending.error, wanted)):
        found.append(f"ends in {ending.error.__name__}")
    said = ending.err if ending.code else ending.out + ending.err
    found += [] if case.says in said else [f"does not say `{case.says}`"]
    if "Traceback (most recent call last)" in said:
        found.append("shows a traceback")
    if ending.code not in (FINE, 130):
        found += [] if ending.err.lower().count("error: ") == 1 else ["has not one error"]
        is_long = len(ending.err) > 4000
        found += ["says too much"] if is_long else []
        if "error: " in ending.err and "hint: " not in ending.err:
            found.append("has no hint")
    return [f"{fault}: {said[-1500:]}" for fault in found]


def _printed(ending: Ending) -> list[str]:
    """Return what is wrong with stdout under --json: one document where there is a result, else nothing."""
    text = ending.out.strip()
    if not text:
        return ["prints no JSON"] if ending.code == FINE else []
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        return [f"stdout is not one JSON document ({error}): {text[:300]}"]
    return []


def _refuse(name: str) -> None:
    raise ValueError(name)


def with_each(command: str, cases: Sequence[Case]) -> list[Case]:
    """Return cases whose words follow a command."""
    return [replace(case, words=f"{command} {case.words}") for case in cases]
