import json

import bench_delegable as tool

from rsseg_tf.cli.main import main as run


def test_the_table_gives_both_files_and_their_ratio():
    plain, ours = {"partitions": 4, "p50_ms": 30.0}, {"partitions": 1, "p50_ms": 20.0}
    table = tool.markdown([{"backbone": "keras.applications.DenseNet121", "plain": plain, "ours": ours}])
    assert table.splitlines()[2] == "| DenseNet121 | 4 | 30.0 | 1 | 20.0 | 1.50 |"


def test_the_command_measures_a_backbone(tmp_path, capsys):
    out = tmp_path / "d.json"
    words = ["mobilenet_v2", "--size", "64", "--repeats", "1", "--out", str(out)]
    assert run(words, command=tool.main, name="bench_delegable") == 0

    (row,) = json.loads(out.read_text())["rows"]
    assert {row[name]["partitions"] for name in ("plain", "ours")} == {1}
    assert "| mobilenet_v2 | 1 |" in capsys.readouterr().out
