import json
from pathlib import Path

import frontier as tool
import pytest
from comparison import points
from comparison.commands import CommandError

from rsseg_tf.cli.main import main as run
from rsseg_tf.config import load_config
from rsseg_tf.errors import ConfigError

DUBAI = Path(__file__).parents[2] / "configs/dubai_r18.yaml"


def job(folder: Path, **more) -> tool.Job:
    values = {"config": DUBAI, "overrides": (), "steps": 30, "retrain": 10, "out": folder}
    return tool.Job(**{**values, **more})


@pytest.mark.parametrize("name", tool.NETWORKS)
def test_every_network_trains_as_many_steps(name, tmp_path):
    config = load_config(DUBAI, job(tmp_path).words(tool.NETWORKS[name], 30, 2))
    assert (config.fit.epochs, config.fit.steps_per_epoch, config.seed) == (1, 30, 2)


class Commands:
    """Stands in for `rsseg-tf`: notes each command and writes what it would."""

    def __init__(self, ms: dict[str, float], *, codes: dict[str, int] | None = None) -> None:
        self.ms, self.words, self.codes = ms, [], codes or {}

    def __call__(self, *words: str) -> str:
        self.words.append(words)
        if code := next((code for part, code in self.codes.items() if any(part in word for word in words)), 0):
            raise CommandError("prune", code)
        if words[0] in ("fit", "prune"):
            folder = Path(words[words.index("-o") + 1])
            folder.mkdir()
            (folder / "manifest.json").write_text("{}")
        elif words[0] == "export-tflite":
            Path(words[3]).write_text(words[1])
        elif "--profile" in words:
            Path(words[-1]).write_text(json.dumps({"total_ms": 1.5 * self.of(words[1])}))  # of a busier hour
        elif words[0] == "evaluate":
            files = words[1 : words.index("-c")]
            models = [{"miou": 0.5 + 0.01 * place, "iou": {}, "boundary_f1": 0.4} for place in range(len(files))]
            return json.dumps({"models": models, "differences": [{} for _ in files[1:]]})
        else:
            files = words[1 : words.index("--repeats")]
            results = [{"p50_ms": self.of(path), "file_bytes": 1_000_000} for path in files]
            return json.dumps({"results": results, "profile": None})
        return ""

    def of(self, path: str) -> float:
        return next((ms for name, ms in self.ms.items() if Path(path).name.startswith(name)), 5.0)


def test_a_network_is_pruned_to_shares_of_the_reference_and_nothing_is_done_twice(tmp_path, monkeypatch):
    done = Commands({"r18-light": 9.0, "r18": 40.0})
    monkeypatch.setattr(tool, "command", done)
    for _ in range(2):
        files = [*tool.files_of(job(tmp_path), ["r18", "r18-light"], 0)]
        figures = tool.measured(job(tmp_path), files, 0, repeats=5)

    assert [name for name, _ in files] == [
        "r18",
        "r18, 1/2",
        "r18, 1/4",
        "r18-light",
        "r18-light, 1/6",
        "r18-light, 1/9",
    ]
    assert [words[0] for words in done.words].count(
        "fit"
    ) == 4  # the whole training of each, and what pruning begins with
    targets = [next(word for word in words if "latency" in word) for words in done.words if words[0] == "prune"]
    assert targets == [f"prune.latency_ms={ms}" for ms in ("30.000", "15.000", "10.000", "6.667")]
    assert [words[0] for words in done.words].count("evaluate") == 1
    assert [row["miou"] for row in tool.read_rows(figures)] == [0.5, 0.51, 0.52, 0.53, 0.54, 0.55]


