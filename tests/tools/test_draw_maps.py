"""A picture of maps has an image a row and a model a column."""

import cv2
import draw_maps as tool

from rsseg_tf.cli.main import main as run
from rsseg_tf.config import dump_yaml
from tests.report.data import make_data


def words(folder, *named):
    config = make_data(folder)
    (folder / "config.yaml").write_text(dump_yaml(config))
    return ["-c", str(folder / "config.yaml"), "-o", str(folder / "maps.png"), "--place", "1", *named]


def test_the_picture_grows_with_models_and_images(models, tmp_path):
    file = models / "sealed.tflite"
    sizes = []
    for more in ([f"a={file}"], [f"a={file}", f"b={file}"], [f"a={file}", "--place", "0"]):
        assert run(words(tmp_path / "data", *more), command=tool.main, name="draw_maps") == 0
        sizes.append(cv2.imread(str(tmp_path / "data/maps.png")).shape[:2])
    assert sizes[1][0] == sizes[0][0]
    assert sizes[1][1] > sizes[0][1]
    assert sizes[2][0] > sizes[0][0]


def test_a_model_without_a_title_is_refused(models, tmp_path, capsys):
    assert run(words(tmp_path / "data", str(models / "int8.tflite")), command=tool.main, name="draw_maps") == 2
    assert "TITLE=FILE" in capsys.readouterr().err
