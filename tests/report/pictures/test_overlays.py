import base64
import re

import cv2
import numpy as np

from rsseg_tf.datasets.palette import Palette
from rsseg_tf.report.pictures.overlays import Panel, overlay, write_overlay_page
from rsseg_tf.report.tables import Column, Table

PALETTE = Palette(("land", "sea & <ice>"), ((200, 100, 0), (0, 0, 250)))


def panel() -> Panel:
    image = np.full((8, 10, 3), 90, np.uint8)
    truth = np.zeros((8, 10), np.uint8)
    truth[:, 5:] = 255
    return Panel("scene <1>", image, truth, {"dense": np.ones((8, 10), np.uint8)})


def test_an_overlay_tints_by_class_and_leaves_ignored_pixels():
    one = panel()

    tinted = overlay(one.image, one.truth, PALETTE)

    np.testing.assert_array_equal(tinted[:, 5:], one.image[:, 5:])
    assert tinted[0, 0, 0] > tinted[0, 0, 2]


def test_the_page_holds_every_picture_and_nothing_from_outside(tmp_path):
    table = Table("models", "Models", (Column("name"), Column("latency, ms", 1)), (("dense", 1234.5),))
    page = tmp_path / "page.html"
    write_overlay_page(page, [panel()], PALETTE, title="a & b", summary=["less & faster"], table=table)
    page = page.read_text()

    pictures = [base64.b64decode(data) for data in re.findall(r"base64,([^\"]+)", page)]
    decoded = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in pictures]
    assert [picture.shape for picture in decoded] == [(8, 10, 3)] * 3
    assert "http" not in page
    assert "1,234.5" in page
    assert "latency, ms" in page
    assert "less &amp; faster" in page


def test_names_are_escaped(tmp_path):
    write_overlay_page(tmp_path / "page.html", [panel()], PALETTE, title="a & b")
    page = (tmp_path / "page.html").read_text()

    assert "scene &lt;1&gt;" in page
    assert "sea &amp; &lt;ice&gt;" in page
    assert "<ice>" not in page