def test_a_teacher_is_trained_first_and_for_as_many_steps(tmp_path, monkeypatch):
    done = Commands({})
    monkeypatch.setattr(tool, "command", done)
    monkeypatch.setitem(tool.NETWORKS, "pupil", tool.Network(("model.width=0.5",), teacher="r18"))
    job(tmp_path).trained("pupil", 20, 1)
    teacher, pupil = (words for words in done.words if words[0] == "fit")
    assert {"fit.steps_per_epoch=30", "seed=1"} < set(teacher)
    assert {"fit.steps_per_epoch=20", f"fit.distill.teacher={tmp_path / 'r18-30-s1'}"} < set(pupil)


def test_a_rival_has_its_share_of_the_references_time_and_the_best_of_its_runtimes(tmp_path):
    path = tmp_path / "yolo.json"
    rows = {
        "yolo, one": {"p50_ms": 5.0, "file_bytes": 9, "scores": {"miou": 0.4}},
        "yolo, other": {"p50_ms": 4.0, "file_bytes": 3, "scores": {"miou": 0.3}},
        "r18-30-s0, litert": {"p50_ms": 40.0},
        "r18-30-s0, openvino": {"p50_ms": 1.0},
    }
    path.write_text(json.dumps({"rows": rows, "seed": 0}))

    (row,) = tool.rival(path, {"stem": "r18-30-s0", "ms": 20.0}, 0)

    assert row == {"name": "yolo, other", "miou": 0.3, "file_bytes": 3, "ms": 2.0}
    assert tool.rival(path, {"stem": "r18-30-s0", "ms": 20.0}, 1) == []
    with pytest.raises(ConfigError, match="does not hold a rival timed beside `r18-99-s0`"):
        tool.rival(path, {"stem": "r18-99-s0", "ms": 20.0}, 0)


def test_a_time_that_a_network_cannot_reach_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "command", Commands({"r18": 40.0}, codes={"latency_ms=15.000": 2}))
    assert [name for name, _ in tool.files_of(job(tmp_path), ["r18"], 0)] == ["r18", "r18, 1/2"]


def test_another_failure_ends_it(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "command", Commands({"r18": 40.0}, codes={"latency_ms=15.000": 1}))
    with pytest.raises(CommandError, match="ended with 1"):
        list(tool.files_of(job(tmp_path), ["r18"], 0))


def test_other_settings_are_refused_in_the_same_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "command", Commands({}))
    words = ["-c", str(DUBAI), "--out", str(tmp_path), "--networks", "bisenet", "--retrain", "10"]
    assert run([*words, "--steps", "30"], command=tool.main, name="frontier") == 0
    assert "| bisenet | 1 |" in capsys.readouterr().out
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG")
    assert run([*words, "--steps", "40"], command=tool.main, name="frontier") == 2
    assert "other settings" in capsys.readouterr().err


def test_the_table_has_means_over_seeds_and_marks_the_front():
    def seed(*values: tuple[str, float, float]):
        return [{"name": name, "ms": ms, "miou": miou, "file_bytes": 2e6} for name, ms, miou in values]

    found = points.points_of(
        [seed(("a", 40, 0.5), ("b", 10, 0.4)), seed(("a", 44, 0.6), ("b", 11, 0.6), ("c", 50, 0.5))]
    )
    rows = points.markdown(found).splitlines()[2:]

    assert rows[0] == "| b | 2 | 10.5 | 0.250 | 50.00 ± 14.14 | -5.00 | 2.00 | * |"
    assert rows[1] == "| a | 2 | 42.0 | 1.000 | 55.00 ± 7.07 | +0.00 | 2.00 | * |"
    assert rows[2].endswith("| -10.00 | 2.00 |  |")


@pytest.mark.parametrize(
    ("more", "part"), [(["--networks", "vgg"], "unknown network `vgg`"), (["--retrain", "99"], "leaves nothing of")]
)
def test_a_bad_command_line_is_one_message(more, part, tmp_path, capsys):
    words = ["-c", str(DUBAI), "--out", str(tmp_path), "--steps", "30", "--retrain", "10", *more]
    assert run(words, command=tool.main, name="frontier") == 2
    assert part in capsys.readouterr().err
