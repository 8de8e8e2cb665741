"""An ablation's order, sharing and going on, with stand-ins for training; the real thing is slow."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.config import dump_yaml, load_config
from rsseg_tf.config.export import check_export
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.datasets.images.pixels import read_indices, write_image
from rsseg_tf.errors import ConfigError
from rsseg_tf.evaluation.comparison import compare
from rsseg_tf.inference.predict import open_predictor
from rsseg_tf.number_formats import FORMATS
from rsseg_tf.report.build import Wanted, report
from rsseg_tf.report.sources import read_sources
from rsseg_tf.runs import TEMPORARY
from rsseg_tf.steps import ablate as step
from rsseg_tf.steps.ablate import ablate, format_ablation
from rsseg_tf.steps.ablation.recipes import Extent, recipes_of
from tests.datasets.readers.test_uavid import write_uavid
from tests.report.data import make_data, make_file, make_run
from tests.steps.test_whole_job import SETTINGS

CONFIGS = Path(__file__).parents[2] / "configs"
TWICE = Extent(repeats=2)


class Work:
    """Stands in for fit, prune, export and benchmark: notes what is asked for, and can stop at the n-th call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, stop_at: int = 0) -> None:
        self.done: list[str] = []
        self._stop_at = stop_at
        for name in ("fit", "prune", "train_control", "export", "benchmark"):
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
        assert config.prune.control == "none"
        make_run(folder, config, pruned=True)

    def train_control(self, dense, config, folder, control, *, loops):
        self._note(f"control {control} {config.model.backbone} {config.seed} of {dense.parent.name}, {loops} loops")
        make_run(folder, config, control=control)

    def export(self, model, config, out):
        self._note(f"export {out.name}")
        assert config.export.max_drop == 100
        check_export(config.export)
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
    made = make_data(tmp_path / "data")
    splits = ("val", "train", "test")
    lines = [f"{number}.png,{number}_mask.png,{split}\n" for number, split in enumerate(splits)]
    (tmp_path / "data" / "pairs.csv").write_text("".join(["image,mask,split\n", *lines]))
    return made


@pytest.fixture
def recipes(config):
    return recipes_of([config])


def silent(_line: str) -> None:
    """Nothing is announced."""


def test_every_model_is_made_once_and_pruning_starts_from_the_dense_one(recipes, tmp_path, monkeypatch):
    work = Work(monkeypatch)
    result = ablate(recipes, tmp_path / "out", TWICE, announce=silent)
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


@pytest.mark.parametrize("stop_at", [2, 13, *(pytest.param(step, marks=pytest.mark.slow) for step in (1, 4, 8))])
def test_the_same_call_goes_on_without_repeating_anything(stop_at, recipes, tmp_path, monkeypatch):
    whole = Work(monkeypatch)
    expected = ablate(recipes, tmp_path / "whole", TWICE, announce=silent)
    first = Work(monkeypatch, stop_at=stop_at)
    with pytest.raises(KeyboardInterrupt):
        ablate(recipes, tmp_path / "out", TWICE, announce=silent)
    second = Work(monkeypatch)
    result = ablate(recipes, tmp_path / "out", TWICE, announce=silent)
    assert first.done + second.done == whole.done
    assert result["cells"] == expected["cells"]


def test_more_repeats_go_on_with_those_that_are_there(recipes, tmp_path, monkeypatch):
    Work(monkeypatch)
    ablate(recipes, tmp_path / "out", TWICE, announce=silent)
    more = Work(monkeypatch)
    result = ablate(recipes, tmp_path / "out", Extent(repeats=3), announce=silent)
    assert [line for line in more.done if line.startswith("fit")] == ["fit resnet18 2"]
    assert len(result["cells"]) == 12


def test_other_settings_are_refused(recipes, tmp_path, monkeypatch, capsys):
    Work(monkeypatch)
    ablate(recipes, tmp_path / "out", TWICE, announce=silent)
    arguments = ["ablate", "-o", str(tmp_path / "out"), "--backbones", "resnet18"]
    assert main([*arguments, *SETTINGS]) == 2
    assert "other settings" in capsys.readouterr().err


