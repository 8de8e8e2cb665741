"""Every bad command line of the table ends in one clear message, the right exit code, and nothing touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rsseg_tf import errors
from rsseg_tf.errors import RssegError
from rsseg_tf.inference.folders import output_names
from tests.faults import rows
from tests.faults.inputs import write_inputs, write_tflites
from tests.faults.runner import Case, faults, run

SETTINGS_CASES = list(rows.settings_cases())
FAST = [*rows.LIGHT, *rows.OF_A_MODEL]

of_each = pytest.mark.filterwarnings("default")  # a warning is no fault here


def named(case: Case) -> str:
    return " ".join([case.words[:90].encode("ascii", "backslashreplace").decode(), *case.without])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def work_with_models(work: Path, models: Path) -> Path:
    write_tflites(work, models)
    return work


@of_each
@pytest.mark.parametrize("case", rows.LIGHT, ids=named)
def test_a_bad_command_line_is_refused(work, case):
    assert faults(case, work) == []


@of_each
@pytest.mark.parametrize("case", rows.OF_A_MODEL, ids=named)
def test_a_bad_input_of_a_model_is_refused(work_with_models, case):
    assert faults(case, work_with_models) == []


@of_each
@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_no_setting_takes_what_it_cannot_hold(work, step):
    assert [(case.words, found) for case in SETTINGS_CASES[::step] if (found := faults(case, work))] == []


def test_the_table_is_long_and_says_nothing_twice():
    words = [(case.words, case.without) for case in FAST]
    assert len(words) == len(set(words)) >= 300
    assert len(SETTINGS_CASES) >= 400


def test_every_error_of_the_tree_ends_some_command():
    tree = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, RssegError)}

    assert {case.ends for case in FAST if not isinstance(case.ends, int)} == tree


def test_cases_that_need_no_model_start_no_tensorflow(work):
    code = f"""
import sys
from pathlib import Path
from tests.faults import rows
from tests.faults.runner import faults
for case in rows.OPENING:
    faults(case, Path({str(work)!r}))
    assert "tensorflow" not in sys.modules, case.words
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "closing", "code"),
    [
        ("settings nonsense", "2>&-", 2),
        ("settings nonsense", ">&-", 2),
        ("settings nonsense", ">&- 2>&-", 2),
        ("settings fit", "2>&-", 0),
        ("data check -c survey.yaml data.root=gone", "2>&-", 1),
        ("data check -c survey.yaml", "2>&-", 0),
        ("data show -c survey.yaml -o out/a.png", "2>&-", 0),
        ("inspect models/text.tflite", "2>&-", 1),
        ("--help", ">/dev/full", 1),
        ("settings fit", ">/dev/full", 1),
        ("settings fit", ">&-", 0),
    ],
)
def test_a_closed_or_full_stream_is_no_traceback(work, words, closing, code):
    command = f"cd {work} && exec {sys.executable} -m rsseg_tf.cli.main {words} {closing}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False, env=environment)

    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_results_below_the_images_are_no_images_the_next_time(work_with_models, tmp_path):
    shutil.copytree(work_with_models / "survey/images", tmp_path / "survey")
    words = ["predict", str(work_with_models / "sealed.tflite"), str(tmp_path / "survey"), "--json"]

    found = [json.loads(run([*words, "-o", str(tmp_path / "survey/maps")]).out)["images"] for _ in range(2)]

    assert len(found[0]) == 4
    assert found[0] == found[1]


def test_thousands_of_images_of_one_name_are_named_at_once():
    names = output_names([Path(f"{place}/a/1.png") for place in range(20_000)])

    assert len(set(names)) == 20_000
