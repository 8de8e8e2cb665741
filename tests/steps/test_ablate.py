"""An ablation's order, sharing and going on, with stand-ins for training; the real thing is slow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.config import load_config
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.report.build import Wanted, report
from rsseg_tf.report.sources import read_sources
from rsseg_tf.steps import ablate as step
from rsseg_tf.steps.ablate import Extent, ablate
from tests.report.data import make_data, make_file, make_run
from tests.steps.test_whole_job import SETTINGS

ONE = Extent(backbones=("resnet18",), repeats=2)


class Work:
    """Stands in for fit, prune, export and benchmark: notes what is asked for, and can stop at the n-th call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, stop_at: int = 0) -> None:
        self.done: list[str] = []
        self._stop_at = stop_at
        for name in ("fit", "prune", "export", "benchmark"):
            monkeypatch.setattr(step, name, getattr(self, name))

    def _note(self, line: str) -> None:
        if self._stop_at and len(self.done) + 1 == self._stop_at:
            raise KeyboardInterrupt
        self.done.append(line)

    def fit(self, config, folder):
        self._note(f"fit {config.model.backbone} {config.seed}")
        make_run(folder, config)

    def prune(self, dense, config, folder):
        self._note(f"prune {config.model.backbone} {config.seed} of {dense.parent.name}")
        make_run(folder, config, pruned=True)

    def export(self, model, config, out):
        self._note(f"export {out.name}")
        assert config.export.max_drop == 100
        make_file(out, model.parent, config, kind=config.export.type)

    def benchmark(self, files, **_options):
        self._note(f"time {len(files)} files")
        return [Timed(path) for path in files]


class Timed:
    def __init__(self, path: Path) -> None:
        self._sha256 = json.loads(path.with_name(f"{path.name}.json").read_text())["sha256"]

    def to_dict(self) -> dict[str, object]:
        return {"sha256": self._sha256, "p50_ms": 2.0}


@pytest.fixture
def config(tmp_path):
    return make_data(tmp_path / "data")


def silent(_line: str) -> None:
    """Nothing is announced."""


def test_every_model_is_made_once_and_pruning_starts_from_the_dense_one(config, tmp_path, monkeypatch):
    work = Work(monkeypatch)
    result = ablate(config, tmp_path / "out", ONE, announce=silent)
    exports = [f"export {run}_{kind}.tflite" for kind in ("float32", "int8") for run in ("dense", "pruned")]
    assert work.done == [
        *("fit resnet18 0", "prune resnet18 0 of dense", *exports),
        *("fit resnet18 1", "prune resnet18 1 of dense", *exports),
        "time 4 files",
    ]
    assert [(cell["seed"], cell["pruned"], cell["quantized"]) for cell in result["cells"]] == [
        (seed, pruned, quantized) for seed in (0, 1) for quantized in (False, True) for pruned in (False, True)
    ]
    assert result["cells"][1]["params"] == 500
    assert json.loads((tmp_path / "out" / "ablation.json").read_text())["cells"] == result["cells"]


@pytest.mark.parametrize("stop_at", [1, 2, 4, 8, 13])
def test_the_same_call_goes_on_without_repeating_anything(stop_at, config, tmp_path, monkeypatch):
    whole = Work(monkeypatch)
    expected = ablate(config, tmp_path / "whole", ONE, announce=silent)
    first = Work(monkeypatch, stop_at=stop_at)
    with pytest.raises(KeyboardInterrupt):
        ablate(config, tmp_path / "out", ONE, announce=silent)
    second = Work(monkeypatch)
    result = ablate(config, tmp_path / "out", ONE, announce=silent)
    assert first.done + second.done == whole.done
    assert result["cells"] == expected["cells"]


def test_more_repeats_go_on_with_those_that_are_there(config, tmp_path, monkeypatch):
    Work(monkeypatch)
    ablate(config, tmp_path / "out", ONE, announce=silent)
    more = Work(monkeypatch)
    result = ablate(config, tmp_path / "out", Extent(("resnet18",), repeats=3), announce=silent)
    assert [line for line in more.done if line.startswith("fit")] == ["fit resnet18 2"]
    assert len(result["cells"]) == 12


def test_other_settings_are_refused(config, tmp_path, monkeypatch, capsys):
    Work(monkeypatch)
    ablate(config, tmp_path / "out", ONE, announce=silent)
    arguments = ["ablate", "-o", str(tmp_path / "out"), "--backbones", "resnet18"]
    assert main([*arguments, *SETTINGS]) == 2
    assert "other settings" in capsys.readouterr().err


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    assert main(["ablate", "-o", str(tmp_path), *SETTINGS]) == 2
    assert "is no ablation" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (["--backbones", "resnet19"], 2, "resnet19"),
        (["--repeats", "0"], 2, "repeats"),
        (["--split", "night"], 1, "night"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_made(words, exit_code, message, tmp_path, capsys):
    assert main(["ablate", "-o", str(tmp_path / "out"), *words, *SETTINGS]) == exit_code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_scenes_stay_the_same_whatever_the_seed_of_a_repeat():
    fixed = step._with_fixed_data(load_config(overrides=[*SETTINGS, "seed=7"]))
    prints = {open_dataset(fixed.data, seed=seed).fingerprint("test") for seed in (7, 8, 9)}
    assert prints == {open_dataset(load_config(overrides=SETTINGS).data, seed=7).fingerprint("test")}


def test_a_report_reads_the_folder(config, tmp_path, monkeypatch):
    Work(monkeypatch)
    ablate(config, tmp_path / "out", ONE, announce=silent)
    result = report([tmp_path / "out"], tmp_path / "report", Wanted(places=0))
    assert result["problems"] == []
    assert result["models"] == ["dense_float32", "pruned_float32", "dense_int8", "pruned_int8"]
    table = (tmp_path / "report" / "tables" / "ablation.csv").read_text().splitlines()
    assert [line.split(",")[:4] for line in table[1:]] == [
        *(["resnet18", "False", "False", "2"], ["resnet18", "True", "False", "2"]),
        *(["resnet18", "False", "True", "2"], ["resnet18", "True", "True", "2"]),
    ]


def test_an_ablation_half_done_says_so_on_the_page(config, tmp_path, monkeypatch):
    Work(monkeypatch, stop_at=8)
    with pytest.raises(KeyboardInterrupt):
        ablate(config, tmp_path / "out", ONE, announce=silent)
    (problem,) = read_sources([tmp_path / "out"]).problems
    assert "1 of 2 repeats of resnet18" in problem.message


@pytest.mark.slow
def test_a_whole_ablation_and_its_report(tmp_path, capsys):
    words = ["ablate", "-o", str(tmp_path / "out"), "--repeats", "2", "--backbones", "resnet18", *SETTINGS]
    assert main(words) == 0
    assert "mIoU %" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "out"), "-o", str(tmp_path / "report"), "--places", "1"]) == 0
    cells = json.loads((tmp_path / "out" / "ablation.json").read_text())["cells"]
    assert len(cells) == 8
    assert len({cell["macs"] for cell in cells}) == 2