def test_another_split_than_was_scored_is_refused_with_both_named(recipes, tmp_path, monkeypatch):
    Work(monkeypatch)
    ablate(recipes, tmp_path / "out", TWICE, announce=silent)
    with pytest.raises(ConfigError, match=r"was scored on `test`, not on `val`"):
        ablate(recipes, tmp_path / "out", replace(TWICE, split="val"), announce=silent)


@pytest.mark.parametrize(("name", "split"), [("2_mask.png", "test"), ("0_mask.png", "val")])
def test_labels_that_changed_since_are_refused(name, split, config, recipes, tmp_path, monkeypatch):
    Work(monkeypatch)
    ablate(recipes, tmp_path / "out", TWICE, announce=silent)
    mask = Path(config.data.root) / name
    write_image(mask, np.flipud(read_indices(mask)).copy())
    with pytest.raises(ConfigError, match=f"was made from other files: `content:{split}` changed since"):
        ablate(recipes, tmp_path / "out", Extent(repeats=3), announce=silent)


def test_only_scenes_are_given_a_seed_that_stays(config):
    (fixed,) = recipes_of([config]).values()
    assert fixed.data == config.data


def test_what_a_kill_left_half_written_in_a_new_folder_keeps_no_ablation_from_beginning(recipes, tmp_path, monkeypatch):
    work, left = Work(monkeypatch), tmp_path / "out" / f"{TEMPORARY}1.json"
    left.parent.mkdir()
    left.touch()

    ablate(recipes, left.parent, TWICE, announce=silent)

    assert work.done
    assert not left.exists()


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    assert main(["ablate", "-o", str(tmp_path), *SETTINGS]) == 2
    assert "is not an ablation" in capsys.readouterr().err
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


@pytest.mark.parametrize("data", ["uavid", "vaihingen"])
def test_the_papers_recipes_make_one_ablation(data):
    recipes = recipes_of([load_config(CONFIGS / f"{data}_{name}.yaml") for name in ("r18", "r50")])
    assert {name: config.prune.params for name, config in recipes.items()} == {"resnet18": 0.447, "resnet50": 0.861}
    assert all(config.model.weights == "imagenet" for config in recipes.values())


def test_each_configuration_stands_for_its_backbone(config, tmp_path, monkeypatch):
    work = Work(monkeypatch)
    larger = replace(config, model=replace(config.model, backbone="resnet50"), prune=replace(config.prune, params=0.8))
    result = ablate(recipes_of([config, larger]), tmp_path / "out", Extent(repeats=1), announce=silent)
    assert [line for line in work.done if line.startswith(("fit", "time"))] == [
        *("fit resnet18 0", "fit resnet50 0", "time 8 files")
    ]
    assert result["backbones"] == ["resnet18", "resnet50"]
    pruned = [load_config(tmp_path / "out" / name / "seed0/pruned/config.yaml").prune for name in result["backbones"]]
    assert pruned == [config.prune, larger.prune]


def test_an_ablation_of_one_backbone_grows_by_another(config, tmp_path, monkeypatch):
    Work(monkeypatch)
    ablate(recipes_of([config]), tmp_path / "out", TWICE, announce=silent)
    more = Work(monkeypatch)
    result = ablate(recipes_of([config], ["resnet18", "resnet50"]), tmp_path / "out", TWICE, announce=silent)
    assert [line for line in more.done if line.startswith("fit")] == ["fit resnet50 0", "fit resnet50 1"]
    assert len(result["cells"]) == 16


def test_architectures_on_one_backbone_are_networks_of_their_own(config, tmp_path, monkeypatch):
    work = Work(monkeypatch)
    light = replace(config, model=replace(config.model, architecture="bisenet"))
    result = ablate(recipes_of([config, light]), tmp_path / "out", Extent(repeats=1), announce=silent)

    assert [line for line in work.done if line.startswith("fit")] == ["fit resnet18 0", "fit resnet18 0"]
    assert result["backbones"] == ["resnet18", "bisenet-resnet18"]
    assert [cell["backbone"] for cell in result["cells"]] == ["resnet18"] * 4 + ["bisenet-resnet18"] * 4
    assert (tmp_path / "out" / "bisenet-resnet18" / "seed0" / "pruned").is_dir()


