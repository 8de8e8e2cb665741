"""Result files that someone edited: `report` shows them, or says which file is wrong and where."""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rsseg_tf.cli.main import main
from tests.faults.runner import run
from tests.report.data import make_data, make_file, make_run
from tests.report.pictures.test_heatmap import RANGES

ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 3, 2.5, 10**15, 10**30, 1e300, -0.5, float("nan"), float("inf"), ""),
    *("x", "$a_b$c", "../..", "a\nb", "\0", "\ud800", "<b>", [], [3], [[]], {}, {"a": None}, [["x"]]),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dense and a pruned run, their files and every kind of result."""
    folder = tmp_path_factory.mktemp("sound")
    config = make_data(folder / "data")
    runs = [make_run(folder / "dense", config), make_run(folder / "pruned", config, pruned=True)]
    files = [str(make_file(folder / f"{run.name}.tflite", run, config, kind="int8")) for run in runs]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["evaluate", *files, "-c", str(folder / "dense/config.yaml"), "--json"]) == 0
    (folder / "evaluation.json").write_text(printed.getvalue())
    known = json.loads(printed.getvalue())["models"]
    times = [{"sha256": each["sha256"], "p50_ms": 3.0 + place} for place, each in enumerate(known)]
    (folder / "bench.json").write_text(json.dumps({"results": times}))
    (folder / "ranges.json").write_text(json.dumps(RANGES))
    (folder / "ablation").mkdir()
    (folder / "ablation/ablation.json").write_text(json.dumps(_ablation()))
    return folder


def _ablation() -> dict[str, Any]:
    scores = {"accuracy": 0.8, "miou": 0.5, "boundary_f1": 0.6, "iou": {"road": 0.5}}
    sizes = {"params": 1000, "macs": 10**6, "file_bytes": 4000}
    cells = [
        {"backbone": "resnet18", "pruned": pruned, "quantized": False, "seed": seed, **scores, **sizes}
        for pruned in (False, True)
        for seed in (0, 1)
    ]
    where = {"backbone": "resnet18", "seed": 0, "quantized": False, "control": "plain"}
    found = {"difference": -0.01, "low": -0.02, "high": 0.01, "is_clear": False, "images": 2, "loss": "lost most: road"}
    about = {"data": "scenes", "split": "test", "backbones": ["resnet18"], "repeats": 2}
    return {**about, "cells": cells, "differences": [{**where, **found}]}


def places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where each value in a JSON document is; of long lists the ends."""
    yield where
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, (*where, name))
    elif isinstance(value, list):
        for number in sorted({0, len(value) - 1} if value else ()):
            yield from places(value[number], (*where, number))


def edited(value: Any, where: tuple[Any, ...], new: Any) -> Any:
    """Return a document with another value in one place, or without it for `KeyError`."""
    if not where:
        return {} if new is KeyError else new
    whole = copy.deepcopy(value)
    holder = whole
    for step in where[:-1]:
        holder = holder[step]
    if new is KeyError:
        del holder[where[-1]]
    else:
        holder[where[-1]] = new
    return whole


JSON_FILES = (
    *("evaluation.json", "bench.json", "ranges.json", "ablation/ablation.json", "dense/manifest.json"),
    *("pruned/plan.json", "dense.tflite.json"),
)
CSV_FILES = ("dense/log.csv", "pruned/pruning.csv")
INPUTS = (
    "dense",
    "pruned",
    "dense.tflite",
    "pruned.tflite",
    "evaluation.json",
    "bench.json",
    "ranges.json",
    "ablation",
)
CELLS = ("", "x", "nan", "inf", "1e300", "-1", '"', "\0", "1,2,3", "1\n2")


def assert_reported(folder: Path) -> None:
    out = folder.parent / "out"
    inputs = [str(folder / name) for name in INPUTS]
    ending = run(["report", *inputs, "-o", str(out), "--places", "0"])
    shutil.rmtree(out, ignore_errors=True)
    assert ending.crash == ""
    assert ending.code in (0, 1, 2, 3)
    assert "Traceback" not in ending.err


def of_some(count: int) -> settings:
    return settings(max_examples=count, suppress_health_check=list(HealthCheck))


quiet = pytest.mark.filterwarnings("ignore")  # fonts that lack a letter


def edit_one(sound: Path, folder: Path, data: st.DataObject) -> Path:
    """Return a copy of the folder with one value of one file changed."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound, folder)
    path = folder / data.draw(st.sampled_from((*JSON_FILES, *CSV_FILES)))
    if path.suffix == ".json":
        document = json.loads(path.read_text(encoding="utf-8"))
        where = data.draw(st.sampled_from(list(places(document))))
        changed = edited(document, where, data.draw(st.sampled_from((*ODD, KeyError))))
        path.write_text(json.dumps(changed), encoding="utf-8")
    else:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        row = data.draw(st.integers(0, len(rows) - 1))
        rows[row][data.draw(st.integers(0, len(rows[row]) - 1))] = data.draw(st.sampled_from(CELLS))
        path.write_text("\n".join(",".join(row) for row in rows) + "\n", encoding="utf-8")
    return folder


@quiet
@of_some(15)
@given(data=st.data())
def test_a_report_of_edited_files_is_made_or_refused(sound, tmp_path, data):
    assert_reported(edit_one(sound, tmp_path / "edited", data))


@pytest.mark.slow
@quiet
@of_some(1500)
@given(data=st.data())
def test_a_report_of_many_edited_files_is_made_or_refused(sound, tmp_path, data):
    assert_reported(edit_one(sound, tmp_path / "edited", data))


@quiet
@pytest.mark.parametrize("name", [*JSON_FILES, *CSV_FILES])
@pytest.mark.parametrize("content", ["", "[" * 5000, '{"a": Infinity}'], ids=["empty", "deep", "infinite"])
def test_a_file_of_something_else_is_named(sound, tmp_path, name, content):
    folder = tmp_path / "edited"
    shutil.copytree(sound, folder)
    (folder / name).write_text(content)

    assert_reported(folder)
