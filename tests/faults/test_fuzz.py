"""A few of the files that `tools/faults/fuzz.py` changes at random; what it found stands in tests of its own."""

from __future__ import annotations

import os

import pytest

from rsseg_tf.errors import RssegError
from tools.faults import fuzz
from tools.faults.mutation import mutated
from tools.faults.samples import KINDS, Kind, write_samples


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    write_samples(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sound_is_read(sound, kind):
    refused = []
    for name in KINDS[kind].names:
        try:
            KINDS[kind].read(sound / name)
        except RssegError as error:
            refused.append(error)

    assert refused == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_changed_is_read_or_refused(sound, kind):
    few = KINDS[kind].few
    tally = fuzz.try_cases(kind, sound, range(few))

    assert tally.findings == {}
    assert tally.cases == tally.read + tally.refused == few
    assert tally.refused > few / 4


def test_a_case_is_made_again_by_its_number(sound):
    content = (sound / "plan.json").read_bytes()
    first, again, other = (mutated(content, suffix=".json", seed=f"plan:{case}") for case in (1, 1, 2))

    assert first == again != other


def test_any_other_error_is_a_finding(sound, monkeypatch):
    monkeypatch.setitem(fuzz.KINDS, "plan", Kind(("plan.json",), lambda path: path.nowhere))
    ((place, (count, first)),) = fuzz.try_cases("plan", sound, range(7, 10)).findings.items()

    assert place.startswith("AttributeError in ")
    assert (count, first) == (3, 7)


@pytest.mark.parametrize("times", [1, 2])
def test_a_case_that_takes_too_long_is_a_finding_if_it_does_so_twice(times, sound, monkeypatch):
    calls = []

    def slow(_):
        calls.append(1)
        if len(calls) <= times:
            raise fuzz.HangError

    monkeypatch.setitem(fuzz.KINDS, "plan", Kind(("plan.json",), slow))
    tally = fuzz.try_cases("plan", sound, range(3, 4))

    assert (tally.read, sum(count for count, _ in tally.findings.values())) == ((1, 0) if times == 1 else (0, 1))


def test_a_case_that_ends_the_process_is_found_and_the_rest_is_tried(sound, monkeypatch):
    def work(command, **_):
        words = {name: command[place + 1] for place, name in enumerate(command) if name.startswith("--")}
        begin, number = int(words["--first"]), int(words["--cases"])
        if begin <= 5 < begin + number:
            fuzz.Path(words["--worker"]).write_bytes((5).to_bytes(8, "little"))
            return fuzz.subprocess.CompletedProcess(command, -11, stdout=b"")
        tally = f'{{"cases": {number}, "read": {number}}}'
        return fuzz.subprocess.CompletedProcess(command, 0, stdout=tally.encode())

    monkeypatch.setattr(fuzz.subprocess, "run", work)
    tally = fuzz.run_batch("plan", sound, range(20))

    assert (tally.cases, tally.read) == (20, 19)
    assert tally.findings == {"the process ended with -11": [1, 5]}


def test_a_run_goes_on_where_it_was(sound, tmp_path, monkeypatch):
    tried = []

    def batch(kind, _samples, cases):
        tried.append((kind, cases.start, cases.stop))
        return fuzz.Tally(cases=len(cases), read=len(cases))

    monkeypatch.setattr(fuzz, "run_batch", batch)
    out = tmp_path / "fuzz.json"
    for cases in (10, 30, 30):
        words = ["--work", os.fspath(sound), "--out", os.fspath(out), "--only", "log", "--cases", str(cases)]
        fuzz.main(words, standalone_mode=False)

    assert tried == [("log", 0, 10), ("log", 10, 30)]