@pytest.mark.parametrize("words", [("resnet50",), ("resnet19",)])
def test_a_network_that_there_is_not_is_an_error_before_anything_is_trained(config, words):
    shelf = replace(config, model=replace(config.model, architecture="shelfnet18"))
    with pytest.raises(ConfigError, match="`shelfnet18` has a backbone of its own"):
        recipes_of([shelf], words)


@pytest.mark.parametrize(
    ("change", "backbones", "message"),
    [
        (lambda config: config, (), "two configurations name the network `resnet18`"),
        (lambda config: replace(config, data=replace(config.data, root="elsewhere")), (), "differ in `data`"),
        (lambda config: config, ("resnet50",), "--backbones cannot be combined with several"),
    ],
)
def test_configurations_that_make_no_ablation_are_refused(change, backbones, message, config):
    model = config.model if "two" in message else replace(config.model, backbone="resnet50")
    with pytest.raises(ConfigError, match=message) as caught:
        recipes_of([config, change(replace(config, model=model))], backbones)
    assert caught.value.hint


@pytest.mark.parametrize("kind", [name for name, known in FORMATS.items() if known.is_quantized])
def test_a_quantized_type_is_made_and_called_so_as_in_the_report(kind, config, tmp_path, monkeypatch):
    """Whatever the settings ask of it that float32 files do not have."""
    work, wanted = Work(monkeypatch), replace(config.export, type=kind, equalize=kind == "int8")
    recipes = recipes_of([replace(config, export=wanted)])

    result = ablate(recipes, tmp_path / "out", Extent(repeats=1), announce=silent)

    assert [line for line in work.done if line.startswith("export")] == [
        f"export {run}_{each}.tflite" for each in ("float32", kind) for run in ("dense", "pruned")
    ]
    assert [cell["quantized"] for cell in result["cells"]] == [False, False, True, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "float32"}, "quantized ones, and float32 is none"),
        ({"type": "float16"}, "quantized ones, and float16 is none"),
        ({"type": "dynamic", "target": "edgetpu"}, "export.target=edgetpu` is for int8"),
    ],
)
def test_a_type_that_makes_no_ablation_is_refused_before_anything_is_trained(settings, message, config):
    with pytest.raises(ConfigError, match=message) as caught:
        recipes_of([replace(config, export=replace(config.export, **settings))])
    assert "int8" in caught.value.hint


def test_withheld_labels_are_said_before_anything_is_trained(tmp_path, capsys):
    write_uavid(tmp_path / "uavid")
    words = ["ablate", "-c", str(CONFIGS / "uavid_r18.yaml"), "-o", str(tmp_path / "out")]
    assert main([*words, f"data.root={tmp_path / 'uavid'}", f"data.cache_dir={tmp_path / 'cache'}"]) == 1
    message = capsys.readouterr().err
    assert "in the split `test` has no mask" in message
    assert "--split val" in message
    assert not (tmp_path / "out").exists()


def test_missing_weights_of_the_last_backbone_are_said_before_the_first_is_trained(
    config, tmp_path, monkeypatch, capsys
):
    work = Work(monkeypatch)
    words = ["ablate", "-o", str(tmp_path / "out")]
    for backbone, weights in (("resnet18", "none"), ("mobilenet_v2", "none.pth")):
        path = tmp_path / f"{backbone}.yaml"
        model = replace(config.model, backbone=backbone, weights=weights)
        path.write_text(dump_yaml(replace(config, model=model)), encoding="utf-8")
        words += ["-c", str(path)]
    assert main(words) != 0
    assert "none.pth" in capsys.readouterr().err
    assert work.done == []
    assert not (tmp_path / "out").exists()


def test_scenes_stay_the_same_whatever_the_seed_of_a_repeat():
    (fixed,) = recipes_of([load_config(overrides=[*SETTINGS, "seed=7"])]).values()
    prints = {open_dataset(fixed.data, seed=seed).fingerprint("test") for seed in (7, 8, 9)}
    assert prints == {open_dataset(load_config(overrides=SETTINGS).data, seed=7).fingerprint("test")}


