"""The README's recipe for one's own images, from its own YAML to the first command."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from rsseg_tf.cli.main import main

README = Path(__file__).parent.parent / "README.md"
COLORS = np.array([[0x3C, 0x10, 0x98], [0x6E, 0xC1, 0xE4], [0xE2, 0xA9, 0x29]], np.uint8)


def test_the_readmes_settings_read_a_folder_of_pairs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (settings,) = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    Path("survey.yaml").write_text(settings)
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        Path("photos/survey", folder).mkdir(parents=True)
    for number in range(14):
        mask = COLORS[rng.integers(0, 3, (40, 40))]
        cv2.imwrite(f"photos/survey/images/{number}.jpg", rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
        cv2.imwrite(f"photos/survey/masks/{number}.png", mask[..., ::-1])

    assert main(["data", "check", "-c", "survey.yaml", "--json"]) == 0
    report = capsys.readouterr().out
    assert all(f'"{split}"' in report for split in ("train", "val", "test"))
