"""The figure of cuts has each method's files where their operations and scores are."""

import json

import cv2
import draw_cuts as tool
import pytest

from rsseg_tf.cli.main import main as run
from rsseg_tf.tflite.flatbuffer import read_model


@pytest.fixture
def folder(models, tmp_path):
    """What compare_pruning.py leaves of two methods, as far as the figure needs it."""
    for name, file, miou in (("dense", "float32", 0.8), ("ours", "int8", 0.75)):
        row = {"method": name, "int8_file": f"/elsewhere/{name}.tflite", "int8_test_miou": miou}
        (tmp_path / f"{name}.json").write_text(json.dumps(row))
        (tmp_path / f"{name}.tflite").write_bytes((models / f"{file}.tflite").read_bytes())
    (tmp_path / "latency.json").write_text(json.dumps({"dense.tflite": 3.0}))
    return tmp_path


def drawn(monkeypatch, *words):
    """Return what is drawn."""
    found = {}
    monkeypatch.setattr(tool, "draw", lambda series, _: found.update(series))
    assert run([*map(str, words)], command=tool.main, name="draw_cuts") == 0
    return found


def test_a_point_is_a_files_operations_and_its_score(folder, models, monkeypatch):
    (folder / "narrow").mkdir()
    beside = folder / "narrow/scores.json"
    beside.write_text(json.dumps({"models": [{"model": str(models / "int8.tflite"), "miou": 0.7}]}))
    series = drawn(monkeypatch, folder, "--beside", f"narrow={beside}", "-o", folder / "cuts.png")
    macs = read_model(models / "int8.tflite").macs
    assert series["ours"] == [(macs, 0.75)]
    assert series["narrow"] == [(macs, 0.7)]
    assert series["dense"] == [(read_model(models / "float32.tflite").macs, 0.8)]


def test_the_figure_is_a_picture_with_a_line_a_method(folder):
    path = folder / "cuts.png"
    tool.draw({"dense": [(100, 0.8)], "ours": [(50, 0.7), (20, 0.6)]}, path)
    one = cv2.imread(str(path))
    tool.draw({"dense": [(100, 0.8)], "ours": [(50, 0.7), (20, 0.6)], "random": [(50, 0.5), (20, 0.4)]}, path)
    two = cv2.imread(str(path))
    vermilion = (0, 94, 213)  # the second color, blue first
    assert not (one == vermilion).all(-1).any()
    assert (two == vermilion).all(-1).any()


def test_a_folder_without_a_dense_network_is_refused(tmp_path, capsys):
    assert run([str(tmp_path), "-o", str(tmp_path / "cuts.png")], command=tool.main, name="draw_cuts") == 2
    assert "compare_pruning" in capsys.readouterr().err