def test_a_report_reads_the_folder(recipes, tmp_path, monkeypatch):
    Work(monkeypatch)
    ablate(recipes, tmp_path / "out", TWICE, announce=silent)
    result = report([tmp_path / "out"], tmp_path / "report", Wanted(places=0))
    assert result["problems"] == []
    assert result["models"] == ["dense_float32", "pruned_float32", "dense_int8", "pruned_int8"]
    table = (tmp_path / "report" / "tables" / "ablation.csv").read_text().splitlines()
    assert [line.split(",")[:4] for line in table[1:]] == [
        *(["resnet18", "False", "False", "2"], ["resnet18", "True", "False", "2"]),
        *(["resnet18", "False", "True", "2"], ["resnet18", "True", "True", "2"]),
    ]


def test_an_ablation_half_done_says_so_on_the_page(recipes, tmp_path, monkeypatch):
    Work(monkeypatch, stop_at=8)
    with pytest.raises(KeyboardInterrupt):
        ablate(recipes, tmp_path / "out", TWICE, announce=silent)
    (problem,) = read_sources([tmp_path / "out"]).problems
    assert "1 of 2 repeats of resnet18" in problem.message


CONTROLLED = Extent(repeats=2, control=True)
RUNS = ("dense", "control-plain", "control-teacher", "pruned")


def test_controls_are_cells_beside_the_networks_that_they_judge(recipes, tmp_path, monkeypatch):
    work = Work(monkeypatch)
    result = ablate(recipes, tmp_path / "out", CONTROLLED, announce=silent)
    exports = [f"export {run}_{kind}.tflite" for kind in ("float32", "int8") for run in RUNS]
    assert work.done == [
        *("fit resnet18 0", "prune resnet18 0 of dense"),
        *(f"control {kind} resnet18 0 of dense, 2 loops" for kind in ("plain", "teacher")),
        *exports,
        *("fit resnet18 1", "prune resnet18 1 of dense"),
        *(f"control {kind} resnet18 1 of dense, 2 loops" for kind in ("plain", "teacher")),
        *exports,
        "time 4 files",
    ]
    assert [(cell["seed"], cell["pruned"], cell["quantized"], cell.get("control")) for cell in result["cells"]] == [
        (seed, run == "pruned", quantized, run.partition("-")[2] or None)
        for seed in (0, 1)
        for quantized in (False, True)
        for run in RUNS
    ]
    assert json.loads((tmp_path / "out" / "ablation.json").read_text())["differences"] == result["differences"]


def test_each_pruned_network_differs_from_its_control_as_evaluate_says(recipes, tmp_path, monkeypatch):
    Work(monkeypatch)
    result = ablate(recipes, tmp_path / "out", CONTROLLED, announce=silent)
    places = [[each[key] for key in ("seed", "quantized", "control")] for each in result["differences"]]
    assert places == [[s, q, kind] for s in (0, 1) for q in (False, True) for kind in ("plain", "teacher")]

    folder, (config,) = tmp_path / "out" / "resnet18" / "seed1", recipes.values()
    files = [folder / f"{run}_int8.tflite" for run in ("control-teacher", "pruned")]
    dataset = open_dataset(config.data, seed=config.seed)
    (expected,) = compare({file.name: open_predictor(file) for file in files}, dataset).to_dict()["differences"]
    found = result["differences"][-1]
    assert {key: found[key] for key in expected if key in found} == {
        key: value for key, value in expected.items() if key not in ("model", "against")
    }
    lines = format_ablation(result).splitlines()
    (line,) = [line for line in lines if line.startswith("| resnet18 | 1 | × | control-teacher |")]
    assert line.endswith(f"| {expected['loss']} |")


def test_controls_are_added_to_an_ablation_that_had_none(recipes, tmp_path, monkeypatch):
    Work(monkeypatch)
    without = ablate(recipes, tmp_path / "out", TWICE, announce=silent)
    more = Work(monkeypatch)
    result = ablate(recipes, tmp_path / "out", CONTROLLED, announce=silent)
    assert [line for line in more.done if line.startswith(("fit", "prune", "time"))] == []
    assert [cell for cell in result["cells"] if "control" not in cell] == without["cells"]
    assert len(result["differences"]) == 8

    nothing = Work(monkeypatch)
    again = ablate(recipes, tmp_path / "out", TWICE, announce=silent)
    assert nothing.done == []
    assert again["cells"] == without["cells"]
    assert "differences" not in again


