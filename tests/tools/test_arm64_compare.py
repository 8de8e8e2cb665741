from __future__ import annotations

import json
from pathlib import Path

import arm64_compare
import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.tflite.metadata import embed_metadata
from tests.tflite.networks import METADATA, frame, tiny_model


@pytest.mark.parametrize(("wrong", "code"), [(0, 0), (5, 0), (6, 3)])
def test_a_pixel_in_two_hundred_may_differ(tmp_path: Path, wrong: int, code: int) -> None:
    one = np.zeros((20, 50), np.uint8)
    other = one.copy()
    other.flat[:wrong] = 1
    write_image(tmp_path / "x86/a_classes.png", one)
    write_image(tmp_path / "arm64/a_classes.png", other)
    assert arm64_compare.main(["agreement", str(tmp_path / "x86"), str(tmp_path / "arm64")]) == code


def test_missing_maps_do_not_agree(tmp_path: Path) -> None:
    write_image(tmp_path / "x86/a_classes.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(SystemExit, match="class maps"):
        arm64_compare.main(["agreement", str(tmp_path / "x86"), str(tmp_path / "arm64")])


def test_the_data_set_scores_one_on_the_machine_that_made_its_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.tflite").write_bytes(embed_metadata(tiny_model(), METADATA))
    write_image(tmp_path / "images/a.png", frame(0, 50, 40))
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "model.tflite", "images", "-o", "x86"]) == 0
    arm64_compare.main(["data-set", str(tmp_path)])
    capsys.readouterr()
    assert main(["evaluate", "model.tflite", "-c", "data.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1.0
