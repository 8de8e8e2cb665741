import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from rsseg_tf.cli.main import cli, main
from rsseg_tf.datasets import read_image
from tests.datasets.readers.layouts import write_csv, write_flat


def run(*arguments):
    return CliRunner().invoke(cli, ["data", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path):
    for index in range(2):
        write_flat(tmp_path / f"i{index}.png", (index, 9, 9))
        write_flat(tmp_path / f"m{index}.png", (1, 2, 3))
    write_csv(tmp_path / "splits.csv", "i0.png,m0.png,train", "i1.png,m1.png,val")
    (tmp_path / "data.yaml").write_text(
        f"data: {{name: folder, root: '{tmp_path}', "
        "folder: {pairs: splits.csv, classes: {road: '010203', tree: '040506'}}}",
        encoding="utf-8",
    )
    return tmp_path


def test_a_sound_data_set_passes_the_check(folder):
    result = run("check", "-c", folder / "data.yaml", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert sorted(report) == ["contents", "dealing", "problems", "repeats", "splits", "warnings"]
    assert report["splits"]["train"]["pixels"] == {"road": 96, "tree": 0}


def test_the_text_names_splits_and_shares(folder):
    text = run("check", "-c", folder / "data.yaml").stdout
    assert "train: 1 image, 1 with masks, 12×8; of the labeled pixels:" in text
    assert "100.00%" in text


def test_a_failed_check_prints_its_problems_and_exits_with_3(folder, capsys):
    (folder / "m0.png").write_bytes(b"")
    (folder / "i1.png").unlink()
    assert main(["data", "check", "-c", str(folder / "data.yaml"), "--json"]) == 3
    out, err = capsys.readouterr()
    assert len(json.loads(out)["problems"]) == 2
    assert "2 problems" in err


def test_words_override_the_file(folder, capsys):
    assert main(["data", "check", "-c", str(folder / "data.yaml"), "data.folder.pairs=none.csv"]) == 1
    assert "none.csv" in capsys.readouterr().err


def test_a_sheet_is_written_and_named(folder):
    result = run("show", "-c", folder / "data.yaml", "--split", "val", "--cell", "64", "--out", folder / "sheet.png")
    assert result.stdout == f"{folder / 'sheet.png'}\n"
    assert read_image(folder / "sheet.png").shape[2] == 3


def test_a_sheet_is_described_as_json(folder):
    result = run("show", "-c", folder / "data.yaml", "--split", "val", "--out", folder / "sheet.png", "--json")
    shown = json.loads(result.stdout)
    height, width = read_image(folder / "sheet.png").shape[:2]
    assert (shown["sheet"], shown["split"]) == (str(folder / "sheet.png"), "val")
    assert (shown["height"], shown["width"]) == (height, width)
    assert shown["classes"] == {"road": "#010203", "tree": "#040506"}
    assert shown["samples"] == [{"name": "i1", "image": str(folder / "i1.png"), "mask": str(folder / "m1.png")}]


def test_preparing_says_what_it_made(folder):
    words = ("prepare", "-c", folder / "data.yaml", "--json", f"data.cache_dir={folder / 'cache'}")
    first, second = (json.loads(run(*words).stdout) for _ in range(2))
    assert sorted(first) == ["bytes", "folder", "made", "samples"]
    assert (first["made"], second["made"], second["samples"]) == (2, 0, 2)


def test_preparing_without_a_place_is_a_bad_configuration(folder, capsys):
    assert main(["data", "prepare", "-c", str(folder / "data.yaml")]) == 2
    assert "data.cache_dir" in capsys.readouterr().err


def test_preparing_lists_every_problem(folder, capsys):
    for name in ("i0.png", "m1.png"):
        (folder / name).write_bytes(b"")
    words = ["data", "prepare", "-c", str(folder / "data.yaml"), f"data.cache_dir={folder / 'cache'}"]
    assert main(words) == 1
    message = capsys.readouterr().err
    assert "2 problems" in message
    assert "i0.png" in message
    assert "m1.png" in message


def test_a_sheet_of_another_kind_is_a_bad_command_line(folder, capsys):
    assert main(["data", "show", "-c", str(folder / "data.yaml"), "--out", str(folder / "sheet.gif")]) == 2
    assert "unknown ending" in capsys.readouterr().err


def test_written_scenes_pass_the_check(tmp_path):
    result = run("scenes", "--count", 10, "--size", 48, "--seed", 5, "--out", tmp_path / "s", "--json")
    config = json.loads(result.stdout)["config"]
    assert json.loads(result.stdout)["splits"] == {"train": 8, "val": 1, "test": 1}
    assert run("check", "-c", config).exit_code == 0


def test_a_data_command_needs_no_tensorflow(tmp_path):
    code = (
        "import sys; sys.modules.update(tensorflow=None, keras=None, scipy=None)\n"
        "from rsseg_tf.cli.main import main\n"
        f"sys.exit(main(['data', 'scenes', '--count', '1', '--size', '32', '--out', r'{tmp_path / 's'}']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
