import json

import bench_dilation as tool
import pytest
from bench_work import Work

from rsseg_tf.cli.main import main as run
from rsseg_tf.errors import RssegError


def test_all_ways_take_turns_and_the_first_calls_do_not_count():
    called = []
    ways = {name: lambda name=name: called.append(name) or 2.0 for name in "ab"}
    seconds = tool.in_turns(ways, 3)

    assert called == list("abababab")
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


@pytest.mark.parametrize("other", [1.02, float("nan")])
def test_ways_that_compute_different_things_are_not_compared(other):
    with pytest.raises(RssegError, match="not compute the same"):
        tool.in_turns({"a": lambda: 1.0, "b": lambda: other}, 1)


def test_the_table_gives_medians_and_their_ratio():
    work = Work("resnet18", 64, 2, 0, 1, 1.0, "float32")
    table = tool.markdown(work, {"prediction": {"keras": [9.0, 3.0, 2.0], "native": [0.5, 1.5, 2.0]}})

    assert table.splitlines()[2] == "| resnet18 64², batch 2, float32 | prediction | 3.000 | 1.500 | 2.0 |"


@pytest.mark.slow
def test_the_command_measures_both_parts(tmp_path, capsys):
    out = tmp_path / "d.json"
    words = ["--size", "32", "--batch", "2", "--repeats", "1", "--out", str(out)]
    assert run(words, command=tool.main, name="bench_dilation") == 0

    held = json.loads(out.read_text())
    assert set(held["seconds"]) == {"gradient step", "prediction"}
    assert all(set(times) == {"keras", "native"} for times in held["seconds"].values())
    assert "| gradient step |" in capsys.readouterr().out
