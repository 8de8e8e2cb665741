from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes

from rsseg_tf.errors import MissingExtraError
from rsseg_tf.report.pictures import heatmap


def tensor(kind: str, layer: str, name: str, counts: tuple[int, ...], *, lowest: int, high: int) -> dict[str, Any]:
    return {
        "kind": kind,
        "layer": layer,
        "name": name,
        "nonzero": sum(counts),
        "zeros": 3,
        "lowest": lowest,
        "counts": list(counts),
        "window": {"low": high - 6, "high": high, "step": 2.0 ** (high - 6)},
        "underflow": 0.125,
        "overflow": 0.00001,
    }


RANGES = {
    "model": "runs/net/model.keras",
    "samples": 1234,
    "layers": ["stem", "parted", "join"],
    "tensors": [
        tensor("weights", "stem", "stem/kernel", (1, 0, 3), lowest=-3, high=-1),
        tensor("activations", "stem", "stem_relu", (4,), lowest=2, high=2),
        tensor("weights", "parted", "parted/depthwise_kernel", (2,), lowest=-30, high=-1),
        tensor("weights", "parted", "parted/pointwise_kernel", (2, 2), lowest=0, high=1),
        tensor("activations", "join", "join", (), lowest=0, high=0),
    ],
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    heatmap.write_heatmap(RANGES, [folder / "ranges.png", folder / "ranges.svg"])
    return folder


def test_the_picture_is_there_in_both_forms_and_in_color(drawn):
    picture = cv2.imread(str(drawn / "ranges.png"))
    blue, _, red = (picture[..., channel].astype(int) for channel in range(3))

    assert min(picture.shape[:2]) > 150
    assert ((blue - red) > 100).sum() > 200, "the cells"
    assert ((red - blue) > 150).sum() > 200, "the frames"
    assert {path.name for path in drawn.iterdir()} == {"ranges.png", "ranges.svg"}


def test_it_names_the_model_every_layer_and_the_units(drawn):
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", (drawn / "ranges.svg").read_text(encoding="utf-8"))

    assert {"stem", "parted/depthwise_kernel", "parted/pointwise_kernel", "join"} <= set(texts)
    assert {"weights", "biases", "activations", "12.50", "&lt;0.01"} <= set(texts)
    assert any("runs/net/model.keras" in text and "1,234 images" in text for text in texts)
    assert any("(%)" in text for text in texts)


def test_a_row_holds_the_shares_of_its_tensor_and_the_first_column_all_that_lies_below(tmp_path, monkeypatch):
    pictures, draw = [], Axes.imshow
    monkeypatch.setattr(
        Axes, "imshow", lambda axes, *data, **how: pictures.append((*data, how)) or draw(axes, *data, **how)
    )
    heatmap.write_heatmap(RANGES, [tmp_path / "ranges.png"])
    shares, how = pictures[0]
    column = {position: place for place, position in enumerate(range(-11, 2))}

    assert how["extent"] == (-11.5, 1.5, 3.5, -0.5)
    assert (shares[0, column[-3]], shares[0, column[-1]]) == (25, 75)
    assert shares[1, 0] == 100
    assert np.nansum(shares, axis=1).tolist() == [100, 100, 100, 0]
    assert np.isnan(shares[3]).all()


def test_equal_ranges_make_equal_files(drawn, tmp_path):
    heatmap.write_heatmap(RANGES, [tmp_path / "ranges.png", tmp_path / "ranges.svg"])

    for name in ("ranges.png", "ranges.svg"):
        assert (tmp_path / name).read_bytes() == (drawn / name).read_bytes()


def test_without_matplotlib_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(MissingExtraError, match="matplotlib") as caught:
        heatmap.write_heatmap(RANGES, [tmp_path / "ranges.png"])
    assert "rsseg-tf[report]" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
