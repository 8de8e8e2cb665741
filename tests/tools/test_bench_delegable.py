import json

import bench_delegable as tool
import pytest

from rsseg_tf.cli.main import main as run


def test_the_table_gives_both_files_and_their_ratio():
    plain = {"partitions": 4, "p50_ms": 30.0, "params": 2_000_000, "macs": 1_000_000_000, "file_bytes": 2_100_000}
    ours = {**plain, "partitions": 1, "p50_ms": 20.0, "params": 1_500_000}
    table = tool.markdown([{"backbone": "keras.applications.DenseNet121", "plain": plain, "ours": ours}])
    cells = "4 | 2.000 | 1.000 | 2.100 | 30.0 | 1 | 1.500 | 1.000 | 2.100 | 20.0 | 1.50"
    assert table.splitlines()[2] == f"| DenseNet121 | {cells} |"


@pytest.mark.slow
def test_the_command_measures_a_backbone_with_and_without_taps_that_never_meet_the_picture(tmp_path, capsys):
    out = tmp_path / "d.json"
    words = ["mobilenet_v2", "--size", "64", "--repeats", "1", "--without", "live_taps", "--out", str(out)]
    assert run(words, command=tool.main, name="bench_delegable") == 0

    (row,) = json.loads(out.read_text())["rows"]
    assert {row[name]["partitions"] for name in ("plain", "ours")} == {1}
    # Of the ASPP's three dilated kernels, 320 to 256 channels, the centers are left at 4×4.
    assert row["plain"]["params"] - row["ours"]["params"] == 3 * 8 * 320 * 256
    assert row["plain"]["macs"] - row["ours"]["macs"] == 16 * 3 * 8 * 320 * 256
    assert row["plain"]["file_bytes"] > row["ours"]["file_bytes"]
    assert "| mobilenet_v2 | 1 |" in capsys.readouterr().out
