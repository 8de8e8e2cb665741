"""What `fit` says of data it cannot use: one error that names the file, an exit code, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from rsseg_tf.cli.main import main

CONFIG = """
data:
  name: folder
  root: {root}
  folder: {{pairs: splits.csv, classes: {{land: "102030", sea: "405060"}}}}
  input_size: [32, 32]
  fitting: {fitting}
"""
COLORS = np.array([[0x10, 0x20, 0x30], [0x40, 0x50, 0x60]], np.uint8)


def write_survey(root: Path) -> None:
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    lines = ["image,mask,split"]
    for number, split in enumerate(("train", "train", "val")):
        mask = COLORS[rng.integers(0, 2, (40, 40))]
        cv2.imwrite(str(root / f"images/a{number}.png"), rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
        cv2.imwrite(str(root / f"masks/a{number}.png"), mask[..., ::-1])
        lines.append(f"images/a{number}.png,masks/a{number}.png,{split}")
    (root / "splits.csv").write_text("\n".join(lines) + "\n")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def paint(path: Path) -> None:
    mask = cv2.imread(str(path))
    mask[3:5, 3:5] = (0, 0, 255)
    cv2.imwrite(str(path), mask)


def halve(path: Path) -> None:
    cv2.imwrite(str(path), cv2.imread(str(path))[:20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def save_as_broken_tiff(path: Path) -> None:
    path.write_bytes(b"II*\x00" + b"\xff" * 40)


DEFECTS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "an image is truncated": ("images/a1.png", truncate, "a1.png"),
    "an image is empty": ("images/a0.png", empty, "a0.png"),
    "a mask is truncated": ("masks/a2.png", truncate, "a2.png"),
    "a mask is a broken TIFF": ("masks/a1.png", save_as_broken_tiff, "a1.png"),
    "a mask has another size": ("masks/a0.png", halve, "a0.png"),
    "a color is not in the palette": ("masks/a1.png", paint, "FF0000"),
    "a mask is missing": ("masks/a1.png", Path.unlink, "a1.png"),
    "an image is missing": ("images/a2.png", Path.unlink, "a2.png"),
}


def fit(tmp_path: Path, fitting: str = "crop") -> int:
    (tmp_path / "config.yaml").write_text(CONFIG.format(root=tmp_path / "survey", fitting=fitting))
    return main(["fit", "-c", str(tmp_path / "config.yaml"), "-o", str(tmp_path / "run"), "fit.epochs=1"])


@pytest.mark.parametrize("fitting", ["crop", "resize"])
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_named_and_nothing_is_left(tmp_path, capfd, defect, fitting):
    name, damage, named = DEFECTS[defect]
    write_survey(tmp_path / "survey")
    damage(tmp_path / "survey" / name)

    code = fit(tmp_path, fitting)

    message = capfd.readouterr().err
    assert code == 1
    assert named in message
    assert "Traceback" not in message
    assert not (tmp_path / "run").exists()


def problems_told_by(words: list[str], capfd: pytest.CaptureFixture[str]) -> set[str]:
    main(words)
    text = capfd.readouterr()
    return {line.strip().removeprefix("problem: ") for line in (text.out + text.err).splitlines() if "`" in line}


@pytest.mark.parametrize("cache_dir", ["", "cache"])
def test_fit_tells_every_problem_that_the_check_tells_in_its_words(tmp_path, capfd, cache_dir):
    write_survey(tmp_path / "survey")
    truncate(tmp_path / "survey/images/a0.png")
    paint(tmp_path / "survey/masks/a1.png")
    leak = (tmp_path / "survey/images/a1.png").read_bytes()
    (tmp_path / "survey/images/a2.png").write_bytes(leak)
    (tmp_path / "config.yaml").write_text(CONFIG.format(root=tmp_path / "survey", fitting="crop"))
    words = ["-c", str(tmp_path / "config.yaml"), f"data.cache_dir={tmp_path / cache_dir if cache_dir else ''}"]

    checked = problems_told_by(["data", "check", *words], capfd)
    fitted = problems_told_by(["fit", *words, "-o", str(tmp_path / "run")], capfd)

    assert len(checked) == 3
    assert fitted == checked
    assert not (tmp_path / "run").exists()


def test_what_may_be_meant_is_a_warning_and_no_error(tmp_path, capfd):
    write_survey(tmp_path / "survey")
    (tmp_path / "survey/images/a1.png").write_bytes((tmp_path / "survey/images/a0.png").read_bytes())

    assert fit(tmp_path) == 0
    assert "warning: one image appears several times" in capfd.readouterr().err


def test_a_missing_root_is_named(tmp_path, capsys):
    assert fit(tmp_path) in (1, 2)
    assert "survey" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_empty_root_is_named(tmp_path, capsys):
    (tmp_path / "survey").mkdir()

    assert fit(tmp_path) in (1, 2)
    assert "survey" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_wrong_yaml_exits_with_2(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("data: [")

    assert main(["fit", "-c", str(tmp_path / "config.yaml"), "-o", str(tmp_path / "run")]) == 2
    assert "config.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "inspect", "benchmark", "predict"])
def test_a_file_that_is_no_tflite_is_named(tmp_path, capsys, command):
    (tmp_path / "fake.tflite").write_bytes(b"this is not a model" * 9)
    write_survey(tmp_path / "survey")
    (tmp_path / "config.yaml").write_text(CONFIG.format(root=tmp_path / "survey", fitting="crop"))
    rest = {
        "evaluate": ["-c", str(tmp_path / "config.yaml")],
        "predict": [str(tmp_path / "survey/images"), "-o", str(tmp_path / "maps")],
    }

    assert main([command, str(tmp_path / "fake.tflite"), *rest.get(command, [])]) == 1
    assert "fake.tflite" in capsys.readouterr().err
    assert not (tmp_path / "maps").exists()


def test_wrong_weights_and_a_used_folder_show_before_the_data_are_read(tmp_path, capfd):
    write_survey(tmp_path / "survey")
    (tmp_path / "survey/images/a0.png").write_bytes(b"")
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(root=tmp_path / "survey", fitting="crop"))
    command = ["fit", "-c", str(config), "-o", str(tmp_path / "run")]

    assert main([*command, "model.weights=gone.pth"]) == 1
    assert "gone.pth" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()

    (tmp_path / "run").mkdir()
    (tmp_path / "run/manifest.json").write_text("{}")
    assert main(command) == 2
    assert "finished run" in capfd.readouterr().err