@pytest.mark.parametrize("stop_at", [12, *(pytest.param(step, marks=pytest.mark.slow) for step in (3, 5, 14))])
def test_an_ablation_with_controls_goes_on_where_it_was_stopped(stop_at, recipes, tmp_path, monkeypatch):
    whole = Work(monkeypatch)
    expected = ablate(recipes, tmp_path / "whole", CONTROLLED, announce=silent)
    first = Work(monkeypatch, stop_at=stop_at)
    with pytest.raises(KeyboardInterrupt):
        ablate(recipes, tmp_path / "out", CONTROLLED, announce=silent)
    second = Work(monkeypatch)
    result = ablate(recipes, tmp_path / "out", CONTROLLED, announce=silent)
    assert first.done + second.done == whole.done
    assert result["differences"] == expected["differences"]


def test_the_settings_may_ask_for_controls_and_a_recipe_without_a_teacher_has_the_plain_one(
    config, tmp_path, monkeypatch
):
    asked = Work(monkeypatch)
    wanted = replace(config.prune, control="teacher")
    ablate(recipes_of([replace(config, prune=wanted)]), tmp_path / "asked", Extent(1), announce=silent)
    assert [line.split()[1] for line in asked.done if line.startswith("control")] == ["teacher"]

    alone = Work(monkeypatch)
    undistilled = replace(config.prune, distill=replace(config.prune.distill, weight=0))
    extent = Extent(1, control=True)
    ablate(recipes_of([replace(config, prune=undistilled)]), tmp_path / "alone", extent, announce=silent)
    assert [line.split()[1] for line in alone.done if line.startswith("control")] == ["plain"]


def test_controls_of_nothing_are_refused_before_anything_is_trained(tmp_path, capsys):
    words = ["ablate", "--control", "-o", str(tmp_path / "out"), *SETTINGS, "prune.retrain.epochs=0"]
    assert main(words) == 2
    assert "trained for as long as the pruned network is" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_report_of_an_ablation_with_controls_judges_against_them(recipes, tmp_path, monkeypatch):
    Work(monkeypatch)
    ablate(recipes, tmp_path / "out", CONTROLLED, announce=silent)
    result = report([tmp_path / "out"], tmp_path / "report", Wanted(places=0))
    assert result["problems"] == []
    assert result["models"] == [f"{run}_{kind}" for kind in ("float32", "int8") for run in RUNS]
    tables = tmp_path / "report" / "tables"
    with (tables / "control.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["seed"], row["against"]) for row in rows] == [
        (seed, f"control-{kind}") for seed in "01" for _ in range(2) for kind in ("plain", "teacher")
    ]
    with (tables / "ablation.csv").open() as stream:
        assert [row["control"] for row in csv.DictReader(stream)] == ["", "plain", "teacher", ""] * 2
    for name in ("differences", "compression"):
        with (tables / f"{name}.csv").open() as stream:
            assert {row["against"] for row in csv.DictReader(stream)} == {"control-teacher_float32"}


@pytest.mark.slow
def test_a_whole_ablation_with_controls(tmp_path, capsys):
    words = ["ablate", "-o", str(tmp_path / "out"), "--repeats", "1", "--control", *SETTINGS]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "What pruning cost: against the dense network trained as long" in out
    result = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert (len(result["cells"]), len(result["differences"])) == (8, 4)


@pytest.mark.slow
def test_a_whole_ablation_and_its_report(tmp_path, capsys):
    words = ["ablate", "-o", str(tmp_path / "out"), "--repeats", "2", "--backbones", "resnet18", *SETTINGS]
    assert main(words) == 0
    assert "mIoU %" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "out"), "-o", str(tmp_path / "report"), "--places", "1"]) == 0
    cells = json.loads((tmp_path / "out" / "ablation.json").read_text())["cells"]
    assert len(cells) == 8
    *pruned, dense = sorted({cell["macs"] for cell in cells})
    assert pruned
    assert all(0.4 * dense < macs <= 0.5 * dense for macs in pruned)  # each seed has channels of its own
