import json
from dataclasses import replace
from pathlib import Path

import pytest
import recipe_ablation as tool

from rsseg_tf.cli.main import main as run
from rsseg_tf.errors import ConfigError

DUBAI = Path(__file__).parents[2] / "configs/dubai_r18.yaml"
BUDGET = tool.Budget(size=64, batch=2, epochs=1, steps=1)
BASE = tool.Base(DUBAI, ("fit.class_sampling=0",), BUDGET)
LOG = "epoch,learning_rate,loss,val_miou,seconds\n1,0.001,1.5,nan,2.5\n2,0.001,1.2,0.4,3.5\n"


def figures(miou: float, **more):
    return {
        "changes": [],
        "test_miou": miou,
        "val_miou": 0.5,
        "test_boundary_f1": 0.3,
        "test_iou": {"road": miou, "car": None},
        "train_s": 60.0,
        **more,
    }


@pytest.mark.parametrize("name", tool.CELLS)
def test_every_cell_is_a_recipe_that_differs_from_the_base(name):
    base, cell = BASE.config(tool.BASE), BASE.config(name)

    assert (cell == base) == (name == tool.BASE)
    assert (cell.fit.epochs, cell.fit.steps_per_epoch, cell.data) == (1, 1, base.data)
    assert cell.fit.class_sampling == (0.5 if "class-sampling" in name else 0)


def test_a_cell_that_the_base_has_already_is_refused():
    base = tool.Base(DUBAI, ("fit.class_sampling=0.5",), BUDGET)
    with pytest.raises(ConfigError, match=r"`class-sampling` is the base recipe: it has `fit.class_sampling=0.5`"):
        base.config("class-sampling")


def test_a_cell_is_trained_and_scored_once(tmp_path, monkeypatch):
    commands = []

    def command(*words):
        commands.append(words[0])
        folder = tmp_path / "out/dice-0"
        if words[0] == "fit":
            folder.mkdir(parents=True)
            (folder / "log.csv").write_text(LOG)
            (folder / "manifest.json").write_text('{"results": {"val_miou": 0.25}}')
        return '{"miou": 0.5, "accuracy": 0.8, "boundary_f1": 0.3, "iou": {"road": 0.5}}'

    monkeypatch.setattr(tool, "command", command)
    for _ in range(2):
        tool.run_cell("dice", BASE, tmp_path / "out", seed=0)

    assert commands == ["fit", "evaluate"]
    held = json.loads((tmp_path / "out/dice-0.json").read_text())
    assert (held["val_miou"], held["test_miou"], held["train_s"]) == (0.25, 0.5, 6.0)
    assert held["changes"] == ["fit.dice=0.5"]
    assert not (tmp_path / "out/dice-0").exists()


def test_a_cell_killed_after_its_training_is_scored_only(tmp_path, monkeypatch):
    commands = []
    folder = tmp_path / "dice-0"
    folder.mkdir()
    (folder / "log.csv").write_text(LOG)
    (folder / "manifest.json").write_text('{"results": {"val_miou": 0.25}}')
    scores = '{"miou": 0.5, "accuracy": 0.8, "boundary_f1": 0.3, "iou": {}}'
    monkeypatch.setattr(tool, "command", lambda *words: commands.append(words[0]) or scores)
    tool.run_cell("dice", BASE, tmp_path, seed=0)

    assert commands == ["evaluate"]


def test_figures_of_other_settings_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "dice-0"
    folder.mkdir()
    (folder / "log.csv").write_text(LOG)
    (folder / "manifest.json").write_text('{"results": {"val_miou": 0.25}}')
    scores = '{"miou": 0.5, "accuracy": 0.8, "boundary_f1": 0.3, "iou": {}}'
    monkeypatch.setattr(tool, "command", lambda *_words: scores)
    tool.run_cell("dice", BASE, tmp_path, seed=0)

    tool.run_cell("dice", BASE, tmp_path, seed=0)
    with pytest.raises(ConfigError, match="other settings"):
        tool.run_cell("dice", replace(BASE, overrides=("fit.learning_rate=0.5",)), tmp_path, seed=0)


def test_the_table_ranks_cells_against_the_base():
    table = tool.markdown({"base": [figures(0.5), figures(0.6)], "dice": [figures(0.65)]})
    rows = table.splitlines()

    assert rows[2].startswith("| `dice` | – | 1 | 65.00 | +10.00 |")
    assert rows[3].startswith("| `base` | – | 2 | 55.00 ± 7.07 | +0.00 |")
    assert "car %" in rows[0]


def test_cells_of_like_names_are_told_apart(tmp_path):
    for name in ("dice-0", "dice-class-sampling-0", "dice-1"):
        (tmp_path / f"{name}.json").write_text(json.dumps(figures(0.5)))

    assert {name: len(seeds) for name, seeds in tool.figures_in(tmp_path).items()} == {
        "dice": 2,
        "dice-class-sampling": 1,
    }


def test_an_unknown_cell_is_a_bad_command_line(tmp_path, capsys):
    words = ["-c", str(tmp_path / "c.yaml"), "--cells", "magic", "--out", str(tmp_path)]
    assert run(words, command=tool.main, name="recipe_ablation") == 2
    assert "unknown cell `magic`" in capsys.readouterr().err
