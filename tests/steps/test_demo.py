import json

import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.config import load_config
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.steps.demo import color_baseline_miou, demo_config, format_demo

ROW_KEYS = {"name", "miou", "accuracy", "boundary_f1", "params", "macs", "file_bytes", "latency_p50_ms"}


def test_the_demo_prunes_at_least_half_of_the_macs_in_sixty_loops():
    config = demo_config()

    assert config.prune.loops == 60
    assert config.prune.macs <= 0.5


def test_the_color_classifier_is_no_match_for_the_scenes():
    overrides = ["data.name=scenes", "data.scenes.train=30", "data.scenes.test=10", "data.scenes.size=128"]

    assert 0.1 < color_baseline_miou(open_dataset(load_config(overrides=overrides).data)) < 0.5


def test_the_table_names_every_row_and_its_speed():
    rows = [
        dict.fromkeys(ROW_KEYS, 1.0) | {"name": name, "latency_p50_ms": latency}
        for name, latency in (("dense", 8.0), ("pruned_int8", 2.0))
    ]

    text = format_demo({"rows": rows, "baseline_miou": 0.3, "seconds": 61.0, "page": "demo/index.html"})

    assert "4.0×" in text
    assert "30.00 %" in text


@pytest.mark.parametrize("name", ["index.html", "demo.json", "dense/notes.txt"])
def test_a_folder_of_other_files_is_left_alone(name, tmp_path, capsys):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text('{"mine": 1}')

    assert main(["demo", "--out", str(tmp_path / "mine"), "--overwrite"]) == 2
    assert "no demo's" in capsys.readouterr().err
    assert path.read_text() == '{"mine": 1}'
    assert [each for each in (tmp_path / "mine").rglob("*") if each.is_file()] == [path]


@pytest.mark.slow
def test_the_demo_does_the_whole_job(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in result["rows"]}

    assert set(rows) == {"dense", "pruned", "int8", "pruned_int8", "light_int8"}
    assert all(set(row) == ROW_KEYS for row in rows.values())
    assert rows["dense"]["miou"] >= max(0.6, result["baseline_miou"] + 0.15)
    assert rows["pruned"]["macs"] <= 0.5 * rows["dense"]["macs"]
    assert rows["int8"]["file_bytes"] <= 0.27 * rows["dense"]["file_bytes"]
    assert rows["pruned_int8"]["miou"] > rows["dense"]["miou"] - 0.05
    assert rows["light_int8"]["macs"] <= 0.25 * rows["pruned_int8"]["macs"]
    assert rows["light_int8"]["miou"] > result["baseline_miou"] + 0.1
    assert (tmp_path / "demo" / "index.html").stat().st_size > 10_000
